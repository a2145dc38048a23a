//! WebSockets as callers hold them, and what tests ask of them.

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{self as ts, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::support::{PATIENCE, Running, SESSION};

/// A session id that the service takes.
pub(crate) const LONG: &str = "session-with-thirty-three-characters";

/// Has the agent refuse a handshake with this status.
pub(crate) const STATUS: &str = "x-amzn-bedrock-agentcore-runtime-custom-status";

pub(crate) fn by_arn(arn: &str) -> String {
    format!(
        "/runtimes/{}/ws",
        arn.replace(':', "%3A").replace('/', "%2F")
    )
}

/// A WebSocket, as a caller holds it.
pub(crate) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

impl Running {
    /// Asks for a WebSocket with these headers beside those of a handshake.
    pub(crate) async fn try_socket(
        &self,
        path: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<(Socket, ts::handshake::client::Response), ts::Error> {
        let url = format!("{}{path}", self.url.replace("http:", "ws:"));
        let mut request = url.into_client_request().unwrap();
        for &(name, value) in headers {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        let connecting = tokio_tungstenite::connect_async(request);
        let connected = tokio::time::timeout(PATIENCE, connecting).await;
        connected.expect("an answer to the handshake")
    }

    /// Opens a WebSocket to a session.
    pub(crate) async fn socket(&self, session: &str) -> Socket {
        let opened = self.try_socket("/ws", &[(SESSION, session)]).await;
        opened.unwrap().0
    }
}

/// Returns the next message that is no pong.
pub(crate) async fn next(socket: &mut Socket) -> Message {
    loop {
        let message = tokio::time::timeout(PATIENCE, socket.next()).await;
        let message = message.expect("a message").unwrap().unwrap();
        if !message.is_pong() {
            return message;
        }
    }
}

/// Sends a text and returns the text that comes back.
pub(crate) async fn tell(socket: &mut Socket, text: &str) -> String {
    socket.send(Message::text(text)).await.unwrap();
    next(socket).await.into_text().unwrap().to_string()
}

/// Reads to the end, and returns code and reason of the close frame; `None` if the connection was cut.
pub(crate) async fn end_of(socket: &mut Socket) -> Option<(u16, String)> {
    let mut said = None;
    let reading = async {
        while let Some(Ok(message)) = socket.next().await {
            if let Message::Close(frame) = message {
                let frame = frame.expect("a close frame with a code");
                said = Some((frame.code.into(), frame.reason.to_string()));
            }
        }
    };
    let read = tokio::time::timeout(PATIENCE, reading).await;
    read.expect("the end of the connection");
    said
}

/// Asks the agent what it saw of the handshake.
pub(crate) async fn about(socket: &mut Socket) -> Value {
    serde_json::from_str(&tell(socket, "about").await).unwrap()
}

/// Returns status, headers and body of a handshake that is refused.
pub(crate) async fn refusal(
    door: &Running,
    path: &str,
    headers: &[(&'static str, &str)],
) -> (u16, http::HeaderMap, Value) {
    match door.try_socket(path, headers).await {
        Err(ts::Error::Http(response)) => {
            let (head, body) = response.into_parts();
            let body = body.unwrap_or_default();
            let body = serde_json::from_slice(&body).unwrap_or_default();
            (head.status.as_u16(), head.headers, body)
        }
        other => panic!("not refused: {other:?}"),
    }
}
