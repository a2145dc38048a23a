//! An engine of one test's own, which may be stopped, killed and filled up.
//!
//! It lives in namespaces of its own (network, mounts, processes), so that it cannot touch the machine's engine: a second
//! engine in the same network takes away the first one's bridge and firewall rules. What the test launches there is
//! started inside too. Everything in it ends with its first process, which ends when the test lets go of its pipe, in
//! whatever way the test ends.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::engine::{Engine, not_run, variable};
use crate::live::{Finished, Project, finish, until};

/// Programs that a private engine needs.
const NEEDED: [&str; 4] = ["dockerd", "unshare", "nsenter", "ip"];

/// A project beside an engine of its own.
pub(crate) struct Private {
    first: Child,
    // Its end sends signals to processes, which have other numbers outside: by then those inside must be gone.
    pub(crate) project: Project,
    pub(crate) engine: Engine,
    folder: PathBuf,
}

impl Private {
    /// Starts an engine that has `size` for all its images and containers, such as `64m`.
    ///
    /// Where that is impossible, the test is not run, which in CI is a failure.
    pub(crate) fn start(size: &str, project: Project) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            not_run("an engine of its own needs root");
            return None;
        }
        if let Some(missing) = NEEDED.iter().find(|it| !is_installed(it)) {
            not_run(&format!(
                "an engine of its own needs `{missing}`, which is not installed"
            ));
            return None;
        }
        // Not in the project, whose build context it would be; short, because it holds sockets.
        let folder = project.path().with_file_name("engine");
        fs::create_dir_all(folder.join("data")).unwrap();
        fs::write(folder.join("daemon.json"), "{}").unwrap();
        let script = format!(
            "ip link set lo up && mount -t tmpfs -o size={size} tmpfs '{}' && echo ready && exec 3<&0 && {{ cat <&3 & wait; }}",
            folder.join("data").display()
        );
        let mut first = Command::new("unshare")
            .args(["--net", "--mount", "--pid", "--fork", "--mount-proc"])
            .args(["sh", "-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = [0; 6];
        std::io::Read::read_exact(first.stdout.as_mut().unwrap(), &mut ready).unwrap();
        let private = Self {
            first,
            project,
            engine: Engine::at(folder.join("docker.sock")),
            folder,
        };
        private.start_engine();
        Some(private)
    }

    /// Starts the engine, again if it was stopped, and waits until it answers.
    pub(crate) fn start_engine(&self) {
        let at = |name: &str| self.folder.join(name).display().to_string();
        // In the background of a shell that ends at once: the engine belongs to the first process inside.
        let background = "log=$1 && shift && \"$@\" </dev/null >>\"$log\" 2>&1 &";
        let mut engine = self.inside(Command::new("sh").args([
            "-c",
            background,
            "sh",
            &at("log"),
            "dockerd",
            "--config-file",
            &at("daemon.json"),
            "--data-root",
            &at("data"),
            "--exec-root",
            &at("exec"),
            "--pidfile",
            &at("pid"),
            "--host",
            &format!("unix://{}", at("docker.sock")),
            "--shutdown-timeout",
            "3",
        ]));
        finish(&mut engine).expect_code(0);
        until("the private engine answers", || self.engine.answers());
    }

    /// Stops the engine as the system does, with all its containers.
    pub(crate) fn stop_engine(&self) {
        self.signal_engine("TERM");
    }

    /// Kills the engine; its containers live on.
    pub(crate) fn kill_engine(&self) {
        self.signal_engine("KILL");
        // What a killed one leaves would keep the next one from starting.
        for name in ["pid", "docker.sock"] {
            let _ = fs::remove_file(self.folder.join(name));
        }
    }

    fn signal_engine(&self, signal: &str) {
        let script = format!(
            "pid=$(cat '{}') && kill -{signal} $pid && while [ -e /proc/$pid/exe ]; do sleep 0.05; done",
            self.folder.join("pid").display()
        );
        finish(&mut self.inside(Command::new("sh").args(["-c", &script]))).expect_code(0);
    }

    /// Runs the program to its end, beside the engine.
    pub(crate) fn run(&self, args: &[&str]) -> Finished {
        let mut command = self.project.command(args);
        command.env("DOCKER_HOST", self.engine.host());
        finish(self.inside(&command).stdin(Stdio::null()))
    }

    /// The same command inside.
    fn inside(&self, command: &Command) -> Command {
        let namespace = |name: &str| format!("/proc/{}/ns/{name}", self.first.id());
        let mut inside = Command::new("nsenter");
        inside
            .arg(format!("--net={}", namespace("net")))
            .arg(format!("--mount={}", namespace("mnt")))
            .arg(format!("--pid={}", namespace("pid_for_children")))
            // Who enters a mount namespace stands in its root folder.
            .args(["sh", "-c", "cd \"$1\" && shift && exec \"$@\"", "sh"])
            .arg(command.get_current_dir().unwrap_or(&self.folder))
            .arg(command.get_program())
            .args(command.get_args());
        let variables: Vec<_> = command
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?)))
            .collect();
        if !variables.is_empty() {
            inside.env_clear().envs(variables);
        }
        inside
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            let end: Vec<&str> = log.lines().rev().take(20).collect();
            #[expect(clippy::print_stderr, reason = "a failed test shows what it knows")]
            {
                eprintln!("the engine's last lines, newest first:\n{}", end.join("\n"));
            }
        }
        // The first process reads this pipe and ends with it; the kernel then kills all others inside, and only when they
        // are gone does the wait return.
        drop(self.first.stdin.take());
        let _ = self.first.wait();
    }
}

fn is_installed(program: &str) -> bool {
    let path = variable("PATH").unwrap_or_default();
    path.split(':')
        .any(|folder| Path::new(folder).join(program).exists())
}
