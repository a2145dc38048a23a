//! Projects whose agents really run: in a private home, with the real program, real Python and real cargo.
//!
//! Everything that a test has launched is stopped when its project is dropped. Waiting has a limit that is only reached
//! when something is broken.

pub(crate) mod agents;
pub(crate) mod http;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::Value;

use crate::support::Home;

/// How long a test waits for what must happen, which may be that an agent is compiled on a machine that does more than that.
const LIMIT: Duration = Duration::from_mins(3);
const PAUSE: Duration = Duration::from_millis(20);

/// A project in a private home.
pub(crate) struct Project {
    home: Home,
}

/// What a finished command has left.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    /// 128 and the signal's number, as a shell says it, for a program that a signal has ended.
    pub(crate) code: i32,
}

/// A command that runs, with its output piped.
pub(crate) struct Running {
    child: Child,
    pub(crate) stdout: Option<BufReader<ChildStdout>>,
    stderr: Option<ChildStderr>,
}

impl Project {
    /// An empty project.
    pub(crate) fn new() -> Self {
        let home = Home::new()
            .env("CARGO_NET_OFFLINE", "true")
            .env("CARGO_TARGET_DIR", agents::target_dir());
        Self { home }
    }

    /// A project with the Python agent `my_agent`, whose file `agent.py` is `code`.
    pub(crate) fn python(code: &str) -> Self {
        let project = Self::new();
        project.write("agent.py", code);
        project.configure(&["--entrypoint", "agent.py", "--name", "my_agent"]);
        project
    }

    /// Adds a variable to the environment of every command.
    pub(crate) fn with_variable(mut self, name: &str, value: &str) -> Self {
        self.home.set(name, value);
        self
    }

    /// The home that the project is in.
    pub(crate) fn home(&self) -> &Home {
        &self.home
    }

    /// The project's folder.
    pub(crate) fn path(&self) -> PathBuf {
        self.home.project()
    }

    /// Writes a file of the project.
    pub(crate) fn write(&self, name: &str, text: &str) {
        self.home.write(name, text);
    }

