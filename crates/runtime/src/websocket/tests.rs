//! Tests of connections without a network, under a clock that the test moves: pressure, keep-alive, and the order of the end.

mod agents;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::pending;
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, DuplexStream, duplex};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_util::sync::CancellationToken;

use super::pump::{Cut, Ending, Job, Pump, Times};
use super::socket::pair;
use super::{CloseReason, WebSocket, WebSocketError};
use crate::failure::Failure;

type Client = WebSocketStream<DuplexStream>;
type Pumped = JoinHandle<(CloseReason, Option<Ending>)>;

/// What a pipe between client and server holds, in bytes.
const PIPE: usize = 8 * 1024;
/// More than all the buffers on the way to a handler or to a client.
const PLENTY: usize = 4 * 1024 * 1024;
/// Long enough for everything to stand still; the clock of these tests jumps.
const STILL: Duration = Duration::from_secs(1);

/// Opens a connection whose handler is the test.
async fn open(
    work: impl Future<Output = Result<(), Failure>> + Send + 'static,
) -> (Client, WebSocket, Pumped) {
    let (near, far) = duplex(PIPE);
    let (socket, end) = pair(None);
    let mut job = Job::new(Box::pin(work), pending::<Cut>());
    let pump = Pump::new(far, end, Times::default(), CancellationToken::new()).await;
    let pumped = tokio::spawn(async move { pump.run(&mut job).await });
    let client = WebSocketStream::from_raw_socket(near, Role::Client, None).await;
    (client, socket, pumped)
}

