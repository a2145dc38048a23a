//! The agent against a real HTTP server on this machine that plays the model; only what it says is made up.
//!
//! The agent itself is called without a socket; its requests to the model go through one.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use agentcore_runtime::Router;
use axum::body::{Body, BodyDataStream};
use axum::extract::State;
use axum::routing::post;
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc};
use tokio::time::timeout;
use tower::ServiceExt;

use super::*;

const KEY: &str = "sk-a-secret-key";
const LIMIT: Duration = Duration::from_secs(20);

/// What a model sends after its first token, and how that ends.
type Parts = dyn Fn() -> Vec<Result<Bytes, io::Error>> + Send + Sync;

/// What the model was asked.
struct Asked {
    headers: HeaderMap,
    body: Value,
}

/// A server that plays the model: it tells what it was asked, and answers what the test says.
struct Stand {
    asked: mpsc::UnboundedReceiver<Asked>,
    /// The agent that asks this model.
    agent: Router,
}

impl Stand {
    async fn new(answer: impl Fn() -> Response<Body> + Clone + Send + Sync + 'static) -> Self {
        let (tell, asked) = mpsc::unbounded_channel();
        let complete = async move |State(tell): State<mpsc::UnboundedSender<Asked>>,
                                   headers: HeaderMap,
                                   body: Bytes| {
            let body = serde_json::from_slice(&body).unwrap();
            tell.send(Asked { headers, body }).unwrap();
            answer()
        };
        let router = Router::new()
            .route("/v1/chat/completions", post(complete))
            .with_state(tell);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self {
            asked,
            agent: agent(&url),
        }
    }
}

fn agent(url: &str) -> Router {
    let settings = Settings::read(|name| {
        Ok(match name {
            "MODEL_URL" => url.to_owned(),
            "MODEL_NAME" => "small".to_owned(),
            _ => KEY.to_owned(),
        })
    });
    app(Model::new(settings.unwrap()).unwrap()).router()
}

