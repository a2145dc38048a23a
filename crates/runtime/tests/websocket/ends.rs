//! Every way in which a WebSocket ends: by the handler, the client, the server, a limit, or a broken connection.

use std::sync::Arc;
use std::time::Duration;

use agentcore_runtime::{App, Context, Limits, Message, WebSocket};
use futures_util::SinkExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};
use tokio_tungstenite::MaybeTlsStream;
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use super::{closed, connect, echo, ended, invocations_only, next};
use crate::support::{Dropped, Server, expect};

#[derive(Debug, thiserror::Error)]
#[error("no such order")]
struct NoSuchOrder;

#[tokio::test]
async fn the_end_of_a_handler_closes_the_connection() {
    async fn by_request(mut socket: WebSocket, _: Context) -> Result<(), NoSuchOrder> {
        let wish = socket.recv().await;
        socket
            .send_text("last words")
            .await
            .expect("the client listens");
        match wish.as_ref().and_then(Message::as_text) {
            Some("fail") => Err(NoSuchOrder),
            Some("panic") => panic!("on purpose"),
            Some("close") => {
                socket
                    .close(4001, "that was all")
                    .await
                    .expect("it is open");
                assert!(socket.send_text("more").await.is_err());
                assert!(socket.recv().await.is_none());
                assert_eq!(socket.close_reason().expect("it is closed").code, 4001);
                Err(NoSuchOrder)
            }
            _ => Ok(()),
        }
    }
    let server = Server::start(invocations_only().websocket(by_request)).await;
    for (wish, end) in [
        ("return", ended(1000, "")),
        ("fail", ended(1011, "")),
        ("panic", ended(1011, "")),
        ("close", ended(4001, "that was all")),
    ] {
        let mut client = connect(&server).await;
        client.send(Frame::text(wish)).await.unwrap();
        assert_eq!(next(&mut client).await, Frame::text("last words"), "{wish}");
        assert_eq!(closed(&mut client).await, end, "{wish}");
    }
}

/// An app whose handler reads to the end and tells what that was.
fn reports_the_end() -> (App, mpsc::UnboundedReceiver<(usize, u16, String)>) {
    let (ends, received) = mpsc::unbounded_channel();
    let app = invocations_only().websocket(move |mut socket: WebSocket, _: Context| {
        let ends = ends.clone();
        async move {
            let mut count = 0;
            while socket.recv().await.is_some() {
                count += 1;
            }
            let end = socket.close_reason().expect("it is closed").clone();
            ends.send((count, end.code, end.reason))
                .expect("the test listens");
        }
    });
    (app, received)
}

#[tokio::test]
async fn a_handler_hears_how_the_client_closed_after_all_that_it_sent() {
    let (app, mut ends) = reports_the_end();
    let server = Server::start(app).await;
    for (frame, code, reason) in [
        (Some((3000, "enough")), 3000, "enough"),
        (Some((1000, "")), 1000, ""),
        (None, 1005, ""),
    ] {
        let mut client = connect(&server).await;
        for _ in 0..3 {
            client.send(Frame::text("hello")).await.unwrap();
        }
        let frame = frame.map(|(code, reason): (u16, &'static str)| CloseFrame {
            code: code.into(),
            reason: reason.into(),
        });
        client.close(frame).await.unwrap();
        let end = expect("the handler's end", ends.recv()).await.unwrap();
        assert_eq!(end, (3, code, reason.to_owned()));
        assert_eq!(closed(&mut client).await, ended(code, reason), "echoed");
    }
}

