//! What the agent of the tests says on a WebSocket: an echo, unless a text is an order.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use futures_util::{SinkExt, StreamExt};
use http::{StatusCode, header};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};

use super::{Note, environment};

type Socket = WebSocketStream<TokioIo<Upgraded>>;

static SENT: AtomicU64 = AtomicU64::new(0);

/// Returns how many messages of the flood were sent.
pub(crate) fn sent() -> u64 {
    SENT.load(Ordering::SeqCst)
}

/// Accepts a handshake, unless a header names another status.
pub(crate) async fn accept(mut request: Request) -> Response {
    let headers = request.headers();
    let status = headers.get("x-amzn-bedrock-agentcore-runtime-custom-status");
    if let Some(status) = status {
        let status = StatusCode::from_bytes(status.as_bytes()).expect("a status");
        return (status, r#"{"error":"not you"}"#).into_response();
    }
    let Some(key) = headers.get(header::SEC_WEBSOCKET_KEY) else {
        return (StatusCode::NOT_FOUND, "Not Found").into_response();
    };
    let proof = derive_accept_key(key.as_bytes());
    let seen: serde_json::Map<String, Value> = headers
        .iter()
        .map(|(name, value)| {
            (
                name.to_string(),
                String::from_utf8_lossy(value.as_bytes()).into(),
            )
        })
        .collect();
    let about = json!({
        "uri": request.uri().to_string(),
        "headers": seen,
        "pid": std::process::id(),
    });
    tokio::spawn(talk(hyper::upgrade::on(&mut request), about));
    (
        StatusCode::SWITCHING_PROTOCOLS,
        [
            ("connection", "upgrade, x-private"),
            ("x-private", "1"),
            ("x-public", "2"),
            ("upgrade", "websocket"),
            ("sec-websocket-accept", proof.as_str()),
        ],
    )
        .into_response()
}

async fn talk(upgrade: OnUpgrade, about: Value) {
    let upgraded = upgrade.await.expect("the answer is sent");
    let mut socket =
        WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
    let dir = environment().remove("TEST_DIR");
    let _left = Note(PathBuf::from(dir.unwrap_or("/tmp".into())).join("hung up"));
    while let Some(Ok(message)) = socket.next().await {
        let order = match &message {
            Message::Text(text) => text.as_str(),
            Message::Binary(_) => "echo",
            _ => continue,
        };
        match order {
            "about" => say(&mut socket, Message::text(about.to_string())).await,
            "hang up" => return,
            "close" => {
                let reason = CloseFrame {
                    code: 4001.into(),
                    reason: "done".into(),
                };
                let _ = socket.close(Some(reason)).await;
            }
            "flood" => loop {
                if socket.send(Message::binary(vec![7; 65_536])).await.is_err() {
                    return;
                }
                SENT.fetch_add(1, Ordering::SeqCst);
            },
            "half a frame" => {
                let half = [0x82, 126, 0x10, 0, 1, 2, 3];
                let _ = socket.get_mut().write_all(&half).await;
                let _ = socket.get_mut().flush().await;
            }
            _ => say(&mut socket, message).await,
        }
    }
}

async fn say(socket: &mut Socket, message: Message) {
    let _ = socket.send(message).await;
}
