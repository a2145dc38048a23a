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
