//! The debug actions: what a payload with `_agent_core_app_action` does in debug mode.
//!
//! Whether the app is in debug mode is not asked here. Payloads that are no JSON object, or no JSON at all, are not actions
//! but the handler's business; the reference SDK fails on them.

use std::sync::LazyLock;

use agentcore_protocol::json;
use axum::body::Body;
use http::header::CONTENT_TYPE;
use http::{Response, StatusCode};
use memchr::memmem::Finder;
use serde::Serialize;
use serde_json::Value;

use crate::PingStatus;
use crate::agent::Outcome;
use crate::failure::Failure;
use crate::health::Health;
use crate::log::LOGGER;
use crate::payload;
use crate::routes::JSON;
use crate::tasks::Tasks;

/// The key that makes a payload an action.
const KEY: &str = "_agent_core_app_action";

/// Finds the key without reading the payload as JSON. Nobody spells it with escapes.
static FINDER: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new(KEY));

/// Marks the answer to an action, so that the log calls it one.
#[derive(Clone, Copy)]
enum Action {
    /// It is complete.
    Done,
    /// The server puts in what `/ping` answers: the time of the last change is its.
    Ping,
}

/// Returns the answer if `body` asks for an action.
pub(crate) fn answer(body: &[u8], tasks: &Tasks, health: &Health) -> Option<Outcome> {
    FINDER.find(body)?;
    let Ok(Value::Object(mut payload)) = payload::parse::<Value>(body) else {
        return None;
    };
    let action = payload.remove(KEY).filter(is_truthy)?;
    let answer = match action {
        Value::String(name) => perform(&name, tasks, health),
        Value::Array(_) => Err(unhashable("list")),
        Value::Object(_) => Err(unhashable("dict")),
        // As Python writes it; nothing of that name is known either.
        Value::Bool(_) => Err(unknown("True")),
        other => Err(unknown(&other.to_string())),
    };
    Some(answer.map_or_else(Outcome::Failed, Outcome::Response))
}

/// Returns whether that is the answer to an action.
pub(crate) fn is_answer<B>(response: &Response<B>) -> bool {
    response.extensions().get::<Action>().is_some()
}

/// Returns whether the answer is to be what `/ping` answers.
pub(crate) fn asks_for_ping<B>(response: &Response<B>) -> bool {
    matches!(response.extensions().get(), Some(Action::Ping))
}

fn perform(name: &str, tasks: &Tasks, health: &Health) -> Result<Response<Body>, Failure> {
    tracing::debug!(target: LOGGER, "Processing debug action: {name}");
    let response = match name {
        "ping_status" => marked(Body::empty(), Action::Ping),
        "job_status" => done(&tasks.info())?,
        "force_healthy" => force(health, PingStatus::Healthy)?,
        "force_busy" => force(health, PingStatus::HealthyBusy)?,
        "clear_forced_status" => {
            health.clear_forced_ping_status();
            forced("Cleared")?
        }
        _ => return Err(unknown(name)),
    };
    tracing::debug!(target: LOGGER, "Debug action '{name}' completed successfully");
    Ok(response)
}

fn force(health: &Health, status: PingStatus) -> Result<Response<Body>, Failure> {
    health.force_ping_status(status);
    forced(status.as_str())
}

fn forced(status: &'static str) -> Result<Response<Body>, Failure> {
    #[derive(Serialize)]
    struct ForcedStatus {
        forced_status: &'static str,
    }
    done(&ForcedStatus {
        forced_status: status,
    })
}

fn done(answer: &impl Serialize) -> Result<Response<Body>, Failure> {
    let text = json::to_compact_vec(answer).map_err(|error| failed(&error.to_string()))?;
    Ok(marked(text.into(), Action::Done))
}

fn marked(body: Body, action: Action) -> Response<Body> {
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response.extensions_mut().insert(action);
    response
}

fn unknown(action: &str) -> Failure {
    tracing::warn!(target: LOGGER, "Unknown debug action requested: {action}");
    Failure::new(StatusCode::BAD_REQUEST, format!("Unknown action: {action}")).already_logged()
}

/// Actions are looked up by name, and Python cannot look up a list or an object.
fn unhashable(python_type: &str) -> Failure {
    failed(&format!("unhashable type: '{python_type}'"))
}

fn failed(details: &str) -> Failure {
    tracing::error!(target: LOGGER, "Debug action failed: {details}");
    Failure::internal("Debug action failed")
        .with_details(details)
        .already_logged()
}