/// Sends as much as goes through until everything stands still, and returns how many bytes that were.
async fn fill(client: &mut Client) -> usize {
    let mut sent = 0;
    while let Ok(went) = timeout(STILL, client.send(Frame::binary(vec![0; 4096]))).await {
        went.unwrap();
        sent += 4096;
        assert!(sent < PLENTY, "nothing holds the client up");
    }
    sent
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_does_not_read_stops_the_client() {
    let (mut client, mut socket, pumped) = open(pending()).await;
    let sent = fill(&mut client).await;
    assert!(sent >= 1024 * 1024 / 2, "{sent} bytes are no buffer");
    // Reading sets it going again, and nothing is lost; the last message was stuck half-way.
    let reading = tokio::spawn(async move {
        let mut received = 0;
        while received <= sent {
            received += socket
                .recv()
                .await
                .expect("the client is there")
                .as_bytes()
                .len();
        }
        socket
    });
    client.flush().await.unwrap();
    let socket = reading.await.unwrap();
    drop(client);
    assert_eq!(pumped.await.unwrap().0, CloseReason::new(1006, ""));
    assert_eq!(socket.close_reason().unwrap().code, 1006);
}

#[tokio::test(start_paused = true)]
async fn a_message_longer_than_the_room_passes_alone() {
    let (mut client, mut socket, _pumped) = open(pending()).await;
    let long = Bytes::from(vec![1; 3 * 1024 * 1024]);
    let sending = tokio::spawn({
        let long = long.clone();
        async move {
            client.send(Frame::Binary(long)).await.unwrap();
            client.send(Frame::text("after")).await.unwrap();
            client
        }
    });
    assert_eq!(socket.recv().await.unwrap().as_bytes(), long);
    assert_eq!(socket.recv().await.unwrap().as_text(), Some("after"));
    sending.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_stops_the_handler() {
    let (mut client, mut socket, _pumped) = open(pending()).await;
    let mut sent = 0;
    while timeout(STILL, socket.send("x".repeat(1000))).await.is_ok() {
        sent += 1;
        assert!(sent < PLENTY / 1000, "nothing holds the handler up");
    }
    for _ in 0..sent {
        assert_eq!(client.next().await.unwrap().unwrap().len(), 1000);
    }
    socket.send("on it goes").await.unwrap();
    assert_eq!(
        client.next().await.unwrap().unwrap(),
        Frame::text("on it goes")
    );
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_is_still_read() {
    let (mut client, mut socket, _pumped) = open(pending()).await;
    while timeout(STILL, socket.send("x".repeat(1000))).await.is_ok() {}
    client.send(Frame::text("hello")).await.unwrap();
    assert_eq!(socket.recv().await.unwrap().as_text(), Some("hello"));
}

#[tokio::test(start_paused = true)]
async fn a_silent_client_is_pinged_every_20_seconds_and_its_pongs_keep_it() {
    let (mut client, socket, _pumped) = open(pending()).await;
    let began = Instant::now();
    for count in 1..=5 {
        let frame = client.next().await.unwrap().unwrap();
        assert_eq!(frame, Frame::Ping(Bytes::new()));
        assert_eq!(began.elapsed().as_secs(), 20 * count);
        client.flush().await.unwrap();
    }
    assert_eq!(socket.close_reason(), None);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_gives_no_sign_of_life_is_dropped() {
    let (client, mut socket, pumped) = open(pending()).await;
    let began = Instant::now();
    assert_eq!(socket.recv().await, None);
    assert_eq!(began.elapsed().as_secs(), 40, "20 to the ping, 20 after it");
    assert_eq!(socket.close_reason().unwrap().code, 1006);
    assert_eq!(socket.send("anyone?").await, Err(WebSocketError::Closed));
    pumped.await.unwrap();
    drop(client);
}

#[tokio::test(start_paused = true)]
async fn a_client_is_not_dropped_because_the_handler_does_not_read() {
    let (mut client, mut socket, _pumped) = open(pending()).await;
    fill(&mut client).await;
    sleep(Duration::from_mins(10)).await;
    assert_eq!(socket.close_reason(), None);
    let took = tokio::spawn(async move { while socket.recv().await.is_some() {} });
    // Whoever reads again is answered again.
    let frame = client.next().await.unwrap().unwrap();
    assert_eq!(frame, Frame::Ping(Bytes::new()));
    drop(client);
    took.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn that_the_client_left_is_known_before_what_it_sent_is_read() {
    let (mut client, mut socket, _pumped) = open(pending()).await;
    client.send(Frame::text("last")).await.unwrap();
    let closed = socket.closed();
    client.close(None).await.unwrap();
    assert_eq!(closed.await.code, 1005);
    assert_eq!(socket.closed().await.code, 1005, "and ever after");
    assert_eq!(socket.recv().await.unwrap().as_text(), Some("last"));
    assert_eq!(socket.recv().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_long_message_that_comes_slowly_is_a_sign_of_life() {
    use tokio::io::AsyncWriteExt;
    let (mut near, far) = duplex(PIPE);
    let (mut socket, end) = pair(None);
    let mut job = Job::new(Box::pin(pending()), pending::<Cut>());
    let pump = Pump::new(far, end, Times::default(), CancellationToken::new()).await;
    let _pumped = tokio::spawn(async move { pump.run(&mut job).await });
    // One text of 100 bytes, masked with zeros, a byte each 15 seconds.
    near.write_all(&[0x81, 0x80 | 0x64, 0, 0, 0, 0])
        .await
        .unwrap();
    for _ in 0..100 {
        sleep(Duration::from_secs(15)).await;
        near.write_all(b"x").await.unwrap();
    }
    assert_eq!(
        socket.recv().await.unwrap().as_text(),
        Some(&*"x".repeat(100))
    );
}

#[tokio::test(start_paused = true)]
async fn what_was_sent_before_the_end_of_the_handler_arrives() {
    let returned = Arc::new(Notify::new());
    let work = Arc::clone(&returned);
    let work = async move {
        work.notified().await;
        Ok(())
    };
    let (mut client, mut socket, pumped) = open(work).await;
    for number in 0..32 {
        socket
            .send(format!("{number}{}", "x".repeat(2000)))
            .await
            .unwrap();
    }
    drop(socket);
    returned.notify_one();
    for number in 0..32 {
        let text = client.next().await.unwrap().unwrap().into_text().unwrap();
        assert!(text.starts_with(&format!("{number}x")));
    }
    let Frame::Close(Some(frame)) = client.next().await.unwrap().unwrap() else {
        panic!("no close frame");
    };
    assert_eq!(u16::from(frame.code), 1000);
    client.flush().await.unwrap();
    let (_, ending) = pumped.await.unwrap();
    assert!(matches!(ending, Some(Ending::Returned(Ok(())))));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_answer_a_close_is_left_after_5_seconds() {
    let (mut client, mut socket, pumped) = open(pending()).await;
    let began = Instant::now();
    socket.close(1000, "").await.unwrap();
    assert_eq!(socket.recv().await, None, "at once");
    assert_eq!(began.elapsed(), Duration::ZERO);
    pumped.await.unwrap();
    assert_eq!(began.elapsed(), Duration::from_secs(5));
    let mut rest = Vec::new();
    client.get_mut().read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, [0x88, 2, 3, 0xe8]);
}
