//! The life of one worker: it loads, it is ready, it is dead. Dead is for ever; the next worker is another one.
//!
//! Whoever finds that a worker cannot go on condemns it here; ending the process is the supervisor's work.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};

/// How long a process may take to end after its connections have: only then its exit tells the cause.
pub(crate) const LAST_BREATH: Duration = Duration::from_secs(2);

/// How a worker ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Death {
    /// Whether the agent had loaded before.
    pub(crate) loaded: bool,
    /// `signal 9 (SIGKILL)`, `exit status 3`, or why the agent did not load.
    pub(crate) cause: String,
}

/// Where in its life a worker is.
#[derive(Debug)]
pub(crate) struct Life {
    phase: watch::Sender<Phase>,
    sentence: OnceLock<String>,
    condemned: Notify,
}

#[derive(Debug, Clone)]
enum Phase {
    Loading,
    Ready,
    Dead(Arc<Death>),
}

impl Life {
    pub(crate) fn new() -> Self {
        Self {
            phase: watch::Sender::new(Phase::Loading),
            sentence: OnceLock::new(),
            condemned: Notify::new(),
        }
    }

    /// The agent has loaded.
    pub(crate) fn ready(&self) {
        self.phase.send_if_modified(|phase| {
            let loads = matches!(phase, Phase::Loading);
            if loads {
                *phase = Phase::Ready;
            }
            loads
        });
    }

    /// The worker has ended. Only the first cause counts, and a sentence comes before what it led to.
    pub(crate) fn die(&self, cause: String) {
        self.phase.send_if_modified(|phase| {
            let loaded = match phase {
                Phase::Loading => false,
                Phase::Ready => true,
                Phase::Dead(_) => return false,
            };
            let cause = self.sentence.get().cloned().unwrap_or(cause);
            *phase = Phase::Dead(Arc::new(Death { loaded, cause }));
            true
        });
    }

    /// Says that the worker has to go, and why.
    pub(crate) fn condemn(&self, cause: impl Into<String>) {
        if self.sentence.set(cause.into()).is_ok() {
            self.condemned.notify_one();
        }
    }

    /// Condemns the worker unless it ends by itself, which would tell the better cause.
    pub(crate) async fn condemn_unless_dying(&self, cause: String) {
        tokio::select! {
            _ = self.death() => {}
            () = sleep(LAST_BREATH) => self.condemn(cause),
        }
    }

    /// Waits until the worker is condemned, once.
    pub(crate) async fn condemned(&self) {
        self.condemned.notified().await;
    }

    pub(crate) fn is_loading(&self) -> bool {
        matches!(*self.phase.borrow(), Phase::Loading)
    }

    pub(crate) fn is_condemned(&self) -> bool {
        self.sentence.get().is_some()
    }

    /// Returns how the worker died, if it has.
    pub(crate) fn dead(&self) -> Option<Arc<Death>> {
        match &*self.phase.borrow() {
            Phase::Dead(death) => Some(Arc::clone(death)),
            Phase::Loading | Phase::Ready => None,
        }
    }

    /// Waits until the agent has loaded, or will not.
    pub(crate) async fn loaded(&self) -> Result<(), Arc<Death>> {
        let phase = self
            .wait_for(|phase| !matches!(phase, Phase::Loading))
            .await;
        match phase {
            Phase::Dead(death) => Err(death),
            Phase::Loading | Phase::Ready => Ok(()),
        }
    }

    /// Waits until the worker is dead.
    pub(crate) async fn death(&self) -> Arc<Death> {
        loop {
            if let Phase::Dead(death) = self.wait_for(|phase| matches!(phase, Phase::Dead(_))).await
            {
                return death;
            }
        }
    }

    /// Waits for the death of a worker that may be dying.
    pub(crate) async fn death_within(&self, limit: Duration) -> Option<Arc<Death>> {
        timeout(limit, self.death()).await.ok()
    }

    async fn wait_for(&self, is_it: impl Fn(&Phase) -> bool) -> Phase {
        let now = self.phase.borrow().clone();
        if is_it(&now) {
            return now;
        }
        let mut receiver = self.phase.subscribe();
        let phase = receiver
            .wait_for(is_it)
            .await
            .expect("the sender lives as long as this borrow of it");
        phase.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_death_counts() {
        let life = Life::new();
        life.ready();
        assert!(life.loaded().await.is_ok());
        life.die("signal 9 (SIGKILL)".into());
        life.die("exit status 1".into());
        life.ready();
        let death = life.death().await;
        assert_eq!(
            (death.loaded, death.cause.as_str()),
            (true, "signal 9 (SIGKILL)")
        );
        assert_eq!(life.loaded().await.unwrap_err(), death);
    }

    #[tokio::test(start_paused = true)]
    async fn a_sentence_is_the_cause_unless_the_worker_was_dying_anyway() {
        let dying = Life::new();
        tokio::join!(dying.condemn_unless_dying("closed".into()), async {
            dying.die("exit status 3".into());
        });
        assert_eq!(dying.dead().unwrap().cause, "exit status 3");

        let hanging = Life::new();
        hanging.condemn_unless_dying("closed".into()).await;
        hanging.condemned().await;
        hanging.die("signal 9 (SIGKILL)".into());
        assert_eq!(hanging.dead().unwrap().cause, "closed");
    }
}
