//! WebSockets between real clients and handlers in a real worker: how they begin, what waits, and who learns of the end.

use std::time::Duration;

use agentcore_host::Capacity;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Response;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Bytes, Message as Frame};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::support::eventually;
use crate::support::served::Served;

type Client = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// An agent whose invocations tell what its handler of WebSockets has noted, and open its gate.
fn agent(handler: &str) -> String {
    let body = handler.trim().replace('\n', "\n    ");
    format!(
        "import asyncio\n\
         from bedrock_agentcore import BedrockAgentCoreApp\n\
         from bedrock_agentcore.runtime import WebSocketDisconnect\n\
         app = BedrockAgentCoreApp()\n\
         seen = []\n\
         gate = asyncio.Event()\n\
         @app.entrypoint\n\
         async def main(payload):\n    if payload == 'open': gate.set()\n    return seen\n\
         async def count(websocket):\n    \
             messages = 0\n    \
             while True:\n        \
                 message = await websocket.receive()\n        \
                 if message['type'] == 'websocket.disconnect': return [messages, message['code']]\n        \
                 messages += 1\n\
         @app.websocket\n\
         async def handle(websocket, context):\n    {body}\n"
    )
}

/// Sends without a rest, until the client is gone; then counts what it had sent.
const TICKS: &str = r#"
await websocket.accept()
try:
    while True:
        await websocket.send_text("tick")
        await asyncio.sleep(0.01)
except WebSocketDisconnect:
    seen.append("gone")
seen.append(await count(websocket))
"#;

async fn connect(agent: &Served) -> (Client, Response) {
    agent.bound().await;
    let url = format!("{}/ws", agent.url.replace("http", "ws"));
    let request = url.into_client_request().unwrap();
    tokio_tungstenite::connect_async(request).await.unwrap()
}

/// Waits until the handler has noted this.
async fn has_seen(agent: &Served, expected: Value) {
    let last = std::cell::RefCell::new(Value::Null);
    let seen = eventually(async || {
        *last.borrow_mut() = agent.ask(json!("seen")).await.1;
        *last.borrow() == expected
    });
    let in_time = timeout(Duration::from_secs(25), seen).await.is_ok();
    assert!(in_time, "{expected} was not seen, but {}", last.borrow());
}

fn mebibyte() -> Frame {
    Frame::Binary(Bytes::from(vec![0; 1024 * 1024]))
}

#[tokio::test]
async fn a_handler_that_does_not_read_learns_that_its_client_has_left() {
    for closes in [true, false] {
        let agent = Served::start(&agent(TICKS));
        let (mut client, _) = connect(&agent).await;
        for number in 0..200 {
            client.send(Frame::text(number.to_string())).await.unwrap();
        }
        let code = if closes {
            let frame = CloseFrame {
                code: 3000.into(),
                reason: "enough".into(),
            };
            client.close(Some(frame)).await.unwrap();
            3000
        } else {
            // Without a word, and without a reset, which might overtake what is under way.
            client.get_mut().shutdown().await.unwrap();
            1006
        };
        has_seen(&agent, json!(["gone", [200, code]])).await;
    }
}

#[tokio::test]
async fn that_a_client_has_left_is_seen_behind_more_than_may_wait() {
    let agent = Served::start(&agent(TICKS));
    let (mut client, _) = connect(&agent).await;
    for _ in 0..5 {
        client.send(mebibyte()).await.unwrap();
    }
    client.close(None).await.unwrap();
    has_seen(&agent, json!(["gone", [5, 1005]])).await;
}

#[tokio::test]
async fn what_waits_for_a_handler_is_bounded_by_its_bytes_and_none_of_it_is_lost() {
    let agent = Served::start(&agent(
        "await websocket.accept()\nawait gate.wait()\nseen.append(await count(websocket))",
    ));
    let (mut client, _) = connect(&agent).await;
    let mut sent = 0;
    while let Ok(went) = timeout(Duration::from_secs(2), client.send(mebibyte())).await {
        went.unwrap();
        sent += 1;
    }
    // Four wait in the worker, a few on the way to it, and some in the buffers of the sockets.
    assert!((4..50).contains(&sent), "{sent} MiB");
    agent.ask(json!("open")).await;
    client.flush().await.unwrap();
    client.close(None).await.unwrap();
    has_seen(&agent, json!([[sent + 1, 1005]])).await;
}