#[tokio::test]
async fn a_client_that_vanishes_ends_the_handler_and_leaves_nothing() {
    let (app, mut ends) = reports_the_end();
    // Far longer than the test: the server ends in time only if nothing is left to wait for.
    let server = Server::start(app.drain(Duration::from_hours(1))).await;
    for with_reset in [true, false] {
        let mut client = connect(&server).await;
        client.send(Frame::text("hello")).await.unwrap();
        if let (MaybeTlsStream::Plain(stream), true) = (client.get_ref(), with_reset) {
            stream.set_zero_linger().unwrap();
        }
        drop(client);
        let (_, code, _) = expect("the handler's end", ends.recv()).await.unwrap();
        assert_eq!(code, 1006);
    }
    expect("the server to end", server.stop())
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn a_handler_may_go_on_after_the_client_has_left() {
    let (left, finished) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (leaving, go_on) = (Arc::clone(&left), Arc::new(Notify::new()));
    let (finishing, going_on) = (Arc::clone(&finished), Arc::clone(&go_on));
    let app = invocations_only().websocket(move |mut socket: WebSocket, _: Context| {
        let signals = (
            Arc::clone(&leaving),
            Arc::clone(&going_on),
            Arc::clone(&finishing),
        );
        async move {
            assert!(socket.recv().await.is_none());
            signals.0.notify_one();
            signals.1.notified().await;
            signals.2.notify_one();
        }
    });
    let server = Server::start(app).await;
    drop(connect(&server).await);
    expect("the handler to see it", left.notified()).await;
    let serving = server.stop();
    go_on.notify_one();
    expect("the server to end", serving).await.unwrap().unwrap();
    expect("the handler to have finished", finished.notified()).await;
}

#[tokio::test]
async fn a_drain_waits_for_handlers_that_end() {
    let server = Server::start(
        invocations_only()
            .websocket(echo)
            .drain(Duration::from_hours(1)),
    )
    .await;
    let mut client = connect(&server).await;
    let serving = server.stop();
    client.send(Frame::text("still here")).await.unwrap();
    assert_eq!(next(&mut client).await, Frame::text("still here"));
    client.close(None).await.unwrap();
    closed(&mut client).await;
    expect("the server to end", serving).await.unwrap().unwrap();
}

/// An app whose handler waits for ever, and what hears when it is dropped.
fn endless() -> (App, Arc<Notify>) {
    let dropped = Arc::new(Notify::new());
    let guard = Arc::clone(&dropped);
    let app = invocations_only().websocket(move |mut socket: WebSocket, _: Context| {
        let guard = Dropped(Arc::clone(&guard));
        async move {
            let _guard = guard;
            socket.send_text("open").await.expect("the client listens");
            std::future::pending::<()>().await;
        }
    });
    (app, dropped)
}

#[tokio::test]
async fn the_end_of_a_drain_closes_with_1001_and_cancels_the_handler() {
    let (app, dropped) = endless();
    let server = Server::start(app.drain(Duration::from_millis(50))).await;
    let mut client = connect(&server).await;
    assert_eq!(next(&mut client).await, Frame::text("open"));
    let serving = server.stop();
    let end = closed(&mut client).await;
    assert_eq!(end, ended(1001, "the server is shutting down"));
    expect("the handler to be cancelled", dropped.notified()).await;
    expect("the server to end", serving).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_server_that_is_dropped_takes_its_websockets_along() {
    let (app, dropped) = endless();
    let server = Server::start(app).await;
    let mut client = connect(&server).await;
    assert_eq!(next(&mut client).await, Frame::text("open"));
    server.stop().abort();
    let end = closed(&mut client).await;
    assert_eq!(end, ended(1001, "the server is shutting down"));
    expect("the handler to be cancelled", dropped.notified()).await;
}

#[tokio::test]
async fn a_connection_that_is_open_too_long_is_closed_with_1008() {
    let (app, dropped) = endless();
    let limits = Limits::default().stream(Duration::from_millis(200));
    let server = Server::start(app.limits(limits)).await;
    let mut client = connect(&server).await;
    let end = closed(&mut client).await;
    assert_eq!(end, ended(1008, "the WebSocket was open too long"));
    expect("the handler to be cancelled", dropped.notified()).await;
}

#[tokio::test]
async fn a_client_that_breaks_the_protocol_is_told_so() {
    let (app, mut ends) = reports_the_end();
    let server = Server::start(app).await;
    for (frame, code) in [
        // A text that is not masked, one that is not UTF-8, and an opcode that does not exist.
        (&[0x81, 0x01, b'a'][..], 1002),
        (&[0x81, 0x81, 0, 0, 0, 0, 0xff], 1007),
        (&[0x83, 0x80, 0, 0, 0, 0], 1002),
    ] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let head = "GET /ws HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
            sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(frame).await.unwrap();
        let mut came = Vec::new();
        let read = expect("the end", stream.read_to_end(&mut came)).await;
        read.unwrap();
        let head_end = came
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
            .unwrap()
            + 4;
        assert_eq!(came[head_end], 0x88, "a close frame");
        let told = u16::from_be_bytes([came[head_end + 2], came[head_end + 3]]);
        assert_eq!(told, code);
        let (_, code_heard, _) = expect("the handler's end", ends.recv()).await.unwrap();
        assert_eq!(code_heard, code);
    }
}
