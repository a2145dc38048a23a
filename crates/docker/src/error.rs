//! Why an engine could not be reached, or would not do what it was asked.
//!
//! What the HTTP client says is kept as a source and never shown as the sentence: a reader is told what was tried, on which
//! engine, and what the engine answered.

use std::error::Error;
use std::fmt;
use std::io;
use std::time::Duration;

use bollard::errors::Error as ClientError;

use crate::Endpoint;

/// Any cause, kept for the chain of causes.
pub type Cause = Box<dyn Error + Send + Sync>;

/// Why a request to an engine failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// Nobody can be spoken to at the engine's address.
    #[error("{endpoint}: {reason}")]
    Unreachable {
        /// Where it was tried.
        endpoint: Endpoint,
        /// Why it failed.
        reason: Unreachable,
    },
    /// The engine took the request and did not answer in time.
    #[error("cannot {action}: the engine at {endpoint} did not answer within {} s", limit.as_secs())]
    Silent {
        /// Where it was asked.
        endpoint: Endpoint,
        /// What it was asked for: `start the container …`.
        action: String,
        /// The limit that has passed.
        limit: Duration,
    },
    /// What answers does not speak the engine's API.
    #[error("{endpoint}: what answers there is not a Docker engine")]
    Foreign {
        /// Where it was tried.
        endpoint: Endpoint,
        /// What was wrong with the answer.
        #[source]
        source: Cause,
    },
    /// The connection broke off before the answer was complete.
    #[error("cannot {action}: the connection to the engine at {endpoint} broke off")]
    Broken {
        /// Where it was asked.
        endpoint: Endpoint,
        /// What it was asked for.
        action: String,
        /// What the connection said.
        #[source]
        source: Cause,
    },
    /// What the request names does not exist.
    #[error("cannot {action}: {message}")]
    NotFound {
        /// What was asked for.
        action: String,
        /// The engine's words.
        message: String,
    },
    /// The request does not fit the state that things are in: a name is taken, something is in use.
    #[error("cannot {action}: {message}")]
    Conflict {
        /// What was asked for.
        action: String,
        /// The engine's words.
        message: String,
    },
    /// The engine refused for any other reason.
    #[error("cannot {action}: {message}")]
    Refused {
        /// What was asked for.
        action: String,
        /// The HTTP status; 0 when the refusal came within a stream.
        status: u16,
        /// The engine's words.
        message: String,
    },
}

/// Why nobody can be spoken to at an address.
#[derive(Debug)]
#[non_exhaustive]
pub enum Unreachable {
    /// There is no such socket.
    Missing,
    /// The socket belongs to others.
    Denied,
    /// The socket is there, or the port exists, and nobody listens.
    Refused,
    /// So many wait there already that nobody else is let in: who listens takes no connections.
    Busy,
    /// Connecting took longer than the limit.
    Slow(Duration),
    /// Anything else that the system says.
    Other(io::Error),
}

impl EngineError {
    /// What a person can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unreachable { reason, .. } => reason.hint(),
            Self::Silent { .. } => {
                Some("restart Docker: it takes requests and does not answer".to_owned())
            }
            _ if self.is_disk_full() => Some(DISK_FULL_HINT.to_owned()),
            _ => None,
        }
    }

    /// Whether the engine itself is the problem: it is not there, does not answer, or went away.
    pub fn is_away(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::Silent { .. }
                | Self::Broken { .. }
                | Self::Foreign { .. }
        )
    }

    /// Whether what was asked about does not exist.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }

    /// Whether the request does not fit the state that things are in.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Conflict { .. })
    }

    /// Whether the engine refused because its disk is full.
    pub fn is_disk_full(&self) -> bool {
        match self {
            Self::Refused { message, .. } => says_disk_full(message),
            _ => false,
        }
    }

    /// The sentence for what the client says of a request that was to `action`.
    pub(crate) fn of(endpoint: &Endpoint, action: String, error: ClientError) -> Self {
        let endpoint = endpoint.clone();
        match error {
            ClientError::DockerResponseServerError {
                status_code,
                message,
            } => Self::answered(action, status_code, &message),
            ClientError::DockerStreamError { error } => Self::answered(action, 0, &error),
            ClientError::RequestTimeoutError => Self::Silent {
                endpoint,
                action,
                limit: crate::engine::ANSWER_LIMIT,
            },
            ClientError::SocketNotFoundError(_) => Self::Unreachable {
                endpoint,
                reason: Unreachable::Missing,
            },
            error => match Unreachable::from_chain(&error) {
                Some(reason) => Self::Unreachable { endpoint, reason },
                None => Self::Broken {
                    endpoint,
                    action,
                    source: Box::new(error),
                },
            },
        }
    }

    /// The sentence for a refusal in the engine's own words.
    pub(crate) fn answered(action: String, status: u16, message: &str) -> Self {
        let message = one_line(message);
        match status {
            404 => Self::NotFound { action, message },
            409 => Self::Conflict { action, message },
            500 if is_podmans_conflict(&message) => Self::Conflict { action, message },
            _ => Self::Refused {
                action,
                status,
                message,
            },
        }
    }
}

