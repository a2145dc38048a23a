//! Streams over real connections: events as they come, back-pressure, and callers who leave.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use agentcore_runtime::{App, CallerLeaves, Failure, Limits, StatusCode};
use futures_util::{Stream, StreamExt, stream};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};

use crate::support::{
    Dropped, Held, PATIENCE, Server, endless, expect, held, invocation, read_until, send,
};

const INVOKE: &[u8] = b"POST /invocations HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\r\n1";

async fn connect(server: &Server) -> TcpStream {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(INVOKE).await.unwrap();
    stream
}

/// An app that streams what the test sends, and says when its stream is dropped.
fn fed() -> (App, mpsc::Sender<Value>, Arc<Notify>) {
    let (sender, receiver) = mpsc::channel::<Value>(1);
    let receiver = Arc::new(tokio::sync::Mutex::new(receiver));
    let dropped = Arc::new(Notify::new());
    let guard = Arc::clone(&dropped);
    let app = App::streaming(move |_: Value| {
        let state = (Arc::clone(&receiver), Dropped(Arc::clone(&guard)));
        stream::unfold(state, |(receiver, guard)| async move {
            let item = receiver.lock().await.recv().await?;
            Some((item, (receiver, guard)))
        })
    });
    (app, sender, dropped)
}

#[tokio::test]
async fn the_second_event_is_made_only_after_the_first_was_read() {
    let (app, sender, _) = fed();
    let server = Server::start(app).await;
    let mut stream = connect(&server).await;

    sender.send("first".into()).await.unwrap();
    let text = read_until(&mut stream, "data: \"first\"\n\n\r\n").await;
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n"), "{text}");
    assert!(text.contains("content-type: text/event-stream; charset=utf-8\r\n"));
    assert!(text.contains("transfer-encoding: chunked\r\n"));

    sender.send("second".into()).await.unwrap();
    read_until(&mut stream, "data: \"second\"\n\n\r\n").await;

    drop(sender);
    let end = read_until(&mut stream, "0\r\n\r\n").await;
    assert_eq!(end, "0\r\n\r\n", "nothing marks the end but the end");
}

/// The ways in which a caller goes away. Who closes only its sending side counts as gone too.
#[derive(Clone, Copy, Debug)]
enum Leaves {
    Closes,
    Resets,
    ClosesHalf,
}

const WAYS: [Leaves; 3] = [Leaves::Closes, Leaves::Resets, Leaves::ClosesHalf];

/// Returns what is left of the connection, so that half of it stays open.
async fn leave(mut stream: TcpStream, how: Leaves) -> Option<TcpStream> {
    match how {
        Leaves::Closes => None,
        Leaves::Resets => {
            stream.set_zero_linger().unwrap();
            None
        }
        Leaves::ClosesHalf => {
            stream.shutdown().await.unwrap();
            Some(stream)
        }
    }
}

#[tokio::test]
async fn a_caller_who_leaves_a_silent_stream_cancels_it_at_once() {
    for how in WAYS {
        let (app, sender, dropped) = fed();
        let server = Server::start(app).await;
        let mut stream = connect(&server).await;
        sender.send("first".into()).await.unwrap();
        read_until(&mut stream, "\"first\"\n\n\r\n").await;

        let left = leave(stream, how).await;
        expect("the stream to be dropped", dropped.notified()).await;
        drop((sender, left));
    }
}

#[tokio::test]
async fn a_caller_who_leaves_a_silent_stream_before_its_head_cancels_it_at_once() {
    for how in WAYS {
        let (entered, dropped) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (entering, dropping) = (Arc::clone(&entered), Arc::clone(&dropped));
        let app = App::streaming(move |_: Value| {
            let (entering, guard) = (Arc::clone(&entering), Dropped(Arc::clone(&dropping)));
            stream::once(async move {
                let _guard = guard;
                entering.notify_one();
                std::future::pending::<Value>().await
            })
        });
        let server = Server::start(app).await;
        let stream = connect(&server).await;
        expect("the stream to be asked", entered.notified()).await;
        let left = leave(stream, how).await;
        expect("the stream to be dropped", dropped.notified()).await;
        drop(left);
    }
}

