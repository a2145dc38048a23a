//! What a whole program writes to stderr: its own lines and its author's, with the ids of the invocation, as JSON and on
//! a terminal.
//!
//! Each test starts this test program once more, which then takes the role of an agent: a log is the process's.

mod program;

use std::collections::BTreeMap;
use std::fmt;

use agentcore_runtime::{App, Context, RunError, Stream};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Instrument, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{self, SubscriberExt};
use tracing_subscriber::registry::{LookupSpan, Registry};

use self::program::{Program, in_two_roles};

const TOKEN: &str = "eyJhbGciOiJub25lIn0.e30.c2VjcmV0";
const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// Is the agent that a test asked for.
async fn act(role: String) -> Result<(), RunError> {
    match role.as_str() {
        "async" => App::new(answer).run().await,
        "blocking" => App::new(answer_blocking).run().await,
        "stream" => App::streaming(answer_in_pieces).run().await,
        "own subscriber" => {
            let subscriber = Registry::default().with(OwnLines);
            tracing::subscriber::set_global_default(subscriber).unwrap();
            App::new(answer).run().await
        }
        other => panic!("no agent is called `{other}`"),
    }
}

async fn answer(payload: Value, context: Context) -> Value {
    tracing::info!(target: "my_agent", "begin");
    assert_ne!(payload, "panic", "out of tea");
    let work = async {
        tokio::task::yield_now().await;
        tracing::info!(target: "my_agent", "in a task");
    };
    tokio::spawn(work.in_current_span()).await.unwrap();
    let token = context.authorization().unwrap();
    tracing::warn!(target: "my_agent", header = token.expose(), "{}", &token.expose()[7..]);
    tokio::spawn(async { tracing::info!(target: "stranger", "in a task of nobody's") })
        .await
        .unwrap();
    payload
}

fn answer_blocking(payload: Value) -> Value {
    tracing::info!(target: "my_agent", "begin");
    payload
}

async fn answer_in_pieces(_: Value) -> impl Stream<Item = u8> {
    tracing::info!(target: "my_agent", "begin");
    stream::iter([1, 2]).then(async |number| {
        tokio::task::yield_now().await;
        tracing::info!(target: "my_agent", number, "between items");
        number
    })
}

/// The subscriber of an author who wants no JSON.
struct OwnLines;

/// The fields of a span or an event, as texts.
#[derive(Default)]
struct Fields(BTreeMap<&'static str, String>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for OwnLines {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: layer::Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        context.span(id).unwrap().extensions_mut().insert(fields);
    }

    #[expect(clippy::print_stderr, reason = "this is where a log goes")]
    fn on_event(&self, event: &Event<'_>, context: layer::Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(Fields(outer)) = span.extensions().get() {
                fields.0.extend(outer.clone());
            }
        }
        eprintln!("OWN {}", json!(fields.0));
    }
}

/// The lines of one logger, as values.
fn of_logger<'a>(lines: &'a [Value], logger: &str) -> Vec<&'a Value> {
    let is_its = |line: &&Value| line["logger"] == logger;
    lines.iter().filter(is_its).collect()
}

fn messages<'a>(lines: &[&'a Value]) -> Vec<&'a str> {
    let message = |line: &&'a Value| line["message"].as_str().unwrap();
    lines.iter().map(message).collect()
}

#[test]
fn the_authors_lines_carry_the_ids_and_not_the_secrets() {
    const NAME: &str = "logs::the_authors_lines_carry_the_ids_and_not_the_secrets";
    in_two_roles(act, async {
        for (role, expected) in [
            ("async", &["begin", "in a task", "[redacted]"][..]),
            ("blocking", &["begin"]),
            ("stream", &["begin", "between items", "between items"]),
        ] {
            let program = Program::start(NAME, role, &[]).await;
            program.invoke("1").await;
            let lines: Vec<Value> = program.end().await.iter().map(json_line).collect();
            let authors = of_logger(&lines, "my_agent");
            assert_eq!(messages(&authors), expected, "{role}");
            let servers = of_logger(&lines, "bedrock_agentcore.app");
            let about_it = servers.last().unwrap();
            for line in authors.iter().chain([about_it]) {
                assert_eq!(line["requestId"], "r-1", "{role}: {line}");
                assert_eq!(line["sessionId"], "s-1", "{role}: {line}");
                assert_eq!(line["traceId"], TRACEPARENT[3..35], "{role}: {line}");
                assert_eq!(line["spanId"], TRACEPARENT[36..52], "{role}: {line}");
                assert!(!line.to_string().contains(TOKEN), "{role}: {line}");
            }
            for line in of_logger(&lines, "stranger") {
                assert_eq!(
                    line["requestId"],
                    Value::Null,
                    "it belongs to no span: {line}"
                );
            }
        }
    });
}