impl Unreachable {
    /// What the system says of a connection that did not come about.
    pub(crate) fn of(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::Missing,
            io::ErrorKind::PermissionDenied => Self::Denied,
            io::ErrorKind::ConnectionRefused => Self::Refused,
            io::ErrorKind::WouldBlock => Self::Busy,
            _ => Self::Other(error),
        }
    }

    /// What a person can do about it.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Missing => "install Docker, or start it",
            Self::Denied => {
                "add yourself to the `docker` group (`sudo usermod -aG docker $USER`, then log in again), \
                 or use rootless Docker"
            }
            Self::Refused => {
                "is Docker running? Start it (`sudo systemctl start docker`, or open Docker Desktop)"
            }
            Self::Busy | Self::Slow(_) => "restart Docker: it does not take connections",
            Self::Other(_) => return None,
        };
        Some(hint.to_owned())
    }

    /// Only failures to connect count: one that broke later was reachable.
    fn from_chain(error: &ClientError) -> Option<Self> {
        // This one shows itself as what it holds, and would be skipped.
        let mut next: Option<&(dyn Error + 'static)> = match error {
            ClientError::IOError { err } => Some(err),
            other => Some(other),
        };
        while let Some(error) = next {
            if let Some(cause) = error.downcast_ref::<io::Error>() {
                return match cause.kind() {
                    io::ErrorKind::NotFound => Some(Self::Missing),
                    io::ErrorKind::PermissionDenied => Some(Self::Denied),
                    io::ErrorKind::ConnectionRefused => Some(Self::Refused),
                    _ => None,
                };
            }
            next = error.source();
        }
        None
    }
}

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("no such socket"),
            Self::Denied => f.write_str("permission denied"),
            Self::Refused => f.write_str("nobody listens there"),
            Self::Busy => f.write_str("no more connections are taken"),
            Self::Slow(limit) => write!(f, "no connection within {} s", limit.as_secs()),
            Self::Other(error) => error.fmt(f),
        }
    }
}

/// What helps against a full disk.
pub(crate) const DISK_FULL_HINT: &str = "make room on the engine's disk: `docker system df` shows what takes it, `docker system prune` removes what is unused";

/// Whether a message of an engine, or of a program in a build, speaks of a full disk.
pub(crate) fn says_disk_full(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    [
        "no space left on device",
        "disk quota exceeded",
        "not enough space on the disk",
    ]
    .iter()
    .any(|text| message.contains(text))
}

/// Podman answers 500 to what Docker calls a conflict.
fn is_podmans_conflict(message: &str) -> bool {
    let endings = [
        "that name is already in use",
        "network already exists",
        "container state improper",
    ];
    endings.iter().any(|ending| message.ends_with(ending))
}

/// An engine's message as one line without the noise around it.
pub(crate) fn one_line(message: &str) -> String {
    const LONGEST: usize = 2000;
    let mut line = message.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((end, _)) = line.char_indices().nth(LONGEST) {
        line.truncate(end);
        line.push('…');
    }
    if line.is_empty() {
        line.push_str("the engine gave no reason");
    }
    line
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use proptest::prelude::*;

    use super::*;

    fn told(error: ClientError) -> EngineError {
        let endpoint = Endpoint::Unix(PathBuf::from("/var/run/docker.sock"));
        EngineError::of(&endpoint, "start the container `x`".to_owned(), error)
    }

    fn answer(status_code: u16, message: &str) -> EngineError {
        told(ClientError::DockerResponseServerError {
            status_code,
            message: message.to_owned(),
        })
    }

    #[test]
    fn answers_become_sentences() {
        let error = answer(404, "No such container: x");
        assert!(error.is_not_found() && !error.is_away());
        assert_eq!(
            error.to_string(),
            "cannot start the container `x`: No such container: x"
        );
        let error = answer(409, "removal of container x is already in progress");
        assert!(error.is_conflict());
        let port = "driver failed programming external connectivity on endpoint x (0123): Bind for 127.0.0.1:8080 \
                    failed: port is already allocated";
        let error = answer(500, port);
        assert_eq!(
            error.to_string(),
            format!("cannot start the container `x`: {port}")
        );
        assert!(error.hint().is_none());
        assert_eq!(
            answer(500, "").to_string(),
            "cannot start the container `x`: the engine gave no reason"
        );
    }

    #[test]
    fn podmans_conflicts_are_conflicts() {
        // Recorded: Podman 4.3.
        for message in [
            "can only kill running containers. 5b4c is in state exited: container state improper",
            "network name x already used: network already exists",
            "creating container storage: the container name \"x\" is already in use by 0123. You have to remove that \
             container to be able to reuse that name: that name is already in use",
        ] {
            assert!(answer(500, message).is_conflict(), "{message}");
        }
    }

    #[test]
    fn a_full_disk_is_seen() {
        // The wording of a full disk when a container is created.
        let error = answer(
            500,
            "mkdir /var/lib/docker/overlay2/2c1f-init: no space left on device",
        );
        assert!(error.is_disk_full());
        assert!(error.hint().unwrap().contains("docker system prune"));
        assert!(!answer(500, "port is already allocated").is_disk_full());
    }

    #[test]
    fn why_nobody_was_reached_is_found_below_the_client() {
        let error = |kind: io::ErrorKind| told(ClientError::IOError { err: kind.into() });
        let denied = error(io::ErrorKind::PermissionDenied);
        assert_eq!(
            denied.to_string(),
            "unix:///var/run/docker.sock: permission denied"
        );
        assert!(denied.hint().unwrap().contains("`docker` group"));
        assert!(
            error(io::ErrorKind::ConnectionRefused)
                .to_string()
                .ends_with("nobody listens there")
        );
        // It was reached, and then it broke.
        let broken = error(io::ErrorKind::ConnectionReset);
        assert!(matches!(broken, EngineError::Broken { .. }) && broken.is_away());
        let silent = told(ClientError::RequestTimeoutError);
        assert!(matches!(silent, EngineError::Silent { .. }) && silent.is_away());
    }

    proptest! {
        #[test]
        fn a_message_becomes_one_line_of_bounded_length(message in "\\PC{0,3000}|[a\\n\\t ]{0,3000}") {
            let line = one_line(&message);
            prop_assert!(!line.is_empty() && !line.contains('\n'));
            prop_assert!(line.chars().count() <= 2001);
        }
    }
}
