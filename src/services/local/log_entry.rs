//! One line of the log: an event of the front door, with the time, and what it says in words.

use std::borrow::Cow;

use agentcore_local::{EndCause, Event};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

const FRONT_DOOR_STARTED: &str = "front_door_started";

/// One line of the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// When it happened, in UTC.
    pub(crate) time: String,
    /// What happened: `output`, `sandbox_ready` and so on.
    pub(crate) event: String,
    /// In which sandbox.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) sandbox: Option<String>,
    /// In which session, if the sandbox had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) session: Option<String>,
    /// What was written, for `output`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) line: Option<String>,
    /// Everything else that the event says.
    #[serde(flatten)]
    pub(crate) more: Map<String, Value>,
}

impl Entry {
    /// The line for `event`, which happens now.
    pub(crate) fn now(event: &Event) -> Self {
        /// Takes the values of an event by their names, so that what is written and what is read is one form.
        fn parts(event: &Event) -> serde_json::Result<Entry> {
            let mut value = serde_json::to_value(event)?;
            value["time"] = now().into();
            serde_json::from_value(value)
        }
        parts(event).expect("every event is an object with a name")
    }

    /// The first line of the front door `instance`: names of sandboxes mean others from here on.
    pub(crate) fn front_door_started(instance: &str) -> Self {
        Self {
            time: now(),
            event: FRONT_DOOR_STARTED.to_owned(),
            sandbox: None,
            session: None,
            line: None,
            more: Map::from_iter([("instance".to_owned(), instance.into())]),
        }
    }

    /// Whether names of sandboxes mean others from here on.
    pub(crate) fn is_new_front_door(&self) -> bool {
        self.event == FRONT_DOOR_STARTED
    }

    /// What was written, or what happened in words.
    pub(crate) fn text(&self) -> Cow<'_, str> {
        if let Some(line) = &self.line {
            return line.into();
        }
        let number = |key: &str| {
            self.more
                .get(key)
                .and_then(Value::as_u64)
                .unwrap_or_default()
        };
        match self.event.as_str() {
            "sandbox_starting" => "-- sandbox is starting".into(),
            "sandbox_ready" => format!("-- sandbox is ready after {} ms", number("millis")).into(),
            "session_started" => "-- session has begun".into(),
            "responsive" if self.more.get("answers") == Some(&Value::Bool(true)) => {
                "-- sandbox answers pings again".into()
            }
            "responsive" => "-- sandbox does not answer pings".into(),
            "sandbox_ended" => format!("-- sandbox has ended: {}", self.cause()).into(),
            "orphans_ended" => format!(
                "-- ended processes of a killed front door: {}",
                number("count")
            )
            .into(),
            "orphan_containers_ended" => format!(
                "-- removed containers of a killed front door: {}",
                number("count")
            )
            .into(),
            other => format!("-- {}", other.replace('_', " ")).into(),
        }
    }

    fn cause(&self) -> String {
        let cause = self.more.get("cause").cloned();
        let cause = cause.and_then(|it| serde_json::from_value::<EndCause>(it).ok());
        cause.map_or_else(
            || "for a reason unknown here".to_owned(),
            |it| it.to_string(),
        )
    }
}

fn now() -> String {
    format!("{:.3}", Timestamp::now())
}

#[cfg(test)]
mod tests {
    use agentcore_local::OutputStream;

    use super::*;

    #[test]
    fn every_event_is_a_line_that_keeps_all_it_says() {
        let sandbox = || "s1".to_owned();
        let session = "a-session".parse().expect("a session id");
        for (event, text) in [
            (
                Event::Output {
                    sandbox: sandbox(),
                    session: None,
                    stream: OutputStream::Stderr,
                    line: "hello".into(),
                },
                "hello",
            ),
            (
                Event::SandboxReady {
                    sandbox: sandbox(),
                    session: None,
                    millis: 80,
                },
                "-- sandbox is ready after 80 ms",
            ),
            (
                Event::SessionStarted {
                    sandbox: sandbox(),
                    session,
                },
                "-- session has begun",
            ),
            (
                Event::SandboxEnded {
                    sandbox: sandbox(),
                    session: None,
                    cause: EndCause::Exited { status: 3 },
                },
                "-- sandbox has ended: exit status 3",
            ),
            (
                Event::OrphansEnded { count: 2 },
                "-- ended processes of a killed front door: 2",
            ),
        ] {
            let entry = Entry::now(&event);
            assert_eq!(entry.text(), text);
            let written = serde_json::to_value(&entry).expect("it is plain data");
            let said = serde_json::to_value(&event).expect("it is plain data");
            for (key, value) in said.as_object().expect("an object") {
                assert!(
                    value.is_null() || written[key] == *value,
                    "{key} of {written}"
                );
            }
            assert_eq!(
                serde_json::from_value::<Entry>(written).expect("it was just written"),
                entry
            );
        }
    }
}