#[test]
fn a_panic_is_a_line_of_the_log() {
    const NAME: &str = "logs::a_panic_is_a_line_of_the_log";
    in_two_roles(act, async {
        for backtrace in ["0", "1"] {
            let program = Program::start(NAME, "async", &[("RUST_BACKTRACE", backtrace)]).await;
            assert_eq!(program.invoke("\"panic\"").await.0, 500);
            let lines: Vec<Value> = program.end().await.iter().map(json_line).collect();
            let servers = of_logger(&lines, "bedrock_agentcore.app");
            let [.., panic, failed] = &servers[..] else {
                panic!("two lines are missing: {lines:?}");
            };
            assert_eq!(panic["message"], "Panic in thread `agent`");
            let said = panic["errorMessage"].as_str().unwrap();
            assert!(said.contains("out of tea"), "{panic}");
            let location = panic["location"].as_str().unwrap();
            assert!(location.contains("logs.rs:"), "{panic}");
            assert_eq!(
                panic.get("stackTrace").is_some(),
                backtrace == "1",
                "{panic}"
            );
            let (before, _) = failed["message"].as_str().unwrap().split_once('(').unwrap();
            assert_eq!(before, "Invocation failed ");
            for line in [panic, failed] {
                assert_eq!(line["level"], "ERROR");
                assert_eq!(line["errorType"], "Panic");
                assert_eq!(line["requestId"], "r-1");
            }
        }
    });
}

#[test]
fn an_authors_own_subscriber_stays_and_sees_the_ids_as_fields() {
    const NAME: &str = "logs::an_authors_own_subscriber_stays_and_sees_the_ids_as_fields";
    in_two_roles(act, async {
        let program = Program::start(NAME, "own subscriber", &[]).await;
        program.invoke("1").await;
        assert_eq!(program.invoke("\"panic\"").await.0, 500);
        let lines = program.end().await;
        let line = |message: &str| -> Value {
            let is_it = |line: &&String| line.contains(message);
            let line = lines.iter().find(is_it).unwrap();
            serde_json::from_str(line.strip_prefix("OWN ").unwrap()).unwrap()
        };
        for message in ["begin", "in a task\"", "completed successfully"] {
            let line = line(message);
            assert_eq!(line["request_id"], "\"r-1\"", "{line}");
            assert_eq!(line["session_id"], "\"s-1\"", "{line}");
            assert_eq!(line["trace_id"], TRACEPARENT[3..35], "{line}");
            assert_eq!(line["span_id"], TRACEPARENT[36..52], "{line}");
        }
        let is_default = |line: &String| line.contains("panicked at");
        assert!(
            lines.iter().any(is_default),
            "panics are left alone: {lines:?}"
        );
    });
}

#[test]
fn the_environment_chooses_the_form_of_lines() {
    const NAME: &str = "logs::the_environment_chooses_the_form_of_lines";
    in_two_roles(act, async {
        let program = Program::start(NAME, "blocking", &[("AGENTCORE_LOG", "text")]).await;
        program.invoke("1").await;
        let lines = program.end().await;
        let ids = format!(
            "requestId=r-1 sessionId=s-1 traceId={} spanId={}",
            &TRACEPARENT[3..35],
            &TRACEPARENT[36..52]
        );
        assert!(lines[0].contains("Z INFO  Listening on "), "{lines:?}");
        assert!(
            lines[1].ends_with(&format!("Z INFO  my_agent: begin  {ids}")),
            "{lines:?}"
        );
        assert!(
            lines[2].contains(" INFO  Invocation completed successfully ("),
            "{lines:?}"
        );
        assert!(lines[2].ends_with(&format!("s)  {ids}")), "{lines:?}");

        let program = Program::start(NAME, "blocking", &[("AGENTCORE_LOG", "xml")]).await;
        let lines: Vec<Value> = program.end().await.iter().map(json_line).collect();
        assert_eq!(
            (&lines[0]["level"], &lines[0]["message"]),
            (
                &json!("WARNING"),
                &json!("AGENTCORE_LOG is `xml`, which is neither `json` nor `text` nor `auto`")
            )
        );
    });
}

#[test]
fn lines_on_a_terminal_are_for_people() {
    const NAME: &str = "logs::lines_on_a_terminal_are_for_people";
    in_two_roles(act, async {
        for (variables, info) in [
            (&[("TERM", "xterm")][..], "\u{1b}[32mINFO \u{1b}[0m "),
            (&[("TERM", "xterm"), ("NO_COLOR", "1")], " INFO  "),
            (&[("TERM", "dumb")], " INFO  "),
        ] {
            let program = Program::start_on_terminal(NAME, "blocking", variables).await;
            program.invoke("1").await;
            let lines = program.end().await;
            let expected = format!("{info}Invocation completed successfully (");
            assert!(
                lines.last().unwrap().contains(&expected),
                "{variables:?}: {lines:?}"
            );
        }
        let json = [("TERM", "xterm"), ("AGENTCORE_LOG", "json")];
        let program = Program::start_on_terminal(NAME, "blocking", &json).await;
        program.invoke("1").await;
        let lines: Vec<Value> = program.end().await.iter().map(json_line).collect();
        assert_eq!(of_logger(&lines, "my_agent").len(), 1);
    });
}

fn json_line(line: &String) -> Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}"))
}
