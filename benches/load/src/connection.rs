//! One connection to the server under measurement, which stays open between requests.

use std::time::Instant;

use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::{Failure, Target};

const SESSION_ID: &str = "x-amzn-bedrock-agentcore-runtime-session-id";

/// A connection that stays open.
pub(crate) struct Connection {
    sender: SendRequest<Full<Bytes>>,
}

impl Connection {
    /// Connects.
    pub(crate) async fn open(target: &Target) -> Result<Self, Failure> {
        let authority = target.url.authority().ok_or("the URL names no host")?;
        let stream =
            TcpStream::connect((authority.host(), authority.port_u16().unwrap_or(80))).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        // The error of a connection reaches whoever waits for an answer on it.
        tokio::spawn(async move { drop(connection.await) });
        Ok(Self { sender })
    }

    /// The whole body of the answer to one request.
    pub(crate) async fn answer(
        &mut self,
        target: &Target,
        session: Option<&str>,
    ) -> Result<Bytes, Failure> {
        let response = self.begin(target, session).await?;
        Ok(response.into_body().collect().await?.to_bytes())
    }

    /// The moment when the first byte of the answer's body was there.
    pub(crate) async fn first_byte(
        &mut self,
        target: &Target,
        session: &str,
    ) -> Result<Instant, Failure> {
        let mut response = self.begin(target, Some(session)).await?;
        response.frame().await.ok_or("the answer is empty")??;
        Ok(Instant::now())
    }

    /// The answer to one request, as soon as it has begun; anything but a success is an error.
    pub(crate) async fn begin(
        &mut self,
        target: &Target,
        session: Option<&str>,
    ) -> Result<Response<Incoming>, Failure> {
        self.sender.ready().await?;
        let response = self.sender.send_request(request(target, session)?).await?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = response.into_body().collect().await?.to_bytes();
        Err(format!("answered {status}: {body:?}").into())
    }
}

fn request(target: &Target, session: Option<&str>) -> Result<Request<Full<Bytes>>, Failure> {
    let host = target.url.authority().map_or("", |it| it.as_str());
    let mut request = Request::post(target.url.path())
        .header(header::HOST, host)
        .header(header::CONTENT_TYPE, "application/json");
    if let Some(session) = session {
        request = request.header(SESSION_ID, session);
    }
    Ok(request.body(Full::new(target.body.clone()))?)
}
