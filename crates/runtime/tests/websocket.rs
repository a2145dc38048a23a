//! WebSockets over real connections: messages, the handshake, and where handlers run. How connections end is in `ends`.

mod ends;

use agentcore_runtime::{
    App, Context, Failure, Message, Router, SessionLimits, StatusCode, WebSocket,
};
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use futures_util::{SinkExt, StreamExt};
use http::Method;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{self as ts, Message as Frame};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::sessions::SESSION;
use crate::support::{Blockade, Server, expect, request};

type Client = WebSocketStream<MaybeTlsStream<TcpStream>>;

fn invocations_only() -> App {
    App::new(async |payload: Value| payload)
}

async fn echo(mut socket: WebSocket, _: Context) {
    while let Some(message) = socket.recv().await {
        if socket.send(message).await.is_err() {
            return;
        }
    }
}

/// Connects with these headers beside those of a handshake.
async fn try_connect(
    server: &Server,
    headers: &[(&'static str, &str)],
) -> Result<(Client, ts::handshake::client::Response), ts::Error> {
    let url = format!("ws://{}/ws?lang=de", server.address);
    let mut request = url.into_client_request().unwrap();
    for &(name, value) in headers {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    let connecting = tokio_tungstenite::connect_async(request);
    expect("the handshake", connecting).await
}

async fn connect(server: &Server) -> Client {
    try_connect(server, &[]).await.unwrap().0
}

/// Returns status and body of a handshake that is refused.
async fn refusal(server: &Server, headers: &[(&'static str, &str)]) -> (u16, String) {
    match try_connect(server, headers).await {
        Err(ts::Error::Http(response)) => {
            let body = response.body().clone().unwrap_or_default();
            (response.status().as_u16(), String::from_utf8(body).unwrap())
        }
        other => panic!("not refused: {other:?}"),
    }
}

async fn next(client: &mut Client) -> Frame {
    expect("a frame", client.next()).await.unwrap().unwrap()
}

/// Reads until the close frame and returns its code and reason, after which the server has hung up.
async fn closed(client: &mut Client) -> (u16, String) {
    loop {
        if let Frame::Close(frame) = next(client).await {
            assert!(expect("the end", client.next()).await.is_none());
            return frame.map_or((1005, String::new()), |frame| {
                (frame.code.into(), frame.reason.as_str().to_owned())
            });
        }
    }
}

fn ended(code: u16, reason: &str) -> (u16, String) {
    (code, reason.to_owned())
}

#[tokio::test]
async fn texts_and_bytes_come_back_whatever_their_size() {
    let server = Server::start(invocations_only().websocket(echo)).await;
    let mut client = connect(&server).await;
    for message in [
        Frame::text("Grüße"),
        Frame::text(""),
        Frame::binary(vec![0, 255]),
        Frame::text("x".repeat(1_000_000)),
        Frame::binary(vec![7; 16 * 1024 * 1024]),
    ] {
        client.send(message.clone()).await.unwrap();
        assert!(
            next(&mut client).await == message,
            "{} bytes",
            message.len()
        );
    }
    client.close(None).await.unwrap();
    assert_eq!(closed(&mut client).await, ended(1005, ""));
}

#[tokio::test]
async fn many_messages_keep_their_order() {
    let server = Server::start(invocations_only().websocket(echo)).await;
    let (mut sender, mut receiver) = connect(&server).await.split();
    let sending = tokio::spawn(async move {
        for number in 0..5_000 {
            sender.feed(Frame::text(format!("{number}"))).await.unwrap();
        }
        sender.flush().await.unwrap();
    });
    for number in 0..5_000 {
        let frame = expect("an echo", receiver.next()).await.unwrap().unwrap();
        assert_eq!(frame.into_text().unwrap(), format!("{number}").as_str());
    }
    sending.await.unwrap();
}

#[tokio::test]
async fn a_message_above_16_mib_closes_with_1009() {
    let server = Server::start(invocations_only().websocket(echo)).await;
    let (mut sender, mut receiver) = connect(&server).await.split();
    let sending = tokio::spawn(async move {
        let too_long = Frame::binary(vec![0; 16 * 1024 * 1024 + 1]);
        let _ = sender.send(too_long).await;
        sender
    });
    let frame = expect("the close frame", receiver.next())
        .await
        .unwrap()
        .unwrap();
    let Frame::Close(Some(CloseFrame { code, reason })) = frame else {
        panic!("{frame:?}");
    };
    assert_eq!(u16::from(code), 1009);
    assert_eq!(reason.as_str(), "a message may have 16777216 bytes");
    drop(expect("the rest to be taken", sending).await.unwrap());
    assert!(expect("the end", receiver.next()).await.is_none());
}

#[tokio::test]
async fn a_handler_reads_and_writes_json_and_knows_its_caller() {
    async fn about(mut socket: WebSocket, context: Context) -> Result<(), Failure> {
        let asked = socket.recv().await.expect("a question");
        let asked: Value = asked.json().map_err(|error| Failure::from_error(&error))?;
        let answer = json!({
            "asked": asked["about"],
            "session": context.session().map(|session| session.id().as_str().to_owned()),
            "request": context.request_id(),
            "custom": context.forwarded_headers().iter().collect::<Vec<_>>(),
            "query": context.uri().query(),
        });
        let sent = socket.send_json(&answer).await;
        sent.map_err(|error| Failure::from_error(&error))
    }
    let server = Server::start(invocations_only().websocket(about)).await;
    let headers = [
        ("x-amzn-bedrock-agentcore-runtime-session-id", "s-1"),
        ("x-amzn-bedrock-agentcore-runtime-request-id", "r-1"),
        ("x-amzn-bedrock-agentcore-runtime-custom-team", "blue"),
    ];
    let (mut client, _) = try_connect(&server, &headers).await.unwrap();
    let question = Frame::text(r#"{"about": [1, "you"]}"#);
    client.send(question).await.unwrap();
    let text = next(&mut client).await.into_text().unwrap();
    assert!(text.starts_with(r#"{"asked":[1,"you"],"session":"s-1","request":"r-1","#));
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(answer["query"], "lang=de");
    let custom = answer["custom"].to_string().to_lowercase();
    assert!(custom.contains("runtime-custom-team\",\"blue"), "{custom}");
    assert_eq!(closed(&mut client).await, ended(1000, ""));
}

#[tokio::test]
async fn what_is_no_handshake_is_not_found_and_a_bad_one_says_why() {
    let server = Server::start(invocations_only().websocket(echo)).await;
    let client = reqwest::Client::new();
    for method in ["GET", "POST", "HEAD"] {
        let plain = client.request(method.parse().unwrap(), server.url("/ws"));
        assert_eq!(plain.send().await.unwrap().status(), 404, "{method}");
    }
    let upgrade = |request: reqwest::RequestBuilder| {
        request
            .header("connection", "upgrade")
            .header("upgrade", "websocket")
    };
    let posted = upgrade(client.post(server.url("/ws")))
        .send()
        .await
        .unwrap();
    assert_eq!(posted.status(), 404);

    let no_version = upgrade(client.get(server.url("/ws"))).send().await.unwrap();
    assert_eq!(no_version.status(), 426);
    assert_eq!(no_version.headers()["sec-websocket-version"], "13");
    let no_key = upgrade(client.get(server.url("/ws"))).header("sec-websocket-version", "13");
    let no_key = no_key.send().await.unwrap();
    assert_eq!(no_key.status(), 400);
    assert_eq!(
        no_key.headers()["content-type"],
        "text/plain; charset=utf-8"
    );
    assert!(no_key.text().await.unwrap().contains("Sec-WebSocket-Key"));
}

#[tokio::test]
async fn an_app_without_a_handler_answers_404() {
    let server = Server::start(invocations_only()).await;
    assert_eq!(refusal(&server, &[]).await, (404, "Not Found".to_owned()));
    let plain = request(invocations_only().router(), Method::GET, "/ws").await;
    assert_eq!(plain.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn the_first_offered_protocol_that_the_app_speaks_is_chosen() {
    async fn tell(mut socket: WebSocket, _: Context) {
        let protocol = socket.protocol().unwrap_or("none").to_owned();
        socket
            .send_text(protocol)
            .await
            .expect("the client listens");
    }
    let app = invocations_only().websocket_protocols(["chat.v1", "chat.v2"]);
    let server = Server::start(app.websocket(tell)).await;
    let name = "sec-websocket-protocol";
    let offer = [(name, "chat.v3, chat.v2, chat.v1")];
    let (mut client, answer) = try_connect(&server, &offer).await.unwrap();
    assert_eq!(answer.headers()[name], "chat.v2");
    assert_eq!(next(&mut client).await, Frame::text("chat.v2"));

    let (mut client, answer) = try_connect(&server, &[]).await.unwrap();
    assert!(!answer.headers().contains_key(name));
    assert_eq!(next(&mut client).await, Frame::text("none"));
}

#[tokio::test]
async fn a_connection_splits_into_halves() {
    async fn halves(socket: WebSocket, _: Context) {
        let (mut sender, mut receiver) = socket.split();
        let (lines, mut said) = mpsc::channel::<Message>(1);
        let writing = tokio::spawn(async move {
            while let Some(message) = said.recv().await {
                sender.send(message).await.expect("the client listens");
            }
            sender.close().await.expect("closing is always possible");
        });
        while let Some(message) = receiver.next().await {
            if message.as_text() == Some("end") {
                break;
            }
            lines.send(message).await.expect("the writer takes it");
        }
        drop(lines);
        writing.await.expect("the writer ends");
    }
    let server = Server::start(invocations_only().websocket(halves)).await;
    let mut client = connect(&server).await;
    for text in ["one", "two", "end"] {
        client.send(Frame::text(text)).await.unwrap();
    }
    assert_eq!(next(&mut client).await, Frame::text("one"));
    assert_eq!(next(&mut client).await, Frame::text("two"));
    assert_eq!(closed(&mut client).await, ended(1000, ""));
}

#[tokio::test]
async fn layers_and_routes_around_the_app_let_websockets_through() {
    #[derive(Clone)]
    struct User(&'static str);
    async fn name(mut socket: WebSocket, context: Context) {
        let user = context
            .extension::<User>()
            .expect("the layer attached it")
            .0;
        socket.send_text(user).await.expect("the client listens");
    }
    let know = from_fn(|mut request: Request, next: Next| {
        request.extensions_mut().insert(User("ada"));
        next.run(request)
    });
    let about = Router::new().route("/about", axum::routing::get(|| async { "about" }));
    let app = invocations_only().websocket(name).routes(about).layer(know);
    let server = Server::start(app).await;
    let mut client = connect(&server).await;
    assert_eq!(next(&mut client).await, Frame::text("ada"));
    assert_eq!(closed(&mut client).await, ended(1000, ""));
}

#[tokio::test]
async fn ping_answers_while_websockets_block_every_thread_of_the_agent() {
    let blockade = Blockade::new();
    let blocks = blockade.clone();
    let app = invocations_only().websocket(move |mut socket: WebSocket, _: Context| {
        let blocks = blocks.clone();
        async move {
            socket.send_text("open").await.expect("the client listens");
            blocks.block();
        }
    });
    let server = Server::start(app).await;
    let (address, mut clients) = (server.address, Vec::new());
    for _ in 0..blockade.threads {
        let url = format!("ws://{address}/ws");
        clients.push(tokio::spawn(tokio_tungstenite::connect_async(url)));
    }
    blockade.is_complete().await;
    for _ in 0..20 {
        let ping = expect("a ping", reqwest::get(server.url("/ping"))).await;
        assert_eq!(ping.unwrap().status(), 200);
    }
    blockade.lift();
    for client in clients {
        let (mut client, _) = client.await.unwrap().unwrap();
        assert_eq!(closed(&mut client).await, ended(1000, ""));
    }
}

#[tokio::test]
async fn a_session_with_an_open_websocket_is_not_evicted() {
    let app = invocations_only()
        .session_limits(SessionLimits::default().max_open(1))
        // What keeps the session is the connection, and nothing that the handler has.
        .websocket(async |mut socket: WebSocket, context: Context| {
            drop(context);
            while socket.recv().await.is_some() {}
        });
    let sessions = app.sessions().clone();
    let server = Server::start(app).await;
    let (mut client, _) = try_connect(&server, &[(SESSION, "a")]).await.unwrap();
    let call = async || {
        let call = reqwest::Client::new().post(server.url("/invocations"));
        let answer = call.header(SESSION, "b").body("1").send();
        expect("an answer", answer).await.unwrap().status()
    };
    assert_eq!(call().await, 503, "there is no room beside `a`");
    client.close(None).await.unwrap();
    while client.next().await.is_some() {}
    while call().await != 200 {}
    assert_eq!(sessions.len(), 1);
}
