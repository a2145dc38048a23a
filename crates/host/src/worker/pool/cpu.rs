//! How much processor time a worker has used. Known on Linux only.

use std::sync::OnceLock;
use std::time::Duration;

use tokio::net::UnixStream;

/// The unit in which `/proc` tells processor time: the same on every machine that Linux still runs on.
const TICKS_A_SECOND: u64 = 100;

/// Reads the processor time of the process at the other end of a connection.
#[derive(Debug, Default)]
pub(super) struct Meter {
    pid: OnceLock<i32>,
}

impl Meter {
    /// Notes which process is meant, the first time.
    pub(super) fn watch(&self, stream: &UnixStream) {
        if self.pid.get().is_none()
            && let Some(pid) = stream.peer_cred().ok().and_then(|peer| peer.pid())
        {
            let _ = self.pid.set(pid);
        }
    }

    /// Returns what the process has used so far, to a hundredth of a second.
    pub(super) fn read(&self) -> Option<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid.get()?)).ok()?;
        used(&stat)
    }
}

/// User and system time in a line of `/proc/PID/stat`: the name before them may hold anything, also spaces and brackets.
fn used(stat: &str) -> Option<Duration> {
    let (_, after_the_name) = stat.rsplit_once(')')?;
    let mut fields = after_the_name.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(Duration::from_millis(
        (user + system) * 1000 / TICKS_A_SECOND,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_system_time_stand_after_any_name() {
        let stat = "7 (a) b) (c) S 1 7 7 0 -1 4194560 9 0 0 0 250 51 0 0 20 0 1 0 5 1 2";
        assert_eq!(used(stat), Some(Duration::from_millis(3010)));
        assert_eq!(used("7 (a) S 1 7"), None);
        assert_eq!(used(""), None);
    }

    #[tokio::test]
    #[cfg(target_os = "linux")]
    async fn the_process_at_the_other_end_is_meant() {
        let meter = Meter::default();
        assert_eq!(meter.read(), None);
        let (ours, _theirs) = UnixStream::pair().unwrap();
        meter.watch(&ours);
        assert_eq!(
            meter.pid.get().copied(),
            i32::try_from(std::process::id()).ok()
        );
        assert!(meter.read().is_some());
    }
}