/// Invokes the agent and returns the answer as soon as it begins. The agent ends with its router, which the test keeps.
async fn invoke(agent: &Router) -> Response<Body> {
    let body = Body::from(r#"{"prompt": "Say hello", "system": "Be brief"}"#);
    let request = Request::post("/invocations").body(body).unwrap();
    let answered = timeout(LIMIT, agent.clone().oneshot(request)).await;
    answered.expect("an answer in time").unwrap()
}

async fn text(response: Response<Body>) -> String {
    let collected = timeout(LIMIT, response.into_body().collect()).await;
    let bytes = collected.expect("the end of the answer in time").unwrap();
    String::from_utf8(bytes.to_bytes().to_vec()).unwrap()
}

/// The head of a stream of events.
fn events(parts: impl Stream<Item = Result<Bytes, io::Error>> + Send + 'static) -> Response<Body> {
    let response = Response::builder().header("content-type", "text/event-stream");
    response.body(Body::from_stream(parts)).unwrap()
}

/// One event of the API with some text in it.
fn delta(text: &str) -> Bytes {
    let chunk = json!({ "object": "chat.completion.chunk", "choices": [{ "index": 0, "delta": { "content": text } }] });
    format!("data: {chunk}\n\n").into()
}

const FINISH: &str =
    "data: {\"choices\": [{\"index\": 0, \"delta\": {}, \"finish_reason\": \"stop\"}]}\n\n";
const USAGE: &str = "data: {\"choices\": [], \"usage\": {\"total_tokens\": 7}}\n\n";
const DONE: &str = "data: [DONE]\n\n";

#[tokio::test]
async fn the_model_is_asked_as_the_settings_say() {
    let mut stand = Stand::new(|| events(stream::iter([Ok(DONE.into())]))).await;
    assert_eq!(text(invoke(&stand.agent).await).await, "");
    let Asked { headers, body } = stand.asked.recv().await.unwrap();
    assert_eq!(headers["authorization"], format!("Bearer {KEY}"));
    assert_eq!(
        body,
        json!({
            "model": "small",
            "messages": [{ "role": "system", "content": "Be brief" }, { "role": "user", "content": "Say hello" }],
            "stream": true,
        })
    );
}

#[tokio::test]
async fn tokens_are_passed_on_however_the_bytes_are_cut() {
    let whole = [
        &b": a comment\n\n"[..],
        &delta(""),
        &delta("Grüß "),
        &delta("dich"),
        FINISH.as_bytes(),
        USAGE.as_bytes(),
        DONE.as_bytes(),
    ]
    .concat();
    for size in [1, 7, whole.len()] {
        let whole = whole.clone();
        let stand = Stand::new(move || {
            let parts: Vec<_> = whole
                .chunks(size)
                .map(|part| Ok(Bytes::copy_from_slice(part)))
                .collect();
            events(stream::iter(parts))
        })
        .await;
        let response = invoke(&stand.agent).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(
            text(response).await,
            "data: {\"delta\": \"Grüß \"}\n\ndata: {\"delta\": \"dich\"}\n\ndata: {\"finish_reason\": \"stop\"}\n\n",
            "cut into pieces of {size}"
        );
    }
}

#[tokio::test]
async fn a_token_is_sent_when_it_comes() {
    // The model says no more than this: an agent that waited for the end would never answer.
    let stand =
        Stand::new(|| events(stream::iter([Ok(delta("Hello"))]).chain(stream::pending()))).await;
    let mut body = invoke(&stand.agent).await.into_body().into_data_stream();
    assert_eq!(next(&mut body).await, "data: {\"delta\": \"Hello\"}\n\n");
}

async fn next(body: &mut BodyDataStream) -> Bytes {
    let event = timeout(LIMIT, body.next()).await;
    event.expect("an event in time").unwrap().unwrap()
}

#[tokio::test]
async fn a_refusal_of_the_model_is_told_without_the_key() {
    let rows = [
        (
            401,
            json!({ "error": { "message": format!("Incorrect API key: {KEY}."), "code": "invalid_api_key" } }).to_string(),
            502,
            json!({ "error": "the model answered 401", "error_type": "ModelError", "details": "Incorrect API key: [key]." }),
        ),
        (
            429,
            json!({ "error": "slow down" }).to_string(),
            503,
            json!({ "error": "the model answered 429", "error_type": "ModelBusy", "details": "slow down" }),
        ),
        (
            500,
            "not JSON\n".to_owned(),
            502,
            json!({ "error": "the model answered 500", "error_type": "ModelError", "details": "not JSON" }),
        ),
        (
            307,
            String::new(),
            502,
            json!({ "error": "the model answered 307", "error_type": "ModelError" }),
        ),
    ];
    for (status, body, answered, told) in rows {
        let stand = Stand::new(move || {
            let response = Response::builder()
                .status(status)
                .header("location", "http://127.0.0.1:1/");
            response.body(Body::from(body.clone())).unwrap()
        })
        .await;
        let response = invoke(&stand.agent).await;
        assert_eq!(response.status(), answered);
        assert_eq!(
            serde_json::from_str::<Value>(&text(response).await).unwrap(),
            told
        );
    }
}

#[tokio::test]
async fn a_model_that_cannot_be_reached_answers_502() {
    // Bound and let go: nobody listens there.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    drop(listener);
    let response = invoke(&agent(&url)).await;
    assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
    let told = text(response).await;
    assert!(told.contains("the model cannot be reached"), "{told}");
}

#[tokio::test]
async fn an_answer_that_does_not_come_to_its_end_ends_with_an_error_event() {
    let in_stream = format!("data: {{\"error\": {{\"message\": \"no memory for {KEY}\"}}}}\n\n");
    let rows: [(Box<Parts>, &str); 4] = [
        (
            Box::new(|| vec![Err(io::Error::other("the model died"))]),
            "the model's answer broke off",
        ),
        (Box::new(Vec::new), "the model's answer broke off"),
        (
            Box::new(move || vec![Ok(in_stream.clone().into())]),
            "the model failed",
        ),
        (
            Box::new(|| vec![Ok("data: <html>\n\n".into())]),
            "the model sent an event that is no chat completion",
        ),
    ];
    for (after, sentence) in rows {
        let (go_on, after) = (Arc::new(Notify::new()), Arc::new(after));
        let gate = Arc::clone(&go_on);
        let stand = Stand::new(move || {
            let (gate, after) = (Arc::clone(&gate), Arc::clone(&after));
            let rest = stream::once(async move {
                gate.notified().await;
                stream::iter(after())
            });
            events(stream::iter([Ok(delta("Hel"))]).chain(rest.flatten()))
        })
        .await;
        let mut body = invoke(&stand.agent).await.into_body().into_data_stream();
        assert_eq!(next(&mut body).await, "data: {\"delta\": \"Hel\"}\n\n");
        go_on.notify_one();
        let told = String::from_utf8(next(&mut body).await.to_vec()).unwrap();
        let last: Value =
            serde_json::from_str(told.trim().strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!(last["error"], sentence);
        assert_eq!(last["error_type"], "ModelError");
        assert!(!told.contains(KEY), "{told}");
        assert!(body.next().await.is_none());
    }
}

#[tokio::test]
async fn a_caller_who_leaves_ends_the_request_to_the_model() {
    struct Gone(mpsc::UnboundedSender<()>);
    impl Drop for Gone {
        fn drop(&mut self) {
            let _ = self.0.send(());
        }
    }
    let (tell, mut gone) = mpsc::unbounded_channel();
    let stand = Stand::new(move || {
        let gone = Gone(tell.clone());
        let silent = stream::once(async move {
            let _gone = gone;
            std::future::pending::<Result<Bytes, Infallible>>().await
        });
        events(
            stream::iter([Ok(delta("Hello"))])
                .chain(silent.map(|it| it.map_err(|never| match never {}))),
        )
    })
    .await;
    let mut body = invoke(&stand.agent).await.into_body().into_data_stream();
    assert_eq!(next(&mut body).await, "data: {\"delta\": \"Hello\"}\n\n");
    assert!(gone.try_recv().is_err(), "the model is still asked");
    drop(body);
    let ended = timeout(LIMIT, gone.recv()).await;
    ended.expect("the request to end in time").unwrap();
}

#[tokio::test]
async fn a_question_without_a_prompt_answers_400_and_asks_nobody() {
    let mut stand = Stand::new(|| events(stream::iter([Ok(DONE.into())]))).await;
    let request = Request::post("/invocations").body(Body::from(r#"{"system": "x"}"#));
    let response = stand.agent.clone().oneshot(request.unwrap()).await.unwrap();
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    assert!(stand.asked.try_recv().is_err());
}
