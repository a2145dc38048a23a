//! Containers that a killed front door left behind, on every engine where there may be some.
//!
//! Processes die with their machine; containers stay with their engine, which may be another one by now than the shell's,
//! or may not answer just now. What could not be looked at is told, and stays remembered.

use agentcore_docker::{Endpoint, EngineError};
use futures_util::future::join_all;
use serde::{Serialize, Serializer};

/// What became of the containers on some engines.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// How many were removed.
    pub(crate) removed: usize,
    /// The engines that could not be looked at.
    pub(crate) unseen: Vec<Unseen>,
}

/// An engine on which containers may be left.
#[derive(Debug, Serialize)]
pub(crate) struct Unseen {
    /// Where it listens.
    #[serde(serialize_with = "as_text")]
    pub(crate) engine: Endpoint,
    /// Why it could not be looked at.
    pub(crate) reason: String,
}

/// Removes the containers with `mark` on all of `engines`, at the same time.
pub(crate) async fn remove(engines: &[Endpoint], mark: &str) -> Outcome {
    let all = engines.iter().map(|engine| async move {
        let removed = agentcore_local::end_orphan_containers(engine, mark, None).await;
        (engine, removed)
    });
    let mut outcome = Outcome::default();
    for (engine, removed) in join_all(all).await {
        match removed {
            Ok(count) => outcome.removed += count,
            Err(error) => outcome.unseen.push(Unseen::new(engine, &error)),
        }
    }
    outcome
}

impl Outcome {
    /// Where containers may still be.
    pub(crate) fn engines(&self) -> Vec<Endpoint> {
        self.unseen.iter().map(|it| it.engine.clone()).collect()
    }
}

impl Unseen {
    fn new(engine: &Endpoint, error: &EngineError) -> Self {
        let said = error.to_string();
        // Where it is said already.
        let reason = said.strip_prefix(&format!("{engine}: ")).unwrap_or(&said);
        Self {
            engine: engine.clone(),
            reason: reason.to_owned(),
        }
    }
}

fn as_text<S: Serializer>(engine: &Endpoint, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(engine)
}
