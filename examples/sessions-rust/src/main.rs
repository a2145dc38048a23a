//! An agent that counts its calls in a global.
//!
//! The platform runs every session in a sandbox of its own, so the count is the session's: what one session leaves in
//! memory, no other ever sees.

use std::sync::atomic::{AtomicU64, Ordering};

use agentcore_runtime::{App, Context, RunError, SessionId};
use serde_json::{Value, json};

static CALLS: AtomicU64 = AtomicU64::new(0);

#[tokio::main]
async fn main() -> Result<(), RunError> {
    App::new(answer).run().await
}

async fn answer(_: Value, context: Context) -> Value {
    let count = CALLS.fetch_add(1, Ordering::Relaxed) + 1;
    json!({ "session": context.session_id().map(SessionId::as_str), "count": count })
}
