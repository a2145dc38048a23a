//! A sandbox that is a process: how it is started, what it is told, and how it is ended with everything it left behind.
//!
//! It shares user, files and network with the front door, so it is no security boundary; it keeps sessions from sharing
//! memory, homes and temporary files.

use std::io;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::output::{self, MERGED, OUTPUT_VARIABLE};
use crate::error::EndCause;
use crate::event::OutputStream;
use crate::process_tree::{self, Family, GRACE, MARK_VARIABLE, Mark, adopted};
use crate::run_dir::SandboxDir;
use crate::spec::ProcessSpec;

/// The variable that tells an agent's server where to listen.
const LISTEN_VARIABLE: &str = "AGENTCORE_LISTEN";

/// How long the last lines of a process may take after it has ended; a descendant may hold its streams open.
const LAST_LINES: Duration = Duration::from_millis(500);

/// Hears each line.
pub(crate) type LineSink = Arc<dyn Fn(OutputStream, String) + Send + Sync>;

/// A running sandbox.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    pid: u32,
    mark: Mark,
    streams: [JoinHandle<()>; 2],
}

impl Process {
    /// Starts the process that `spec` describes, in its own group and with its own home and temporary folder.
    pub(crate) fn start(
        spec: &ProcessSpec,
        dir: &SandboxDir,
        mark: Mark,
        lines: &LineSink,
    ) -> io::Result<Self> {
        let ProcessSpec {
            program,
            args,
            cwd,
            env,
        } = spec;
        let mut listen = std::ffi::OsString::from("unix:");
        listen.push(dir.socket());
        let mut command = Command::new(program);
        command
            .args(args)
            .current_dir(cwd)
            .env_clear()
            .envs(env)
            .env(OUTPUT_VARIABLE, MERGED)
            .env("HOME", dir.home())
            .env("TMPDIR", dir.tmp())
            .env(LISTEN_VARIABLE, listen)
            .env(MARK_VARIABLE, mark.to_string())
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let (mut child, pid) = adopted::start_main_process(|| {
            let child = command.spawn()?;
            let pid = child
                .id()
                .expect("a child that nobody waited for has an id");
            Ok((child, pid))
        })?;
        let stdout = child.stdout.take().expect("stdout is piped");
        let stderr = child.stderr.take().expect("stderr is piped");
        let streams = [
            forward(stdout, OutputStream::Stdout, Arc::clone(lines)),
            forward(stderr, OutputStream::Stderr, Arc::clone(lines)),
        ];
        Ok(Self {
            child,
            pid,
            mark,
            streams,
        })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Waits until the main process has ended and its last lines were read. May be dropped and called again.
    pub(crate) async fn ended(&mut self) -> EndCause {
        let cause = match self.child.wait().await {
            Ok(status) => EndCause::from(status),
            Err(error) => EndCause::NotStarted {
                error: format!("it cannot be waited for: {error}"),
            },
        };
        self.last_lines().await;
        cause
    }

    /// Ends the process and all its descendants: asked first, and killed after [`GRACE`].
    pub(crate) async fn end(mut self) {
        let family = Family::Sandbox {
            root: self.pid,
            mark: self.mark.clone(),
        };
        let ending = tokio::task::spawn_blocking(move || process_tree::end(&family, GRACE));
        let (ended, _) = tokio::join!(ending, self.child.wait());
        if let Ok(Err(error)) = ended {
            tracing::warn!(%error, "cannot look for the processes of a sandbox");
        }
        self.last_lines().await;
        if adopted::forget_main_process(self.pid) {
            // Nobody is left that they could belong to.
            let _ = tokio::task::spawn_blocking(|| process_tree::end(&Family::Strays, GRACE)).await;
        }
    }

    async fn last_lines(&mut self) {
        let [stdout, stderr] = &mut self.streams;
        let both = async {
            for stream in [stdout, stderr] {
                if !stream.is_finished() {
                    let _ = stream.await;
                }
            }
        };
        let _ = timeout(LAST_LINES, both).await;
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        for stream in &self.streams {
            stream.abort();
        }
        adopted::forget_main_process(self.pid);
    }
}

fn forward(
    stream: impl tokio::io::AsyncRead + Unpin + Send + 'static,
    name: OutputStream,
    lines: LineSink,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        if let Err(error) = output::each_line(stream, name, |name, line| lines(name, line)).await {
            tracing::debug!(%error, "cannot read what an agent writes");
        }
    })
}