#[tokio::test]
async fn a_plain_handler_is_cancelled_at_once_where_the_app_wants_that() {
    for how in WAYS {
        let (app, entered, dropped) = endless();
        let server = Server::start(app.when_caller_leaves(CallerLeaves::Cancel)).await;
        let stream = connect(&server).await;
        expect("the handler to begin", entered.notified()).await;
        let left = leave(stream, how).await;
        expect("the handler to be dropped", dropped.notified()).await;
        drop(left);
    }
}

#[tokio::test]
async fn a_caller_who_leaves_before_the_stream_opens_cancels_it() {
    let (entered, dropped) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (entering, dropping) = (Arc::clone(&entered), Arc::clone(&dropped));
    let app = App::streaming(move |_: Value| {
        let (entering, guard) = (Arc::clone(&entering), Dropped(Arc::clone(&dropping)));
        async move {
            let _guard = guard;
            entering.notify_one();
            std::future::pending::<stream::Empty<u8>>().await
        }
    });
    let server = Server::start(app).await;
    let stream = connect(&server).await;
    expect("the handler to begin", entered.notified()).await;

    drop(stream);
    expect("the handler to be dropped", dropped.notified()).await;
}

#[tokio::test]
async fn a_plain_handler_finishes_even_if_its_caller_leaves() {
    for how in WAYS {
        let (
            app,
            Held {
                entered,
                go_on,
                finished,
            },
        ) = held();
        let server = Server::start(app).await;
        let stream = connect(&server).await;
        expect("the handler to begin", entered.notified()).await;

        let left = leave(stream, how).await;
        // Another answer shows that the server went on and had the time to notice.
        for _ in 0..3 {
            let ping = reqwest::get(server.url("/ping")).await.unwrap();
            assert_eq!(ping.status(), 200);
        }
        go_on.notify_one();
        expect("the handler to finish", finished.notified()).await;
        if let Some(mut half) = left {
            let mut answer = String::new();
            half.read_to_string(&mut answer).await.unwrap();
            assert_eq!(answer, "", "half a connection is none");
        }
    }
}

/// Waits until an answer begins, and reads next to nothing of it.
async fn begun(stream: &mut TcpStream) {
    let mut status = [0; 12];
    let read = expect("an answer", stream.read_exact(&mut status)).await;
    read.unwrap();
    assert_eq!(&status, b"HTTP/1.1 200");
}

/// Counts how many items were taken from it.
fn counted(taken: &Arc<AtomicUsize>) -> impl Stream<Item = String> + use<> {
    let taken = Arc::clone(taken);
    stream::repeat_with(move || {
        taken.fetch_add(1, Ordering::Relaxed);
        "x".repeat(1024)
    })
}

#[tokio::test]
async fn a_reader_who_stops_stops_the_producer() {
    let taken = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&taken);
    let server = Server::start(App::streaming(move |_: Value| counted(&count))).await;
    let mut stream = connect(&server).await;
    begun(&mut stream).await;

    // It comes to rest when the buffers between are full, long before this many megabytes.
    let still = async {
        loop {
            let before = taken.load(Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(200)).await;
            if taken.load(Ordering::Relaxed) == before {
                return before;
            }
        }
    };
    let made = expect("the producer to rest", still).await;
    assert!(
        made < 50_000,
        "{made} items of 1 KiB for a caller who does not read"
    );
}

#[tokio::test]
async fn every_item_of_a_long_stream_arrives_in_order() {
    let app = App::streaming(|_: Value| stream::iter(0..10_000));
    let server = Server::start(app).await;
    let client = reqwest::Client::new();
    let answer = client.post(server.url("/invocations")).body("1").send();
    let text = tokio::time::timeout(PATIENCE, answer.await.unwrap().text());
    let text = text.await.unwrap().unwrap();
    let events = text.split_terminator("\n\n");
    let numbers: Vec<u32> = events
        .map(|event| event.strip_prefix("data: ").unwrap().parse().unwrap())
        .collect();
    assert!(numbers.iter().copied().eq(0..10_000), "{}", numbers.len());
}

#[tokio::test]
async fn a_slow_item_is_not_held_back_by_the_next() {
    let app = App::streaming(|_: Value| {
        stream::iter(["now", "never"]).then(async |word| {
            if word == "never" {
                std::future::pending::<()>().await;
            }
            word
        })
    });
    let server = Server::start(app).await;
    let mut stream = connect(&server).await;
    read_until(&mut stream, "data: \"now\"\n\n\r\n").await;
}

