//! WebSockets: the handshake on its way to the sandbox of its session, and the answer on its way back.
//!
//! Up to the agent's answer it is a call like any other, with the same refusals. Whether it is a good handshake the agent
//! decides; what passes after it is the matter of `relay`.

use std::sync::Arc;

use agentcore_protocol::SessionId;
use axum::body::Body;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Version, header};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::frames::FrameLimits;
use super::proxy::{self, Streamed, Trouble};
use super::relay::{Caller, relay};
use super::{Door, Open, head};
use crate::sandbox::client::{RequestBody, Upgraded};

/// What came of a handshake.
pub(crate) enum Handshake {
    /// The connection is a WebSocket once this answer is sent.
    Accepted(Response<Body>),
    /// The agent's own answer, which is another one.
    Refused(Response<Streamed>),
}

/// Tells whether a request asks for a WebSocket.
pub(crate) fn is_asked_for<B>(request: &Request<B>) -> bool {
    let lists =
        |name, token| list(request.headers(), &name).any(|it| it.eq_ignore_ascii_case(token));
    request.method() == Method::GET
        && request.version() == Version::HTTP_11
        && lists(header::CONNECTION, "upgrade")
        && lists(header::UPGRADE, "websocket")
}

/// Returns the items of a header that is a list, over all its lines.
pub(crate) fn list<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> impl Iterator<Item = &'a str> + use<'a> {
    headers
        .get_all(name)
        .into_iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|item| !item.is_empty())
}

/// Sends a handshake to the sandbox of `session`; if the agent accepts it, what follows is passed on in a task of its own.
pub(crate) async fn open(
    door: &Arc<Door>,
    session: &SessionId,
    mut request: Request<Body>,
    limits: Option<FrameLimits>,
) -> Result<Handshake, Trouble> {
    let caller = hyper::upgrade::on(&mut request);
    // A handshake has no body.
    let (mut head, _) = request.into_parts();
    head::for_sandbox(&mut head.headers, session);
    head.headers.remove(header::CONTENT_LENGTH);
    name_upgrade(&mut head.headers);
    let (call, connection) = proxy::connect(&door.sessions, session).await?;
    let request = Request::from_parts(head, RequestBody::empty());
    let (head, raw) = match connection.upgrade(request).await {
        Ok(Upgraded::Switched(response, raw)) => (response.into_parts().0, raw),
        Ok(Upgraded::Refused(response)) => {
            return Ok(Handshake::Refused(proxy::passed_on(response, call)));
        }
        Err(_) => return Err(Trouble::of_broken_connection(call.sandbox()).await),
    };
    let socket = call.into_socket();
    door.open.keep(async move {
        // A caller who left before the answer is none.
        if let Some(caller) = taken_over(caller, limits).await {
            relay(caller, raw, socket).await;
        }
    });
    let mut response = Response::from_parts(head, Body::empty());
    head::remove_hop_by_hop(response.headers_mut());
    response.headers_mut().remove(header::CONTENT_LENGTH);
    name_upgrade(response.headers_mut());
    Ok(Handshake::Accepted(response))
}

fn name_upgrade(headers: &mut HeaderMap) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
}

impl Open {
    /// Keeps a WebSocket until it ends or is cut.
    fn keep(&self, socket: impl Future<Output = ()> + Send + 'static) {
        let cut = self.cut.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = socket => {}
                () = cut.cancelled() => {}
            }
        });
    }
}

/// Waits until the answer is sent, and returns the caller's end of the connection.
async fn taken_over(caller: OnUpgrade, limits: Option<FrameLimits>) -> Option<Caller> {
    // The front door's connections are all of this type.
    let parts = caller.await.ok()?.downcast::<TokioIo<TcpStream>>().ok()?;
    Some(Caller {
        stream: parts.io.into_inner(),
        early: parts.read_buf,
        limits,
    })
}
