//! An agent that counts the calls of each session.
//!
//! The platform runs every session in a sandbox of its own; the session's state is its own even where one process serves several,
//! and it goes with the session.

use std::sync::atomic::{AtomicU64, Ordering};

use agentcore_runtime::{App, Context, Failure, RunError, StatusCode};
use serde_json::{Value, json};

/// How often a session has called.
#[derive(Default)]
struct Calls(AtomicU64);

#[tokio::main]
async fn main() -> Result<(), RunError> {
    App::new(answer).run().await
}

async fn answer(_: Value, context: Context) -> Result<Value, Failure> {
    let session = context.session().ok_or_else(no_session)?;
    let calls = session.get_or_init(Calls::default);
    let count = calls.0.fetch_add(1, Ordering::Relaxed) + 1;
    Ok(json!({ "session": session.id().as_str(), "count": count }))
}

fn no_session() -> Failure {
    Failure::new(StatusCode::BAD_REQUEST, "there is no session to count")
        .with_details("name one in the header X-Amzn-Bedrock-AgentCore-Runtime-Session-Id")
}

#[cfg(test)]
mod tests {
    use agentcore_runtime::TestAgent;

    use super::*;

    #[tokio::test]
    async fn every_session_has_a_count_of_its_own() {
        let agent = TestAgent::new(App::new(answer));
        for (session, count) in [("one", 1), ("one", 2), ("two", 1), ("one", 3)] {
            let answer = agent.session(session).invoke("hi").await;
            assert_eq!(answer.json(), json!({ "session": session, "count": count }));
        }
        assert_eq!(agent.invoke("hi").await.status, 400);
    }
}
