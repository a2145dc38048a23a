//! The debug actions: what a payload with `_agent_core_app_action` does in debug mode.

use crate::agent::Outcome;
use crate::health::Health;
use crate::tasks::Tasks;

/// Returns the answer if `body` asks for an action.
pub(crate) fn answer(_body: &[u8], _tasks: &Tasks, _health: &Health) -> Option<Outcome> {
    None
}
