//! What a process sandbox finds in its environment, beside what the shell, the project and the flags give.
//!
//! HOME, TMPDIR and the address to listen on are the sandbox's own and are added where it is started.

use std::collections::BTreeMap;

/// Names that the sandbox sets itself: a value from elsewhere would cut it off from its front door.
const OWN: &[&str] = &["AGENTCORE_LISTEN", "AGENTCORE_SANDBOX", "AGENTCORE_OUTPUT"];

/// Variables by name.
pub(crate) type Variables = BTreeMap<String, String>;

/// Whether a variable is the sandbox's own business.
pub(crate) fn is_own(name: &str) -> bool {
    OWN.contains(&name)
}
