//! A front door in the background: this program again, in a session of its own, that outlives the one who started it.
//!
//! It gets its plan over stdin and says one thing on stdout, that it is ready or why not; then it holds nothing of the
//! starter's any more. Its environment is empty: what sandboxes need is in the plan.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};

use super::plan::Plan;
use super::record::{Record, make_parent};
use crate::error::{CliError, Kind};

/// How many lines of the log are shown when it dies without a word.
const LOG_LINES: usize = 50;

/// A front door that was started and has not said anything yet.
#[derive(Debug)]
pub(crate) struct Background {
    child: Child,
    stdout: BufReader<ChildStdout>,
    log: PathBuf,
}

/// Why there is no front door in the background.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DetachError {
    /// It could not be started.
    #[error("cannot start `{}` in the background", program.display())]
    Spawn {
        /// The program.
        program: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Its log cannot be written, or it cannot be heard.
    #[error("cannot keep in touch with the front door in the background")]
    Talk(#[source] io::Error),
    /// It said why it cannot go on.
    #[error("{}", .0.message)]
    Failed(Failure),
    /// Somebody asked it to end.
    #[error("the agent was stopped before it was ready")]
    Stopped,
    /// It ended without a word.
    #[error("the front door ended before it was ready ({status})")]
    Died {
        /// How it ended.
        status: ExitStatus,
        /// The end of its log.
        log: String,
    },
}

/// The failure of the background program, as its `--output json` tells it.
#[derive(Debug, Deserialize)]
pub(crate) struct Failure {
    kind: Kind,
    message: String,
    #[serde(default)]
    causes: Vec<String>,
    hint: Option<String>,
    details: Option<String>,
}

/// What the background program says on stdout.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Word {
    Ready(Record),
    Error(Failure),
}

impl Background {
    /// Starts `program` with `plan`.
    ///
    /// # Errors
    ///
    /// Fails if the program cannot be started or does not take its plan.
    pub(crate) async fn start(program: &Path, plan: &Plan) -> Result<Self, DetachError> {
        let log = plan.places.front_door_log();
        let stderr = open_log(&log).map_err(DetachError::Talk)?;
        let mut child = Command::new(program)
            .args(["--output", "json", "front-door"])
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .map_err(|source| DetachError::Spawn {
                program: program.to_owned(),
                source,
            })?;
        let plan = serde_json::to_vec(plan).map_err(|it| DetachError::Talk(it.into()))?;
        let mut stdin = child.stdin.take().expect("stdin is piped");
        // One that dies at once says why on its stdout; that its stdin broke is only how it shows here.
        let _ = stdin.write_all(&plan).await;
        drop(stdin);
        let stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        Ok(Self { child, stdout, log })
    }

    /// Waits until it is ready.
    ///
    /// # Errors
    ///
    /// Fails with what it says if it cannot go on, or with its log if it ends without a word.
    pub(crate) async fn ready(&mut self) -> Result<Record, DetachError> {
        #[derive(Deserialize)]
        struct Line {
            #[serde(flatten)]
            word: Word,
        }
        let mut line = String::new();
        self.stdout
            .read_line(&mut line)
            .await
            .map_err(DetachError::Talk)?;
        match serde_json::from_str(&line) {
            Ok(Line {
                word: Word::Ready(record),
            }) => Ok(record),
            Ok(Line {
                word: Word::Error(failure),
            }) => Err(DetachError::Failed(failure)),
            Err(_) => {
                let status = self.child.wait().await.map_err(DetachError::Talk)?;
                if status.success() {
                    return Err(DetachError::Stopped);
                }
                Err(DetachError::Died {
                    status,
                    log: last_lines(&self.log),
                })
            }
        }
    }

    /// Ends it, and waits until it is gone with everything that it started.
    pub(crate) async fn end(mut self) {
        if let Some(pid) = self.child.id().and_then(|it| i32::try_from(it).ok())
            && let Some(pid) = rustix::process::Pid::from_raw(pid)
        {
            // Gone already is as good.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let _ = self.child.wait().await;
    }
}

/// Opens the log anew; the one of the start before is kept beside it.
fn open_log(path: &Path) -> io::Result<File> {
    make_parent(path)?;
    match fs::rename(path, path.with_extension("log.1")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
}

fn last_lines(path: &Path) -> String {
    let text = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
}

impl From<DetachError> for CliError {
    fn from(error: DetachError) -> Self {
        let message = error.to_string();
        match error {
            DetachError::Spawn { source, .. } => Self::other(message)
                .caused_by(source)
                .hint("run the command again: the program may just have been replaced"),
            DetachError::Talk(source) => Self::other(message)
                .caused_by(source)
                .hint("check the permissions of `.agentcore` and the space on the disk"),
            DetachError::Stopped => {
                Self::other(message).hint("start it again with `agentcore launch --local`")
            }
            DetachError::Died { log, .. } => Self::other(message)
                .details(log)
                .hint("run the command again without `--detach` to see it start"),
            DetachError::Failed(Failure {
                kind,
                message,
                causes,
                hint,
                details,
            }) => {
                let mut failure = Self::new(kind, message);
                if !causes.is_empty() {
                    failure = failure.caused_by(causes.join(": "));
                }
                if let Some(hint) = hint {
                    failure = failure.hint(hint);
                }
                match details {
                    Some(details) => failure.details(details),
                    None => failure,
                }
            }
        }
    }
}