#[tokio::test]
async fn a_client_that_does_not_read_is_still_heard() {
    let agent = Served::start(&agent(
        r#"
await websocket.accept()
async def talk():
    while True:
        await websocket.send_bytes(bytes(1 << 16))
        seen.append("sent")
talking = asyncio.ensure_future(talk())
seen.append(await websocket.receive_text())
talking.cancel()
"#,
    ));
    let (mut client, _) = connect(&agent).await;
    // Until nothing more goes through.
    let last = std::cell::Cell::new(usize::MAX);
    eventually(async || {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let sent = agent.ask(json!("seen")).await.1.as_array().unwrap().len();
        sent > 0 && sent == last.replace(sent)
    })
    .await;
    client.send(Frame::text("stop")).await.unwrap();
    eventually(async || {
        let seen = agent.ask(json!("seen")).await.1;
        seen.as_array().unwrap().contains(&json!("stop"))
    })
    .await;
}

#[tokio::test]
async fn the_headers_of_an_accept_reach_the_client() {
    let agent = Served::start(&agent(
        "await websocket.accept(headers=[(b'x-own', b'1'), (b'set-cookie', b'a=b'), (b'connection', b'close')])\n\
         await websocket.send_text('open')",
    ));
    let (mut client, answer) = connect(&agent).await;
    assert_eq!(client.next().await.unwrap().unwrap(), Frame::text("open"));
    let headers = answer.headers();
    for (name, value) in [
        ("x-own", "1"),
        ("set-cookie", "a=b"),
        ("connection", "upgrade"),
    ] {
        assert_eq!(headers[name], value);
    }
}

#[tokio::test]
async fn a_handshake_that_cannot_be_answered_as_the_handler_says_is_a_failure() {
    let agent = Served::start(&agent("await websocket.accept(headers=[(b'x y', b'1')])"));
    let (status, _, body) = refusal(&agent).await;
    assert_eq!(status, 500);
    assert!(body.contains(r#"header name \"x y\""#), "{body}");
}

/// Asks for a WebSocket, and returns status, one header and body of the answer that is none.
async fn refusal(agent: &Served) -> (u16, Option<String>, String) {
    agent.bound().await;
    let request = agent.client.get(format!("{}/ws", agent.url));
    let request = request
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "AAAAAAAAAAAAAAAAAAAAAA==");
    let answer = request.send().await.unwrap();
    let header = answer.headers().get("x-own");
    let header = header.map(|value| value.to_str().unwrap().to_owned());
    (
        answer.status().as_u16(),
        header,
        answer.text().await.unwrap(),
    )
}

#[tokio::test]
async fn a_refusal_reaches_the_client_with_its_headers_and_its_body() {
    // In one piece, and in pieces that take their time.
    for pause in ["0", "0.2"] {
        let agent = Served::start(&agent(&format!(
            r#"
async def answer(scope, receive, send):
    await send({{"type": "websocket.http.response.start", "status": 401, "headers": [(b"x-own", b"1")]}})
    await asyncio.sleep({pause})
    if {pause}:
        await send({{"type": "websocket.http.response.body", "body": b"who ", "more_body": True}})
        await asyncio.sleep({pause})
    await send({{"type": "websocket.http.response.body", "body": b"are you?"}})
await websocket.send_denial_response(answer)
"#
        )));
        let (status, header, body) = refusal(&agent).await;
        assert_eq!((status, header.as_deref()), (401, Some("1")));
        let expected = if pause == "0" {
            "are you?"
        } else {
            "who are you?"
        };
        assert_eq!(body, expected);
    }
}

#[tokio::test]
async fn a_handler_that_does_not_decide_in_time_is_cancelled() {
    let code = agent("try:\n    await asyncio.sleep(600)\nfinally:\n    seen.append('cut')");
    let limit = Duration::from_secs(5);
    let agent = Served::start_with(
        &code,
        Capacity {
            invocation_timeout: Some(limit),
            ..Capacity::default()
        },
    );
    eventually(async || agent.ask(json!("seen")).await.0 == 200).await;
    let (status, _, body) = refusal(&agent).await;
    assert_eq!(status, 504, "{body}");
    has_seen(&agent, json!(["cut"])).await;
}