#[tokio::test]
async fn a_silent_stream_sends_comments_where_the_app_wants_that() {
    let (app, sender, _) = fed();
    let server = Server::start(app.keep_alive(Duration::from_millis(50))).await;
    let mut stream = connect(&server).await;
    sender.send("first".into()).await.unwrap();
    // Comments come as long as nobody ends the stream, so what is read may end anywhere.
    let mut text = String::new();
    while text.matches("E\r\n: keep-alive\n\n\r\n").count() < 2 {
        let mut piece = [0; 1024];
        let count = expect("a comment", stream.read(&mut piece)).await.unwrap();
        text.push_str(std::str::from_utf8(&piece[..count]).unwrap());
    }
    let (head, comments) = text.split_once("data: \"first\"\n\n\r\n").unwrap();
    assert!(!head.contains("keep-alive"), "{head}");
    assert!(comments.starts_with("E\r\n: keep-alive"), "{comments}");
    sender.send("second".into()).await.unwrap();
    drop(sender);
    let rest = read_until(&mut stream, "0\r\n\r\n").await;
    assert!(rest.contains("data: \"second\"\n\n"), "{rest}");
}

#[tokio::test]
async fn a_failure_as_the_first_item_may_choose_the_status() {
    let table: [(Option<Failure>, &str, &str); 3] = [
        (
            Some(Failure::new(StatusCode::NOT_FOUND, "no such order")),
            "HTTP/1.1 404 Not Found\r\ncontent-type: application/json\r\n",
            r#"{"error":"no such order"}"#,
        ),
        (
            Some(Failure::internal("broke").with_type("Broken")),
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream",
            "\"message\": \"An error occurred during streaming\"}\n\n\r\n0\r\n\r\n",
        ),
        (
            None,
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream",
            "\r\n\r\n0\r\n\r\n",
        ),
    ];
    for (first, head, end) in table {
        let app =
            App::streaming(move |_: Value| stream::iter(first.clone().map(Err::<Value, Failure>)));
        let server = Server::start(app).await;
        let mut stream = connect(&server).await;
        let text = read_until(&mut stream, end).await;
        assert!(text.starts_with(head), "{text}");
    }
}

#[tokio::test]
async fn the_head_of_a_silent_stream_comes_all_the_same() {
    let (app, sender, _) = fed();
    let server = Server::start(app).await;
    let mut stream = connect(&server).await;
    let head = read_until(&mut stream, "\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    sender.send("late".into()).await.unwrap();
    read_until(&mut stream, "data: \"late\"\n\n\r\n").await;
}

#[tokio::test]
async fn a_stream_beyond_its_limit_ends_by_an_error_event() {
    let (app, _sender, dropped) = fed();
    let limits = Limits::default().stream(Duration::from_millis(300));
    let server = Server::start(app.limits(limits)).await;
    let mut stream = connect(&server).await;
    let text = read_until(&mut stream, "0\r\n\r\n").await;
    let error = concat!(
        r#"data: {"error": "the stream took longer than its limit of 0.3 s", "error_type": "InvocationLimit", "#,
        r#""message": "An error occurred during streaming"}"#
    );
    assert!(text.contains(error), "{text}");
    expect("the stream to be dropped", dropped.notified()).await;
}

#[tokio::test]
async fn a_reader_who_stops_cannot_keep_a_stream_beyond_its_limit() {
    let dropped = Arc::new(Notify::new());
    let guard = Arc::clone(&dropped);
    let app = App::streaming(move |_: Value| {
        let guard = Dropped(Arc::clone(&guard));
        counted(&Arc::default()).inspect(move |_| {
            let _kept = &guard;
        })
    });
    let limits = Limits::default()
        .running(1)
        .stream(Duration::from_millis(300));
    let server = Server::start(app.limits(limits)).await;
    let mut never_reads = connect(&server).await;
    begun(&mut never_reads).await;
    expect("the stream to be dropped", dropped.notified()).await;

    // Its place is free again.
    let mut next = connect(&server).await;
    read_until(&mut next, "0\r\n\r\n").await;
    drop(never_reads);
}

#[tokio::test]
async fn a_stream_outlives_the_router_that_opened_it() {
    let app = App::streaming(async |_: Value| {
        stream::iter(1..=3).then(|number| async move {
            tokio::task::yield_now().await;
            number
        })
    });
    let answer = send(app.router(), invocation("1")).await;
    assert_eq!(answer.body, "data: 1\n\ndata: 2\n\ndata: 3\n\n");
}