/// Whether Python takes a value for true.
fn is_truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(is_true) => *is_true,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(members) => !members.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;
    use crate::log::Captured;

    /// Returns status and body of the answer to a payload, and what was logged; `None` if it is no action.
    async fn asked(body: &str) -> Option<(u16, String, Vec<String>)> {
        let captured = Captured::start();
        let tasks = Tasks::default();
        let (status, body) = match answer(body.as_bytes(), &tasks, &Health::new(tasks.clone()))? {
            Outcome::Response(response) => {
                assert_eq!(response.headers()[CONTENT_TYPE], "application/json");
                assert!(is_answer(&response));
                let status = response.status();
                (
                    status,
                    response.into_body().collect().await.unwrap().to_bytes(),
                )
            }
            Outcome::Failed(failure) => {
                assert!(failure.is_logged());
                (failure.status(), failure.body())
            }
            Outcome::Json(_) | Outcome::Events(_) => panic!("neither of these"),
        };
        let lines = captured.lines().into_iter().map(|line| {
            let (level, rest) = line["\"level\": \"".len()..].split_once('"').unwrap();
            let (_, message) = rest.split_once(r#""message": ""#).unwrap();
            format!("{level} {}", message.split_once('"').unwrap().0)
        });
        let body = String::from_utf8(body.to_vec()).unwrap();
        Some((status.as_u16(), body, lines.collect()))
    }

    #[tokio::test]
    async fn every_action_has_its_answer_and_its_lines() {
        let done = |name: &str, between: &[&str]| {
            let mut lines = vec![format!("DEBUG Processing debug action: {name}")];
            lines.extend(between.iter().map(|line| (*line).to_owned()));
            lines.push(format!(
                "DEBUG Debug action '{name}' completed successfully"
            ));
            lines
        };
        for (name, body, between) in [
            (
                "job_status",
                r#"{"active_count":0,"running_jobs":[]}"#,
                &[] as &[&str],
            ),
            (
                "force_healthy",
                r#"{"forced_status":"Healthy"}"#,
                &["INFO Ping status forced to Healthy"],
            ),
            (
                "force_busy",
                r#"{"forced_status":"HealthyBusy"}"#,
                &["INFO Ping status forced to HealthyBusy"],
            ),
            (
                "clear_forced_status",
                r#"{"forced_status":"Cleared"}"#,
                &["INFO Forced ping status cleared"],
            ),
            ("ping_status", "", &[]),
        ] {
            let payload = format!(r#"{{"other": [1], "_agent_core_app_action": "{name}"}}"#);
            let answer = asked(&payload).await.unwrap();
            assert_eq!(answer, (200, body.to_owned(), done(name, between)));
        }
    }

    #[tokio::test]
    async fn what_is_no_known_name_is_refused_and_logged_once() {
        for (action, status, body, last) in [
            (
                r#""nope""#,
                400,
                r#"{"error":"Unknown action: nope"}"#,
                "WARNING Unknown debug action requested: nope",
            ),
            (
                "3",
                400,
                r#"{"error":"Unknown action: 3"}"#,
                "WARNING Unknown debug action requested: 3",
            ),
            (
                "true",
                400,
                r#"{"error":"Unknown action: True"}"#,
                "WARNING Unknown debug action requested: True",
            ),
            (
                r#"{"a":1}"#,
                500,
                r#"{"error":"Debug action failed","details":"unhashable type: 'dict'"}"#,
                "ERROR Debug action failed: unhashable type: 'dict'",
            ),
            (
                "[1]",
                500,
                r#"{"error":"Debug action failed","details":"unhashable type: 'list'"}"#,
                "ERROR Debug action failed: unhashable type: 'list'",
            ),
        ] {
            let payload = format!(r#"{{"_agent_core_app_action": {action}}}"#);
            let (found, text, lines) = asked(&payload).await.unwrap();
            assert_eq!((found, text.as_str()), (status, body));
            assert_eq!(lines.last().map(String::as_str), Some(last));
        }
    }

    #[tokio::test]
    async fn everything_else_is_the_handlers() {
        for payload in [
            "",
            "null",
            "7",
            r#""_agent_core_app_action""#,
            r#"["_agent_core_app_action"]"#,
            r#"{"prompt": "_agent_core_app_action"}"#,
            r#"{"in": {"_agent_core_app_action": "job_status"}}"#,
            r#"{"_agent_core_app_action": "job_status""#,
            r#"{"_agent_core_app_action": ""}"#,
            r#"{"_agent_core_app_action": null}"#,
            r#"{"_agent_core_app_action": 0}"#,
            r#"{"_agent_core_app_action": -0.0}"#,
            r#"{"_agent_core_app_action": false}"#,
            r#"{"_agent_core_app_action": []}"#,
            r#"{"_agent_core_app_action": {}}"#,
        ] {
            assert!(asked(payload).await.is_none(), "{payload}");
        }
        let last_wins = r#"{"_agent_core_app_action": "nope", "_agent_core_app_action": null}"#;
        assert!(asked(last_wins).await.is_none());
    }
}