    /// Everything that the program has written into the project, with the names of the files.
    pub(crate) fn state_files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut files = Vec::new();
        let mut folders = vec![self.path().join(".agentcore")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    files.push((path.clone(), fs::read(path).unwrap()));
                }
            }
        }
        files
    }

    /// Configures an agent.
    pub(crate) fn configure(&self, args: &[&str]) {
        let args = [&["configure", "--non-interactive"], args].concat();
        self.run(&args).expect_code(0);
    }

    /// A command of the program, in the project's folder, with nothing of the surroundings but what programs need.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = self.home.command(args);
        command.stdin(Stdio::null());
        command
    }

    /// A shell script in the same surroundings.
    pub(crate) fn shell(&self, script: &str) -> Command {
        let program = self.command(&[]);
        let mut shell = Command::new("sh");
        let variables = program
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?)));
        shell
            .args(["-c", script])
            .env_clear()
            .envs(variables)
            .current_dir(self.path())
            .stdin(Stdio::null());
        shell
    }

    /// Runs the program to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Finished {
        finish(&mut self.command(args))
    }

    /// Runs the program with `--output json` to its end and returns the one object on stdout.
    pub(crate) fn json(&self, args: &[&str], code: i32) -> Value {
        let finished = self.run(&[&["--output", "json"], args].concat());
        finished.expect_code(code);
        assert_eq!(finished.stdout.lines().count(), 1, "{finished:?}");
        serde_json::from_str(&finished.stdout).unwrap()
    }

    /// Starts the program with piped output.
    pub(crate) fn start(&self, args: &[&str]) -> Running {
        let mut child = self
            .command(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = child.stdout.take().map(BufReader::new);
        let stderr = child.stderr.take();
        Running {
            child,
            stdout,
            stderr,
        }
    }

    /// Launches the default agent in the background, on any free port, and returns the report.
    pub(crate) fn launch(&self, args: &[&str]) -> Value {
        let args = [&["launch", "--local", "--detach", "--port", "0"], args].concat();
        self.json(&args, 0)
    }

    /// What `status --local` reports.
    pub(crate) fn status(&self) -> Value {
        self.json(&["status", "--local"], 0)
    }

    /// The main processes of all sandboxes.
    pub(crate) fn sandbox_pids(&self) -> Vec<u32> {
        let status = self.status();
        let sandboxes = status["sandboxes"].as_array().unwrap();
        sandboxes
            .iter()
            .map(|it| u32::try_from(it["pid"].as_u64().unwrap()).unwrap())
            .collect()
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        let mut stop = self.command(&["stop", "--local", "--all"]);
        let _ = stop.stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}

impl Finished {
    /// Checks the exit code and returns stdout.
    #[track_caller]
    pub(crate) fn expect_code(&self, code: i32) -> &str {
        assert_eq!(
            self.code, code,
            "stdout: {}\nstderr: {}",
            self.stdout, self.stderr
        );
        &self.stdout
    }

    /// Checks that stderr says all of `parts`.
    #[track_caller]
    pub(crate) fn says(&self, parts: &[&str]) -> &Self {
        for part in parts {
            assert!(
                self.stderr.contains(part),
                "no `{part}` in: {}",
                self.stderr
            );
        }
        self
    }
}

impl Running {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(pid_of(self.pid()), signal).unwrap();
    }

    /// Reads `length` bytes of stdout as they come.
    pub(crate) fn read(&mut self, length: usize) -> String {
        let mut bytes = vec![0; length];
        self.stdout
            .as_mut()
            .unwrap()
            .read_exact(&mut bytes)
            .unwrap();
        String::from_utf8(bytes).unwrap()
    }

    /// Reads one line of stdout.
    pub(crate) fn read_line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.as_mut().unwrap().read_line(&mut line).unwrap();
        line
    }

    /// Reads lines of its stdout until one contains `text`.
    pub(crate) fn read_up_to(&mut self, text: &str) {
        loop {
            let line = self.read_line();
            assert!(!line.is_empty(), "it ended without a line with `{text}`");
            if line.contains(text) {
                return;
            }
        }
    }

    /// Waits for the end and reads the rest of the output.
    pub(crate) fn finish(mut self) -> Finished {
        let mut stderr = self.stderr.take().unwrap();
        let errors = std::thread::spawn(move || read_all(&mut stderr));
        let stdout = self
            .stdout
            .take()
            .map(|mut it| read_all(&mut it))
            .unwrap_or_default();
        let code = code(self.child.wait().unwrap());
        Finished {
            stdout,
            stderr: errors.join().unwrap(),
            code,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A test that has failed leaves nothing behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a command to its end.
pub(crate) fn finish(command: &mut Command) -> Finished {
    let output = command.output().unwrap();
    Finished {
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
        code: code(output.status),
    }
}

/// Kills a process that is not a child of this one.
pub(crate) fn kill(pid: u32) {
    kill_process(pid_of(pid), Signal::KILL).unwrap();
    until("a killed process is gone", || !is_alive(pid));
}

/// Whether a process is there and is not only waiting for its parent to notice its end.
pub(crate) fn is_alive(pid: u32) -> bool {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return test_kill_process(pid_of(pid)).is_ok();
    };
    // As long as one of its threads lives, so do its files and locks.
    threads.flatten().any(|thread| {
        let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        let state = stat.rsplit(')').next().unwrap_or_default().trim_start();
        !state.is_empty() && !state.starts_with(['Z', 'X'])
    })
}

/// Waits until `condition` holds.
#[track_caller]
pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !condition() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::sleep(PAUSE);
    }
}

/// The number at `key`.
#[track_caller]
pub(crate) fn number(value: &Value, key: &str) -> u32 {
    let number = value[key]
        .as_u64()
        .unwrap_or_else(|| panic!("no number `{key}` in {value}"));
    u32::try_from(number).unwrap()
}

fn pid_of(pid: u32) -> Pid {
    Pid::from_raw(i32::try_from(pid).unwrap()).unwrap()
}

fn code(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap())
}

fn read_all(from: &mut impl Read) -> String {
    let mut text = String::new();
    from.read_to_string(&mut text).unwrap();
    text
}
