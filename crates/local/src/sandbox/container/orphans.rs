//! Containers that are found by their labels and ended: what a front door left that was killed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use agentcore_docker::{ContainerSummary, Endpoint, Engine, EngineError};
use futures_util::future::join_all;
use tokio::time::sleep;

use super::request::{INSTANCE_LABEL, MARK_LABEL, NETWORK_LABEL};

/// How long an engine may need to finish a container that was asked for by a front door that is gone.
const LATECOMERS: Duration = Duration::from_millis(300);

/// How often they are looked for; one whose removal hangs in the engine must not be waited for without end.
const MOST_LOOKS: u32 = 20;

/// Ends every container of `mark` on the engine at `endpoint` that was not started by the front door `keep_instance`, and
/// returns how many there were. Their networks are removed too, unless somebody else uses them.
///
/// For what a front door that was killed could not end itself.
///
/// # Errors
///
/// Fails if the engine does not answer or cannot remove one of them.
pub async fn end_orphan_containers(
    endpoint: &Endpoint,
    mark: &str,
    keep_instance: Option<&str>,
) -> Result<usize, EngineError> {
    let engine = Engine::open(endpoint).await?;
    end(&engine, mark, keep_instance).await
}

/// The same on an engine that is open already.
pub(super) async fn end(
    engine: &Engine,
    mark: &str,
    keep_instance: Option<&str>,
) -> Result<usize, EngineError> {
    let labels = BTreeMap::from([(MARK_LABEL.to_owned(), mark.to_owned())]);
    let mut networks = BTreeSet::new();
    let mut count = 0;
    for _ in 0..MOST_LOOKS {
        let mut found = Found::of(engine, &labels).await?;
        // Whatever carries the mark and no instance was not made by a front door.
        found.retain(|labels| {
            let instance = labels.get(INSTANCE_LABEL).map(String::as_str);
            instance.is_some() && instance != keep_instance
        });
        if found.is_empty() {
            break;
        }
        networks.append(&mut found.networks());
        count += found.remove_all().await?;
        // The one who was killed may have asked for another that the engine is still making.
        sleep(LATECOMERS).await;
    }
    for network in networks {
        engine.remove_network(&network).await?;
    }
    Ok(count)
}

/// Containers that were found.
pub(super) struct Found(Vec<ContainerSummary>);

impl Found {
    pub(super) async fn of(
        engine: &Engine,
        labels: &BTreeMap<String, String>,
    ) -> Result<Self, EngineError> {
        engine.containers_with(labels).await.map(Self)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Keeps those whose labels are wanted.
    pub(super) fn retain(&mut self, wanted: impl Fn(&BTreeMap<String, String>) -> bool) {
        self.0.retain(|it| wanted(&it.labels));
    }

    /// Returns the names of the networks that they are on.
    fn networks(&self) -> BTreeSet<String> {
        let names = self.0.iter().filter_map(|it| it.labels.get(NETWORK_LABEL));
        names.cloned().collect()
    }

    /// Kills and removes them at the same time, and returns how many there were.
    ///
    /// # Errors
    ///
    /// Fails with the first failure, after all were tried.
    pub(super) async fn remove_all(self) -> Result<usize, EngineError> {
        let removals = self.0.iter().map(|it| it.container.remove());
        let results = join_all(removals).await;
        let count = results.len();
        results.into_iter().collect::<Result<Vec<()>, _>>()?;
        Ok(count)
    }
}
