//! What the Rust agent does with its tasks and its status.

use std::collections::BTreeMap;
use std::sync::Mutex;

use agentcore_runtime::{Context, Failure, PingStatus, TaskId};
use serde_json::{Value, json};

/// The tasks that were begun, by name, and what the ping handler says.
#[derive(Default)]
pub(super) struct Health {
    tasks: Mutex<BTreeMap<String, TaskId>>,
    says: Mutex<String>,
}

impl Health {
    /// Does what the payload says, if it is about tasks or the status.
    pub(super) fn act(&self, payload: &Value, context: &Context) -> Option<Value> {
        let word = |name: &str| payload[name].as_str().unwrap_or_default();
        let tasks = context.tasks();
        Some(match word("do") {
            "ping_says" => {
                word("what").clone_into(&mut self.says.lock().unwrap());
                json!("noted")
            }
            "begin" => {
                let metadata = payload["metadata"].clone();
                let id = tasks.add_async_task_with(word("name"), metadata);
                self.tasks.lock().unwrap().insert(word("name").into(), id);
                json!("begun")
            }
            "end" => {
                let id = *self.tasks.lock().unwrap().get(word("name"))?;
                json!(tasks.complete_async_task(id))
            }
            "tasks" => json!(tasks.info()),
            "force" => {
                let status = match word("status") {
                    "HealthyBusy" => PingStatus::HealthyBusy,
                    _ => PingStatus::Healthy,
                };
                context.health().force_ping_status(status);
                json!("forced")
            }
            "unforce" => {
                context.health().clear_forced_ping_status();
                json!("cleared")
            }
            "status" => json!(context.health().current_ping_status().as_str()),
            _ => return None,
        })
    }

    /// The answer of the ping handler.
    pub(super) fn ping(&self) -> Result<Option<PingStatus>, Failure> {
        match self.says.lock().unwrap().as_str() {
            "healthy" => Ok(Some(PingStatus::Healthy)),
            "busy" => Ok(Some(PingStatus::HealthyBusy)),
            "an error" => Err(Failure::internal("no idea")),
            _ => Ok(None),
        }
    }
}
