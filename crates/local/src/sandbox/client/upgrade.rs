//! A request after which a connection may speak another protocol than HTTP: then it is handed out raw.
//!
//! What is spoken on it afterwards is not its matter.

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;

use super::{Answer, Connection, RequestBody, Reserved};
use crate::sandbox::place::Stream;

/// What came of the wish for an upgrade.
pub(crate) enum Upgraded {
    /// The sandbox speaks another protocol from now on.
    Switched(Response<()>, Raw),
    /// It answered as to any request.
    Refused(Response<Answer>),
}

/// A connection that speaks HTTP no more.
pub(crate) struct Raw {
    pub(crate) stream: Stream,
    /// What came right after the head of the answer.
    pub(crate) early: Bytes,
}

impl Reserved {
    /// Sends a `request` for an upgrade and returns the answer as soon as its head is there.
    pub(crate) async fn upgrade(
        self,
        request: Request<RequestBody>,
    ) -> Result<Upgraded, hyper::Error> {
        let Self {
            mut connection,
            client,
        } = self;
        let (response, over) = connection.exchange_for_upgrade(request).await?;
        let driver = connection.driver.take();
        let (head, incoming) = response.into_parts();
        if head.status == StatusCode::SWITCHING_PROTOCOLS
            && let Some(mut driver) = driver
        {
            if !over {
                std::future::poll_fn(|cx| driver.poll_without_shutdown(cx)).await?;
            }
            let parts = driver.into_parts();
            let raw = Raw {
                stream: parts.io.into_inner(),
                early: parts.read_buf,
            };
            return Ok(Upgraded::Switched(Response::from_parts(head, ()), raw));
        }
        connection.driver = driver.filter(|_| !over);
        let answer = Answer {
            incoming,
            connection: Some(connection),
            client,
            failure: None,
        };
        Ok(Upgraded::Refused(Response::from_parts(head, answer)))
    }
}

impl Connection {
    /// As [`exchange`](Self::exchange), but keeps the connection open when its protocol has ended, and tells whether it has.
    async fn exchange_for_upgrade(
        &mut self,
        request: Request<RequestBody>,
    ) -> Result<(Response<Incoming>, bool), hyper::Error> {
        let answer = self.sender.send_request(request);
        let mut answer = std::pin::pin!(answer);
        let driver = &mut self.driver;
        let mut over = false;
        let response = std::future::poll_fn(|cx| {
            if let Some(open) = driver
                && !over
            {
                over = open.poll_without_shutdown(cx).is_ready();
            }
            answer.as_mut().poll(cx)
        });
        response.await.map(|response| (response, over))
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixListener;

    use super::*;
    use crate::sandbox::client::Client;
    use crate::sandbox::place::Place;

    /// Asks for an upgrade where this is the answer, in one piece.
    async fn answered(answer: &'static str) -> Upgraded {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            assert!(stream.read(&mut [0; 1024]).await.unwrap() > 0);
            stream.write_all(answer.as_bytes()).await.unwrap();
        });
        let connection = Client::new(Place::Socket(path)).reserve().await.unwrap();
        let request = Request::get("/ws").body(RequestBody::empty()).unwrap();
        connection.upgrade(request).await.unwrap()
    }

    #[tokio::test]
    async fn what_comes_right_after_the_answer_is_kept() {
        let answer = "HTTP/1.1 101 Yes\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nwelcome";
        let Upgraded::Switched(_, mut raw) = answered(answer).await else {
            panic!("it switched");
        };
        let mut rest = raw.early.to_vec();
        raw.stream.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, b"welcome");
    }

    #[tokio::test]
    async fn another_answer_is_one_with_a_body() {
        for answer in [
            "HTTP/1.1 403 No\r\ncontent-length: 3\r\n\r\nno\n",
            "HTTP/1.1 403 No\r\nconnection: close\r\n\r\nno\n",
        ] {
            let Upgraded::Refused(response) = answered(answer).await else {
                panic!("it refused");
            };
            assert_eq!(response.status(), StatusCode::FORBIDDEN);
            let body = response.into_body().collect().await.unwrap();
            assert_eq!(body.to_bytes(), "no\n", "{answer}");
        }
    }
}
