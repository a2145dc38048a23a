//! WebSockets through the front door: what passes, what both sides see of the handshake, and who is refused.

use std::time::Duration;

use agentcore_local::Limits;
use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

use crate::socket_support::{LONG, STATUS, about, by_arn, end_of, next, refusal};
use crate::support::{ARN, PATIENCE, Running, SESSION, kill, limits, set};

#[tokio::test(flavor = "multi_thread")]
async fn texts_and_bytes_come_back_whatever_their_size() {
    let door = Running::start().await;
    let mut socket = door.socket("one").await;
    for message in [
        Message::text("Grüße"),
        Message::text(""),
        Message::binary(vec![0, 255]),
        Message::text("x".repeat(70_000)),
        Message::binary(vec![7; 8 * 1024 * 1024]),
    ] {
        socket.send(message.clone()).await.unwrap();
        assert!(
            next(&mut socket).await == message,
            "{} bytes",
            message.len()
        );
    }
    door.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_messages_keep_their_order_under_way_in_both_directions() {
    let door = Running::start().await;
    let (mut sender, mut receiver) = door.socket("one").await.split();
    let sending = tokio::spawn(async move {
        for number in 0..5_000 {
            sender
                .feed(Message::text(format!("{number}")))
                .await
                .unwrap();
        }
        sender.flush().await.unwrap();
    });
    for number in 0..5_000 {
        let message = tokio::time::timeout(PATIENCE, receiver.next()).await;
        let text = message.unwrap().unwrap().unwrap().into_text().unwrap();
        assert_eq!(text, format!("{number}").as_str());
    }
    sending.await.unwrap();
    door.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_does_not_read_holds_the_agent_back() {
    let door = Running::start().await;
    let mut socket = door.socket("one").await;
    socket.send(Message::text("flood")).await.unwrap();
    let mut sent = 0;
    loop {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let now = door.ask("one", json!({ "do": "count sent" })).await["sent"]
            .as_u64()
            .unwrap();
        if now > 0 && now == sent {
            break;
        }
        sent = now;
    }
    // What the buffers of two sockets hold, and no more.
    assert!(
        sent * 65_536 < 64 * 1024 * 1024,
        "{sent} messages are somewhere"
    );
    for _ in 0..=sent {
        assert_eq!(next(&mut socket).await.len(), 65_536);
    }
    door.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_the_same_by_invocation_and_by_websocket() {
    let door = Running::start().await;
    let pid = door.pid("one").await;
    let (mut socket, response) = door.try_socket("/ws", &[(SESSION, "one")]).await.unwrap();
    assert_eq!(response.headers()[SESSION], "one");
    assert_eq!(about(&mut socket).await["pid"], pid);
    assert_eq!(door.status().await.sandboxes[0].open, 1);

    let (mut socket, response) = door.try_socket("/ws", &[]).await.unwrap();
    let made = response.headers()[SESSION].to_str().unwrap().to_owned();
    assert_eq!(made.len(), 36);
    assert_eq!(about(&mut socket).await["pid"], door.pid(&made).await);
    assert_ne!(door.pid(&made).await, pid);
    door.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn both_sides_see_the_handshake_without_what_concerns_one_connection() {
    let door = Running::start().await;
    let headers = [
        (SESSION, "one"),
        ("x-amzn-bedrock-agentcore-runtime-custom-team", "blue"),
        ("authorization", "Bearer token"),
        ("connection", "Upgrade, x-hop"),
        ("x-hop", "1"),
        ("content-length", "0"),
    ];
    let opened = door.try_socket("/ws?a=b%20c", &headers).await;
    let (mut socket, response) = opened.unwrap();
    assert_eq!(response.headers()["x-public"], "2");
    assert!(response.headers().get("x-private").is_none());
    let about = about(&mut socket).await;
    assert_eq!(about["uri"], "/ws?a=b%20c");
    let seen = &about["headers"];
    assert_eq!(seen["x-amzn-bedrock-agentcore-runtime-custom-team"], "blue");
    assert_eq!(seen["authorization"], "Bearer token");
    assert_eq!(seen["sec-websocket-version"], "13");
    assert_eq!(seen["host"], "localhost");
    assert_eq!(seen[SESSION], "one");
    let id = &seen["x-amzn-bedrock-agentcore-runtime-request-id"];
    assert_eq!(id.as_str().unwrap().len(), 36);
    for gone in ["x-hop", "content-length"] {
        assert!(seen.get(gone).is_none(), "{gone}");
    }
    door.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_right_after_the_handshake_is_not_lost() {
    let door = Running::start().await;
    let address = door.url.strip_prefix("http://").unwrap().to_owned();
    let mut caller = TcpStream::connect(address).await.unwrap();
    let handshake =
        b"GET /ws HTTP/1.1\r\nhost: localhost\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
        sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let hi = [0x81, 0x82, 0, 0, 0, 0, b'h', b'i'];
    caller
        .write_all(&[&handshake[..], &hi].concat())
        .await
        .unwrap();
    // It has said all, and still gets its answer.
    caller.shutdown().await.unwrap();
    let mut answer = Vec::new();
    let read = tokio::time::timeout(PATIENCE, caller.read_to_end(&mut answer)).await;
    read.expect("the connection to end").unwrap();
    let text = String::from_utf8_lossy(&answer);
    assert!(text.starts_with("HTTP/1.1 101 "), "{text}");
    assert!(text.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{text}");
    assert!(text.contains("\u{2}hi"), "{text}");
    door.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_refuses_is_heard() {
    let door = Running::start().await;
    for status in [401, 403, 404] {
        let named = status.to_string();
        let refused = refusal(&door, "/ws", &[(SESSION, "one"), (STATUS, &named)]).await;
        assert_eq!(refused.0, status);
        assert_eq!(refused.1[SESSION], "one");
        assert_eq!(refused.2, json!({ "error": "not you" }));
    }
    let url = format!("{}/ws", door.url);
    let plain = door.client.get(url).send().await.unwrap();
    assert_eq!(plain.status(), 404);
    assert_eq!(plain.text().await.unwrap(), "Not Found");
    assert!(door.status().await.sandboxes.iter().all(|it| it.open == 0));
    door.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn web_pages_from_elsewhere_get_no_websocket() {
    let door = Running::start().await;
    for (name, value) in [
        ("origin", "https://example.com"),
        ("origin", "null"),
        ("host", "example.com"),
    ] {
        for path in ["/ws".to_owned(), by_arn(ARN)] {
            let refused = refusal(&door, &path, &[(name, value)]).await;
            assert_eq!(refused.0, 403, "{name}: {value}");
        }
    }
    assert_eq!(door.status().await.sandboxes[0].session, None);
    let own = door.try_socket("/ws", &[("origin", "http://localhost:3000")]);
    own.await.unwrap();
    door.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_sandbox_there_is_an_answer_and_no_websocket() {
    let one = Limits {
        max_sandboxes: 1,
        ..limits()
    };
    let door = Running::start_with(|config| {
        config.limits = one;
        set(config, "TEST_START", "crash the second time");
    });
    let door = door.await.unwrap();
    let full = "no sandbox is free for another session: the limit is 1";
    let mut socket = door.socket("one").await;
    let refused = refusal(&door, "/ws", &[(SESSION, "two")]).await;
    assert_eq!((refused.0, &refused.2["error"]), (429, &full.into()));
    let refused = refusal(&door, &by_arn(ARN), &[(SESSION, LONG)]).await;
    assert_eq!((refused.0, &refused.2["message"]), (429, &full.into()));
    assert_eq!(refused.1["x-amzn-errortype"], "ThrottlingException");

    let pid = door.status().await.sandboxes[0].pid.unwrap();
    kill(pid);
    end_of(&mut socket).await;
    let refused = refusal(&door, "/ws", &[(SESSION, "one")]).await;
    assert_eq!(refused.0, 424);
    assert_eq!(refused.2["error_type"], "SandboxNotStarted");
    door.end().await;
}
