//! An agent with a layer around its routes and a route beside them.
//!
//! The layer believes the caller about its team; a real one would check a token. Only the team's name goes on to the agent.

use agentcore_runtime::{App, Context, Router, RunError};
use axum::extract::Request;
use axum::http::HeaderValue;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use axum::routing::get;
use serde_json::{Value, json};

/// The service lets custom headers through to the agent if they start like this one.
const TEAM: &str = "x-amzn-bedrock-agentcore-runtime-custom-team";

/// The team that the caller belongs to.
#[derive(Clone)]
struct Team(String);

#[tokio::main]
async fn main() -> Result<(), RunError> {
    app().run().await
}

fn app() -> App {
    let about = Router::new().route("/version", get(async || env!("CARGO_PKG_VERSION")));
    App::new(answer).routes(about).layer(from_fn(name_team))
}

async fn answer(payload: Value, context: Context) -> Value {
    let team = context.extension().map(|Team(team)| team.as_str());
    json!({ "team": team, "said": payload["prompt"] })
}

/// Reads the team, tells it to the agent, and tells the caller that the layer was there.
async fn name_team(mut request: Request, next: Next) -> Response {
    let team = request.headers().get(TEAM).cloned();
    if let Some(Ok(name)) = team.as_ref().map(HeaderValue::to_str) {
        let team = Team(name.to_owned());
        request.extensions_mut().insert(team);
    }
    let mut response = next.run(request).await;
    let served = team.unwrap_or_else(|| HeaderValue::from_static("nobody"));
    response.headers_mut().insert("x-served-team", served);
    response
}

#[cfg(test)]
mod tests {
    use agentcore_runtime::Body;
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;

    /// Sends a request as the README does; returns the team in the header and the body.
    async fn send(request: axum::http::request::Builder, body: &'static str) -> (String, String) {
        let request = request.body(Body::from(body)).unwrap();
        let response = app().router().oneshot(request).await.unwrap();
        let team = response.headers()["x-served-team"].to_str().unwrap();
        let team = team.to_owned();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (team, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn the_calls_of_the_readme_have_its_answers() {
        const PROMPT: &str = r#"{"prompt": "Hi"}"#;
        let readme = include_str!("../README.md");
        for (request, payload, team) in [
            (
                Request::post("/invocations").header(TEAM, "blue"),
                PROMPT,
                "blue",
            ),
            (Request::post("/invocations"), PROMPT, "nobody"),
            (Request::get("/version"), "", "nobody"),
        ] {
            let (served, body) = send(request, payload).await;
            assert_eq!(served, team);
            assert!(readme.contains(&body), "{body} is not in the README");
        }
        let (served, ping) = send(Request::get("/ping"), "").await;
        assert_eq!(served, "nobody");
        assert!(ping.starts_with(r#"{"status":"Healthy""#), "{ping}");
    }
}
