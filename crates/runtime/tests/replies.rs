//! Ready-made responses and explicit replies: what passes through, where bodies are polled, and what ends them.

use std::convert::Infallible;
use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use agentcore_runtime::{
    App, CallerLeaves, Context, Failure, Reply, StatusCode, TestAgent, Threads, sse,
};
use axum::body::Body;
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use http::Response;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tower::ServiceExt;

use crate::support::{Dropped, Server, expect, invocation, read_until};

#[derive(Debug)]
struct Broken;

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("broken")
    }
}

impl Error for Broken {}

type Chunk = Result<Bytes, Infallible>;

fn created<B>(body: B) -> Response<B> {
    let response = Response::builder().status(201).header("x-made-by", "me");
    response.body(body).unwrap()
}

fn chunks() -> impl Stream<Item = Chunk> {
    stream::iter([Ok("he".into()), Ok("llo".into())])
}

#[tokio::test]
async fn a_response_passes_through_whatever_its_body_is() {
    for app in [
        App::http(|_: Value| created("hello")),
        App::http(|_: Value, _: Context| created("hello".to_owned())),
        App::http(async |_: Value| created(b"hello".to_vec())),
        App::http(async |_: Value| created(Bytes::from("hello"))),
        App::http(|_: Value| created(Full::new(Bytes::from("hello")))),
        App::http(|_: Value| created(Body::from("hello"))),
        App::http(|_: Value| created(Body::from_stream(chunks()))),
        App::http(|_: Value| {
            created(StreamBody::new(
                chunks().map(|chunk| chunk.map(http_body::Frame::data)),
            ))
        }),
        App::http(|_: Value| Ok::<_, Broken>(created("hello"))),
        App::http(async |_: Value| Ok::<_, anyhow::Error>(created("hello"))),
        App::http(async |_: Value| Ok::<_, String>(created("hello"))),
        App::replying(|_: Value| Reply::response(created("hello"))),
        App::replying(|_: Value| Reply::response(created(Body::from_stream(chunks())))),
    ] {
        let answer = TestAgent::new(app).invoke(1).await;
        assert_eq!(answer.status, 201);
        assert_eq!(answer.text(), "hello");
        assert_eq!(answer.headers["x-made-by"], "me");
        assert_eq!(answer.content_type(), None, "nothing is added");
    }
}

#[tokio::test]
async fn a_response_may_have_no_body() {
    for app in [
        App::http(|_: Value| created(())),
        App::http(|_: Value| created(Empty::<Bytes>::new())),
        App::http(|_: Value| created(Body::from_stream(stream::empty::<Chunk>()))),
        App::http(|_: Value| created(String::new())),
    ] {
        let answer = TestAgent::new(app).invoke(1).await;
        assert_eq!((answer.status.as_u16(), answer.text()), (201, ""));
    }
}

#[tokio::test]
async fn an_error_instead_of_a_response_is_an_error_answer() {
    let not_found = || Failure::new(StatusCode::NOT_FOUND, "no such order");
    for (app, status, body) in [
        (
            App::http(|_: Value| Err::<Response<String>, _>(Broken)),
            500,
            r#"{"error":"broken","error_type":"Broken"}"#,
        ),
        (
            App::http(|_: Value| Err::<Response<String>, _>("broken")),
            500,
            r#"{"error":"broken"}"#,
        ),
        (
            App::http(move |_: Value| Err::<Response<String>, _>(not_found())),
            404,
            r#"{"error":"no such order"}"#,
        ),
        (
            App::replying(async |_: Value| Err::<Reply, _>(Broken)),
            500,
            r#"{"error":"broken","error_type":"Broken"}"#,
        ),
        (
            App::replying(move |_: Value| Reply::from(not_found())),
            404,
            r#"{"error":"no such order"}"#,
        ),
        (
            App::replying(|_: Value| Reply::json(std::collections::BTreeMap::from([((1, 2), 3)]))),
            500,
            r#"{"error":"the answer is not JSON: key must be a string","error_type":"SerializationError"}"#,
        ),
        (
            App::http(|_: u8| created("")),
            400,
            r#"{"error":"Invalid payload","details":"invalid type: null, expected u8 at line 1 column 4"}"#,
        ),
        (
            App::http(|_: Value| -> Response<String> { panic!("fell over") }),
            500,
            r#"{"error":"the agent panicked: fell over","error_type":"Panic"}"#,
        ),
    ] {
        let answer = TestAgent::new(app).invoke(Value::Null).await;
        assert_eq!((answer.status.as_u16(), answer.text()), (status, body));
    }
}

