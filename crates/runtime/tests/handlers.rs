//! Every shape of function that an app takes, and what it answers.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use agentcore_runtime::{App, Context, Failure, StatusCode, TestAgent, sse};
use futures_util::{Stream, stream};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::support::{invocation, invoke, send};

#[derive(Clone, Copy, Deserialize)]
struct Order {
    number: u32,
}

#[derive(Serialize)]
struct Receipt {
    number: u32,
    total: f64,
}

#[derive(Debug)]
struct NoSuchOrder;

impl fmt::Display for NoSuchOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no such order")
    }
}

impl Error for NoSuchOrder {}

type BoxError = Box<dyn Error + Send + Sync>;

fn typed(order: Order) -> Receipt {
    Receipt {
        number: order.number,
        total: 1e16,
    }
}

async fn typed_async(order: Order, _: Context) -> Result<Receipt, NoSuchOrder> {
    if order.number == 0 {
        return Err(NoSuchOrder);
    }
    Ok(typed(order))
}

#[tokio::test]
async fn sync_and_async_functions_and_closures_are_handlers() {
    let receipt = r#"{"number": 7, "total": 1e+16}"#;
    for app in [
        App::new(typed),
        App::new(|order: Order| typed(order)),
        App::new(|order: Order, _: Context| typed(order)),
        App::new(typed_async),
        App::new(|order: Order| async move { typed(order) }),
        App::new(async |order: Order| typed(order)),
        App::new(|order: Order, context: Context| typed_async(order, context)),
    ] {
        assert_eq!(
            invoke(app, r#"{"number": 7}"#).await,
            (200, receipt.to_owned())
        );
    }
}

/// What the calls of an app share.
struct Counter(AtomicU64);

impl Counter {
    async fn count(&self, step: u64) -> u64 {
        tokio::task::yield_now().await;
        self.0.fetch_add(step, Ordering::Relaxed) + step
    }
}

#[tokio::test]
async fn calls_share_what_a_closure_took_along() {
    let counter = Arc::new(Counter(AtomicU64::new(0)));
    let shared = Arc::clone(&counter);
    let app = App::new(move |step: u64| {
        let counter = Arc::clone(&shared);
        async move { counter.count(step).await }
    });
    let agent = TestAgent::new(app);
    assert_eq!(agent.invoke(2).await.json(), 2);
    assert_eq!(agent.invoke(3).await.json(), 5);
    let app = App::new({
        let counter = Arc::clone(&counter);
        move |_: Value| counter.0.load(Ordering::Relaxed)
    });
    assert_eq!(TestAgent::new(app).invoke(1).await.json(), 5);
}

#[tokio::test]
async fn any_json_goes_in_and_out_with_its_keys_in_order() {
    for text in [
        r#"{"z": "世界🌍", "a": [true, null, 1.0]}"#,
        r#""hello""#,
        "null",
        "3",
    ] {
        assert_eq!(
            invoke(App::new(|payload: Value| payload), text).await,
            (200, text.to_owned())
        );
    }
    assert_eq!(
        invoke(App::new(|_: Value| ()), "1").await,
        (200, "null".to_owned())
    );
}

#[tokio::test]
async fn errors_of_every_kind_answer_500_with_their_text() {
    let plain = r#"{"error":"no such order"}"#;
    let typed = r#"{"error":"no such order","error_type":"NoSuchOrder"}"#;
    for (app, body) in [
        (App::new(|_: Value| Err::<Value, _>(NoSuchOrder)), typed),
        (
            App::new(async |_: Value| Err::<Value, _>(NoSuchOrder)),
            typed,
        ),
        (
            App::new(|_: Value| Err::<Value, BoxError>(NoSuchOrder.into())),
            plain,
        ),
        (
            App::new(|_: Value| Err::<Value, Box<dyn Error>>(NoSuchOrder.into())),
            plain,
        ),
        (
            App::new(async |_: Value| Err::<Value, _>("no such order".to_owned())),
            plain,
        ),
        (App::new(|_: Value| Err::<Value, _>("no such order")), plain),
        (
            App::new(|_: Value| Err::<Value, anyhow::Error>(NoSuchOrder.into())),
            plain,
        ),
        (
            App::new(async |_: Value| -> anyhow::Result<Value> { anyhow::bail!("no such order") }),
            plain,
        ),
        (
            App::new(|_: Value| {
                Err::<Value, _>(std::io::Error::new(
                    std::io::ErrorKind::NotFound,
                    "no such order",
                ))
            }),
            r#"{"error":"no such order","error_type":"Error"}"#,
        ),
        (
            App::new(|_: Value| serde_json::from_str::<Value>("{")),
            r#"{"error":"EOF while parsing an object at line 1 column 1","error_type":"Error"}"#,
        ),
        (
            App::new(|_: Value| Err::<u8, _>(json!({"code": 7}))),
            r#"{"error":{"code":7}}"#,
        ),
    ] {
        assert_eq!(invoke(app, "1").await, (500, body.to_owned()));
    }
}

#[tokio::test]
async fn a_failure_chooses_its_status_even_inside_another_error() {
    let failure = || Failure::new(StatusCode::NOT_FOUND, "no such order").with_details("0");
    let body = r#"{"error":"no such order","details":"0"}"#;
    for app in [
        App::new(move |_: Value| Err::<Value, _>(failure())),
        App::new(move |_: Value| async move { Err::<Value, BoxError>(failure().into()) }),
        App::new(move |_: Value| Err::<Value, anyhow::Error>(failure().into())),
        App::new(move |_: Value| {
            Err::<Value, _>(anyhow::Error::from(failure()).context("while looking it up"))
        }),
    ] {
        assert_eq!(invoke(app, "1").await, (404, body.to_owned()));
    }
}

#[tokio::test]
async fn a_result_that_is_ok_is_sent_without_its_wrapping() {
    for app in [
        App::new(|_: Value| Ok::<_, NoSuchOrder>(1)),
        App::new(|_: Value| Ok::<_, BoxError>(1)),
        App::new(|_: Value| Ok::<_, String>(1)),
        App::new(|_: Value| Ok::<_, Failure>(1)),
        App::new(|_: Value| Ok::<_, anyhow::Error>(1)),
        App::new(|_: Value| Ok::<_, std::convert::Infallible>(1)),
    ] {
        assert_eq!(invoke(app, "1").await, (200, "1".to_owned()));
    }
}

#[tokio::test]
async fn a_payload_that_does_not_fit_answers_400() {
    for (payload, body) in [
        (
            r#"{"number": "x"}"#,
            r#"{"error":"Invalid payload","details":"number: invalid type: string \"x\", expected u32 at line 1 column 14"}"#,
        ),
        (
            "{}",
            r#"{"error":"Invalid payload","details":"missing field `number` at line 1 column 2"}"#,
        ),
        (
            "",
            r#"{"error":"Invalid JSON","details":"Expecting value: line 1 column 1 (char 0)"}"#,
        ),
        (
            "{",
            r#"{"error":"Invalid JSON","details":"EOF while parsing an object at line 1 column 1"}"#,
        ),
    ] {
        for app in [
            App::new(typed),
            App::new(typed_async),
            App::streaming(|_: Order| stream::iter([1])),
        ] {
            assert_eq!(invoke(app, payload).await, (400, body.to_owned()));
        }
    }
}

#[tokio::test]
async fn a_result_that_json_cannot_hold_answers_500() {
    let app = App::new(|_: Value| std::collections::HashMap::from([((1, 2), 3)]));
    assert_eq!(
        invoke(app, "1").await,
        (
            500,
            r#"{"error":"the answer is not JSON: key must be a string","error_type":"SerializationError"}"#.to_owned()
        )
    );
}

#[tokio::test]
async fn the_context_carries_session_request_and_headers() {
    let app = App::new(|_: Value, context: Context| {
        json!([
            context.session_id().map(ToString::to_string),
            context.request_id(),
            context.forwarded_headers().into_iter().collect::<Vec<_>>(),
            context
                .workload_access_token()
                .map(|token| token.expose().to_owned()),
            context
                .oauth2_callback_url()
                .map(|url| url.expose().to_owned()),
        ])
    });
    let mut request = invocation("1");
    for (name, value) in [
        ("x-amzn-bedrock-agentcore-runtime-session-id", "s-1"),
        ("x-amzn-bedrock-agentcore-runtime-request-id", "r-1"),
        ("x-amzn-bedrock-agentcore-runtime-custom-team", "blue"),
        ("authorization", "Bearer t"),
        ("cookie", "c"),
        ("oauth2callbackurl", "https://back"),
    ] {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    let answer = send(app.router(), request).await;
    assert_eq!(
        answer.body,
        concat!(
            r#"["s-1", "r-1", [["Authorization", "Bearer t"], "#,
            r#"["x-amzn-bedrock-agentcore-runtime-custom-team", "blue"], ["oauth2callbackurl", "https://back"]], "#,
            r#"null, "https://back"]"#
        )
    );
}

#[tokio::test]
async fn streams_of_every_shape_are_events() {
    fn numbers(_: Value) -> impl Stream<Item = u8> {
        stream::iter([1, 2])
    }
    async fn later(payload: Value, _: Context) -> Result<impl Stream<Item = u8>, NoSuchOrder> {
        if payload.is_null() {
            return Err(NoSuchOrder);
        }
        Ok(numbers(payload))
    }
    for app in [
        App::streaming(numbers),
        App::streaming(async |payload: Value| numbers(payload)),
        App::streaming(|payload: Value, _: Context| numbers(payload)),
        App::streaming(|payload: Value| Ok::<_, String>(numbers(payload))),
        App::streaming(later),
    ] {
        let answer = send(app.router(), invocation("1")).await;
        assert_eq!(answer.status, 200);
        assert_eq!(
            answer.header("content-type"),
            Some("text/event-stream; charset=utf-8")
        );
        assert_eq!(answer.body, "data: 1\n\ndata: 2\n\n");
    }
    assert_eq!(
        invoke(App::streaming(later), "null").await,
        (
            500,
            r#"{"error":"no such order","error_type":"NoSuchOrder"}"#.to_owned()
        ),
        "before the first event there is still a status to choose"
    );
}

#[tokio::test]
async fn events_may_be_values_results_or_explicit() {
    let values = App::streaming(|_: Value| stream::iter(["hello", "a\nb", "世界🌍"]));
    assert_eq!(
        invoke(values, "1").await.1,
        "data: \"hello\"\n\ndata: \"a\\nb\"\n\ndata: \"世界🌍\"\n\n"
    );
    let explicit = App::streaming(|_: Value| {
        stream::iter([sse::Event {
            event: Some("tick".into()),
            id: Some("1".into()),
            data: "now".into(),
            ..sse::Event::default()
        }])
    });
    let text = invoke(explicit, "1").await.1;
    assert!(text.contains("event: tick\n"), "{text}");
    assert!(text.contains("id: 1\n"), "{text}");
    assert!(text.ends_with("data: now\n\n"), "{text}");
    let built = App::streaming(async |payload: Value| {
        stream::iter([
            sse::Event::json(&payload).map(|event| event.event("token").id("7")),
            Ok(sse::Event::data("").retry(Duration::from_secs(2))),
            serde_json::from_str::<u8>("x").map(|_| sse::Event::data("never")),
        ])
    });
    let text = invoke(built, r#"{"a":1}"#).await.1;
    let explicit = "event: token\nid: 7\ndata: {\"a\": 1}\n\nretry: 2000\ndata: \n\n";
    let error = text
        .strip_prefix(explicit)
        .unwrap_or_else(|| panic!("{text}"));
    assert!(
        error.starts_with(r#"data: {"error": "expected value"#),
        "{error}"
    );
    let nothing = App::streaming(|_: Value| stream::empty::<u8>());
    assert_eq!(invoke(nothing, "1").await, (200, String::new()));
}

#[tokio::test]
async fn an_error_in_a_stream_is_its_last_event() {
    let message = r#""message": "An error occurred during streaming""#;
    for (app, event) in [
        (
            App::streaming(|_: Value| stream::iter([Ok(json!(1)), Err(NoSuchOrder), Ok(json!(2))])),
            r#"{"error": "no such order", "error_type": "NoSuchOrder", "#,
        ),
        (
            App::streaming(|_: Value| stream::iter([Ok(json!(1)), Err("broke".to_owned())])),
            r#"{"error": "broke", "error_type": "Error", "#,
        ),
        (
            App::streaming(|_: Value| {
                stream::iter([1, 2]).map_panicking(|n| assert!(n < 2, "out of numbers"))
            }),
            r#"{"error": "the agent panicked: out of numbers", "error_type": "Panic", "#,
        ),
    ] {
        assert_eq!(
            invoke(app, "1").await,
            (200, format!("data: 1\n\ndata: {event}{message}}}\n\n"))
        );
    }
}

/// Calls a function that may panic on each item of a stream.
trait MapPanicking: Stream<Item = i32> + Sized {
    fn map_panicking(self, check: impl Fn(i32) + Send + 'static) -> impl Stream<Item = i32> {
        futures_util::StreamExt::inspect(self, move |n| check(*n))
    }
}

impl<S: Stream<Item = i32>> MapPanicking for S {}

#[tokio::test]
async fn a_panic_is_an_answer_and_the_next_call_works() {
    fn fall_over(payload: &Value) -> i32 {
        assert!(!payload.is_null(), "no payload");
        1
    }
    let panicked = r#"{"error":"the agent panicked: no payload","error_type":"Panic"}"#;
    for app in [
        App::new(|payload: Value| fall_over(&payload)),
        App::new(async |payload: Value| fall_over(&payload)),
        App::streaming(|payload: Value| stream::iter([fall_over(&payload)])),
    ] {
        let router = app.router();
        let answer = send(router.clone(), invocation("null")).await;
        assert_eq!(
            (answer.status.as_u16(), answer.body.as_str()),
            (500, panicked)
        );
        assert_eq!(send(router, invocation("1")).await.status, 200);
    }
}
