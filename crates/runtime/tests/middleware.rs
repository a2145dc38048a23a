//! Layers and routes of the author's: what they see, in which order, and what stays the agent's.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use agentcore_runtime::{App, Context, Router};
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::{any, get};
use futures_util::stream;
use http::Method;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::support::{
    Server, echoes, expect, invocation, raw_invocation, read_until, request, send,
};

/// What a layer found out about the caller.
#[derive(Clone)]
struct Team(String);

async fn name_team(mut request: Request, next: Next) -> Response {
    let team = request.headers().get("x-team");
    if let Some(team) = team.and_then(|team| team.to_str().ok()) {
        let team = Team(team.to_owned());
        request.extensions_mut().insert(team);
    }
    next.run(request).await
}

fn team_of(context: &Context) -> Option<String> {
    context.extension().map(|Team(team)| team.clone())
}

fn echo() -> App {
    App::new(async |payload: Value| payload)
}

/// An app whose layers note what passes them.
fn noted(names: &[&'static str], notes: &Arc<Mutex<Vec<String>>>) -> App {
    names.iter().copied().fold(echo(), |app, name| {
        let notes = Arc::clone(notes);
        app.layer(from_fn(move |request: Request, next: Next| {
            let notes = Arc::clone(&notes);
            async move {
                let note = format!("{name} {}", request.uri().path());
                notes.lock().unwrap().push(note);
                next.run(request).await
            }
        }))
    })
}

#[tokio::test]
async fn what_a_layer_attaches_reaches_handlers_of_every_kind() {
    for app in [
        App::new(|_: Value, context: Context| json!(team_of(&context))),
        App::new(async |_: Value, context: Context| json!(team_of(&context))),
        App::streaming(|_: Value, context: Context| stream::iter([team_of(&context)])),
    ] {
        let router = app.layer(from_fn(name_team)).router();
        for (team, expected) in [(Some("blue"), "\"blue\""), (None, "null")] {
            let mut request = invocation("1");
            if let Some(team) = team {
                request
                    .headers_mut()
                    .insert("x-team", team.parse().unwrap());
            }
            let answer = send(router.clone(), request).await;
            let body = answer.body.trim_start_matches("data: ").trim_end();
            assert_eq!((answer.status.as_u16(), body), (200, expected));
        }
    }
}

#[tokio::test]
async fn the_layer_that_was_added_last_sees_every_request_first() {
    let notes = Arc::new(Mutex::new(Vec::new()));
    let about = Router::new().route("/version", get(async || "1.2"));
    let router = noted(&["inner", "outer"], &notes).routes(about).router();
    for path in ["/ping", "/invocations", "/nowhere", "/version"] {
        request(router.clone(), Method::GET, path).await;
        let seen = std::mem::take(&mut *notes.lock().unwrap());
        let expected = match path {
            "/version" => vec![], // It was added after the layers.
            _ => vec![format!("outer {path}"), format!("inner {path}")],
        };
        assert_eq!(seen, expected);
    }
}

#[tokio::test]
async fn a_layer_covers_the_routes_that_were_there_before_it() {
    let notes = Arc::new(Mutex::new(Vec::new()));
    let about = Router::new().route("/version", get(async || "1.2"));
    let seen = Arc::clone(&notes);
    let app = echo()
        .routes(about)
        .layer(from_fn(move |request: Request, next: Next| {
            let notes = Arc::clone(&seen);
            async move {
                notes.lock().unwrap().push(request.uri().path().to_owned());
                let mut response = next.run(request).await;
                response
                    .headers_mut()
                    .insert("x-layer", "yes".parse().unwrap());
                response
            }
        }));
    let answer = request(app.router(), Method::GET, "/version").await;
    assert_eq!(
        (answer.body.as_str(), answer.header("x-layer")),
        ("1.2", Some("yes"))
    );
    assert_eq!(*notes.lock().unwrap(), ["/version"]);
}

#[tokio::test]
async fn a_layer_may_answer_in_the_agents_place() {
    let app = echo().layer(from_fn(async |request: Request, next: Next| {
        if request.headers().contains_key("x-key") {
            return next.run(request).await;
        }
        let refusal = http::Response::builder().status(401);
        refusal.body("no key".into()).unwrap()
    }));
    let router = app.router();
    let refused = send(router.clone(), invocation("1")).await;
    assert_eq!(
        (refused.status.as_u16(), refused.body.as_str()),
        (401, "no key")
    );
    let mut with_key = invocation("1");
    with_key.headers_mut().insert("x-key", "k".parse().unwrap());
    assert_eq!(send(router, with_key).await.status, 200);
}

#[tokio::test]
async fn routes_stand_beside_the_agents() {
    let about = Router::new()
        .route("/version", get(async || "1.2"))
        .route("/{*path}", any(async || "the rest"));
    let more = Router::new().route("/about", get(async || "about"));
    let router = echo().routes(about).routes(more).router();
    for (method, path, status, body) in [
        (Method::GET, "/version", 200, Some("1.2")),
        (Method::GET, "/about", 200, Some("about")),
        (Method::GET, "/what/ever", 200, Some("the rest")),
        (Method::POST, "/version", 405, None),
        (Method::GET, "/ping", 200, None),
        (Method::POST, "/ping", 405, Some("Method Not Allowed")),
        (Method::GET, "/invocations", 405, Some("Method Not Allowed")),
        (Method::GET, "/ping/", 307, Some("")),
        (Method::GET, "/ws", 404, Some("Not Found")),
        (Method::GET, "/", 404, Some("Not Found")),
    ] {
        let answer = request(router.clone(), method.clone(), path).await;
        assert_eq!(answer.status, status, "{method} {path}");
        if let Some(body) = body {
            assert_eq!(answer.body, body, "{method} {path}");
        }
    }
    assert_eq!(send(router, invocation("[1]")).await.body, "[1]");
}

#[test]
fn a_route_of_the_agents_cannot_be_taken() {
    let taken = |routes: Router| {
        let app = AssertUnwindSafe(|| drop(echo().routes(routes)));
        let panic = catch_unwind(app).expect_err("the route is taken");
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        text.unwrap_or_else(|| panic.downcast_ref::<String>().unwrap().clone())
    };
    for path in ["/invocations", "/ping", "/ws", "/ping/", "/invocations/"] {
        let said = taken(Router::new().route(path, get(async || "mine")));
        assert!(said.contains(path), "{said}");
    }
    let said = taken(Router::new().fallback(async || "mine"));
    assert!(said.contains("fallback"), "{said}");

    let version = || Router::new().route("/version", get(async || "1.2"));
    let twice = AssertUnwindSafe(|| drop(echo().routes(version()).routes(version())));
    catch_unwind(twice).expect_err("the route was added before");
}

#[tokio::test]
async fn a_served_app_has_its_layers_and_routes_too() {
    let about = Router::new().route("/version", get(async || "1.2"));
    let app = App::streaming(|_: Value, context: Context| stream::iter([team_of(&context)]))
        .routes(about)
        .layer(from_fn(name_team));
    let server = Server::start(app).await;
    let client = reqwest::Client::new();
    let version = client.get(server.url("/version")).send().await.unwrap();
    assert_eq!(version.text().await.unwrap(), "1.2");
    let events = client
        .post(server.url("/invocations"))
        .header("x-team", "red")
        .body("1")
        .send()
        .await
        .unwrap();
    assert_eq!(events.text().await.unwrap(), "data: \"red\"\n\n");
    let ended = expect("the server to end", server.stop()).await;
    ended.unwrap().unwrap();
}

/// Answers in a task of its own.
async fn answer_apart(request: Request, next: Next) -> Response {
    tokio::spawn(next.run(request)).await.unwrap()
}

#[tokio::test]
async fn a_layer_may_wait_for_the_answer_in_another_task() {
    for app in echoes() {
        let server = Server::start(app.layer(from_fn(answer_apart))).await;
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        for payload in (0..100).map(|number| number.to_string()) {
            let request = raw_invocation(&payload);
            stream.write_all(request.as_bytes()).await.unwrap();
            read_until(&mut stream, &format!("\r\n\r\n{payload}")).await;
        }
    }
}