/// Answers as the payload says.
async fn choose(payload: Value) -> Result<Reply, Broken> {
    match payload.as_str() {
        Some("events") => Ok(Reply::events(stream::iter(["a", "b"]))),
        Some("own events") => Ok(Reply::events(stream::iter([
            Ok(sse::Event::data("1").event("tick").id("7")),
            Err(Broken),
        ]))),
        Some("response") => Ok(Reply::response(created("text"))),
        Some("nothing") => Err(Broken),
        _ => Ok(Reply::json(json!({"payload": payload}))),
    }
}

#[tokio::test]
async fn a_handler_may_choose_at_run_time() {
    for app in [
        App::replying(choose),
        App::replying(choose).threads(Threads::Shared),
    ] {
        let agent = TestAgent::new(app);
        let events = Some("text/event-stream; charset=utf-8");
        for (payload, status, kind, text) in [
            (json!(1), 200, Some("application/json"), r#"{"payload": 1}"#),
            (
                json!("events"),
                200,
                events,
                "data: \"a\"\n\ndata: \"b\"\n\n",
            ),
            (
                json!("own events"),
                200,
                events,
                concat!(
                    "event: tick\nid: 7\ndata: 1\n\n",
                    r#"data: {"error": "broken", "error_type": "Broken", "#,
                    r#""message": "An error occurred during streaming"}"#,
                    "\n\n"
                ),
            ),
            (json!("response"), 201, None, "text"),
            (
                json!("nothing"),
                500,
                Some("application/json"),
                r#"{"error":"broken","error_type":"Broken"}"#,
            ),
        ] {
            let answer = agent.invoke(payload).await;
            assert_eq!(
                (answer.status.as_u16(), answer.content_type(), answer.text()),
                (status, kind, text)
            );
        }
    }
}

fn on_agents_threads() -> bool {
    std::thread::current().name() == Some("agent")
}

#[tokio::test]
async fn bodies_and_events_are_made_on_the_agents_threads() {
    let app = App::replying(|payload: Value| {
        let here = stream::iter([1, 2]).map(|_| on_agents_threads());
        match payload.as_str() {
            Some("events") => Reply::events(here),
            _ => Reply::response(Response::new(Body::from_stream(
                here.map(|here| Ok::<_, Infallible>(format!("{here} "))),
            ))),
        }
    });
    let agent = TestAgent::new(app);
    assert_eq!(agent.invoke("body").await.text(), "true true ");
    assert_eq!(
        agent.invoke("events").await.text(),
        "data: true\n\ndata: true\n\n"
    );
}

const INVOKE: &[u8] = b"POST /invocations HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\r\n1";

async fn connect(server: &Server) -> TcpStream {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(INVOKE).await.unwrap();
    stream
}

/// Sends one chunk and then nothing for ever; says when it is dropped.
fn silent(dropped: &Arc<Notify>) -> impl Stream<Item = Chunk> + use<> {
    let guard = Dropped(Arc::clone(dropped));
    stream::iter([Ok("first".into())])
        .chain(stream::pending())
        .inspect(move |_| {
            let _kept = &guard;
        })
}

#[tokio::test]
async fn a_caller_who_leaves_a_silent_body_or_stream_cancels_it_at_once() {
    let dropped = Arc::new(Notify::new());
    let notify = || Arc::clone(&dropped);
    let (a, b) = (notify(), notify());
    for (app, first) in [
        (
            App::http(move |_: Value| Response::new(Body::from_stream(silent(&a)))),
            "first\r\n",
        ),
        (
            App::replying(move |_: Value| {
                Reply::events(silent(&b).map(|_| "first")) // finished or not: a stream is cancelled
            })
            .when_caller_leaves(CallerLeaves::Finish),
            "data: \"first\"\n\n\r\n",
        ),
    ] {
        let server = Server::start(app).await;
        let mut stream = connect(&server).await;
        read_until(&mut stream, first).await;
        drop(stream);
        expect("the body to be dropped", dropped.notified()).await;
    }
}

#[tokio::test]
async fn a_body_that_fails_cuts_the_answer_off() {
    let fail = Arc::new(Notify::new());
    let wait = Arc::clone(&fail);
    let app = App::http(move |_: Value| {
        let wait = Arc::clone(&wait);
        let failing = stream::once(async move {
            wait.notified().await;
            Err(Broken)
        });
        Response::new(Body::from_stream(
            stream::iter([Ok("first")]).chain(failing),
        ))
    });
    let server = Server::start(app).await;
    let mut stream = connect(&server).await;
    let head = read_until(&mut stream, "first\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    fail.notify_one();
    let mut rest = Vec::new();
    let end = stream.read_to_end(&mut rest);
    expect("the connection to end", end).await.unwrap();
    assert!(rest.is_empty(), "the chunk that marks the end is missing");
}

/// A body that says how long it is and comes in pieces.
struct Sized(Vec<&'static str>);

impl http_body::Body for Sized {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Broken>>> {
        std::task::Poll::Ready(self.0.pop().map(|piece| match piece {
            "broken" => Err(Broken),
            piece => Ok(http_body::Frame::data(piece.into())),
        }))
    }

    fn size_hint(&self) -> http_body::SizeHint {
        http_body::SizeHint::with_exact(self.0.iter().map(|piece| piece.len() as u64).sum())
    }
}

#[tokio::test]
async fn the_length_that_a_body_says_is_the_answers() {
    let app = App::http(|_: Value| Response::new(Sized(vec!["!", "lo", "hel"])));
    let server = Server::start(app).await;
    let client = reqwest::Client::new();
    for _ in 0..2 {
        let answer = client.post(server.url("/invocations")).body("1").send();
        let answer = answer.await.unwrap();
        assert_eq!(answer.content_length(), Some(6));
        assert_eq!(expect("the body", answer.text()).await.unwrap(), "hello!");
    }
}

#[tokio::test]
async fn a_body_that_fails_at_once_may_still_have_a_status() {
    let app = App::http(|_: Value| Response::new(Sized(vec!["never", "broken"])));
    let answer = TestAgent::new(app).invoke(1).await;
    assert_eq!(answer.status, 500);
    assert_eq!(answer.json()["error"], "broken");
}

#[tokio::test]
async fn a_reader_who_stops_stops_the_body() {
    let taken = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&taken);
    let app = App::http(move |_: Value| {
        let count = Arc::clone(&count);
        let chunks = stream::repeat_with(move || {
            count.fetch_add(1, Ordering::Relaxed);
            Ok::<_, Infallible>("x".repeat(64))
        });
        Response::new(Body::from_stream(chunks))
    });
    let request = invocation("1");
    // Kept, because the agent's threads end with it.
    let router = app.router();
    let answer = router.clone().oneshot(request).await.unwrap();
    let mut body = answer.into_body();
    for _ in 0..100 {
        let frame = expect("a frame", body.frame()).await;
        assert_eq!(frame.unwrap().unwrap().into_data().unwrap().len(), 64);
        let made = taken.load(Ordering::Relaxed);
        assert!(
            made <= 100 + 64 + 2,
            "{made} frames for a caller who takes 100"
        );
    }
}
