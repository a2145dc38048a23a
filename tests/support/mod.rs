//! A private home for one test: its own HOME, project folder and environment, and output that is the same everywhere.

pub(crate) mod terminal;

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where no Docker engine listens: a test gets processes on every machine, unless it names an engine itself.
const NO_ENGINE: &str = "unix:///nonexistent/docker.sock";

/// A home that goes away with the test.
pub(crate) struct Home {
    folder: tempfile::TempDir,
    root: PathBuf,
    environment: Vec<(OsString, OsString)>,
}

/// What one run of the program left.
pub(crate) struct Output {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    /// The exit code; none if a signal ended the program.
    pub(crate) code: Option<i32>,
}

impl Home {
    /// A home with an empty project folder and nothing in the environment but what cargo and Python need to be found.
    pub(crate) fn new() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("agentcore")
            .tempdir()
            .unwrap();
        let root = fs::canonicalize(folder.path()).unwrap();
        for name in ["home", "project", "tmp"] {
            fs::create_dir(root.join(name)).unwrap();
        }
        let mut environment = toolchain();
        environment.push(("HOME".into(), root.join("home").into()));
        environment.push(("TMPDIR".into(), root.join("tmp").into()));
        environment.push(("DOCKER_HOST".into(), NO_ENGINE.into()));
        Self {
            folder,
            root,
            environment,
        }
    }

    /// Sets one variable for every run.
    #[must_use]
    pub(crate) fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.set(name, value);
        self
    }

    /// The same for a home that somebody holds.
    pub(crate) fn set(&mut self, name: &str, value: impl Into<OsString>) {
        self.environment.retain(|(known, _)| known != name);
        self.environment.push((name.into(), value.into()));
    }

    /// The project folder, in which every run starts.
    pub(crate) fn project(&self) -> PathBuf {
        self.root.join("project")
    }

    /// Writes a file of the project, and the folders above it.
    #[must_use]
    pub(crate) fn file(self, path: &str, content: &str) -> Self {
        self.write(path, content);
        self
    }

    /// The same, while the test runs.
    pub(crate) fn write(&self, path: &str, content: &str) {
        let path = self.project().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// A file of the project.
    pub(crate) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.project().join(path))
            .unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// Whether the project has a file or folder.
    pub(crate) fn has(&self, path: &str) -> bool {
        self.project().join(path).exists()
    }

    /// Runs the program in the project folder.
    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.run_in("", args)
    }

    /// Runs the program with the words of `line`, in which single quotes keep spaces together.
    pub(crate) fn sh(&self, line: &str) -> Output {
        let quoted = line.split('\'').enumerate();
        let mut words: Vec<&str> = Vec::new();
        for (index, part) in quoted {
            if index % 2 == 1 {
                words.push(part);
            } else {
                words.extend(part.split_whitespace());
            }
        }
        self.run(&words)
    }

    /// Runs every line with a wrong command line, and returns what is said of each.
    ///
    /// All of them must fail with class 2 and a hint, and say nothing on stdout.
    pub(crate) fn refusals(&self, lines: &str) -> String {
        let mut said = String::new();
        for line in lines.lines().filter(|it| !it.trim().is_empty()) {
            let line = line.trim();
            let output = self.sh(line);
            assert_eq!(
                (output.code, output.stdout.as_str()),
                (Some(2), ""),
                "{line}: {output}"
            );
            assert!(output.stderr.contains("hint: "), "{line}: {output}");
            said.extend(["$ ", line, "\n", &output.stderr]);
        }
        said
    }

    /// Runs the program in a folder of the project.
    pub(crate) fn run_in(&self, folder: &str, args: &[&str]) -> Output {
        let output = self
            .command(args)
            .current_dir(self.project().join(folder))
            .output()
            .unwrap();
        Output {
            stdout: self.normal(&output.stdout),
            stderr: self.normal(&output.stderr),
            code: output.status.code(),
        }
    }

    /// The program in the project folder with this home's environment, not yet started.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_agentcore"));
        command
            .args(args)
            .current_dir(self.project())
            .env_clear()
            .envs(self.environment.iter().cloned());
        command
    }

    /// Output as text, with the places of this home by name.
    pub(crate) fn normal(&self, output: &[u8]) -> String {
        let text = String::from_utf8_lossy(output).into_owned();
        let text = text.replace(self.project().to_str().unwrap(), "[PROJECT]");
        let text = text.replace(self.root.to_str().unwrap(), "[ROOT]");
        text.replace(self.folder.path().to_str().unwrap(), "[ROOT]")
    }
}

impl Output {
    /// The one JSON object on stdout.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error} in:\n{self}"))
    }
}

/// What a user sees: stdout, stderr and the exit code, each with its heading, empty ones left out.
impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, text) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            if !text.is_empty() {
                writeln!(f, "----- {name} -----\n{}", text.trim_end_matches('\n'))?;
            }
        }
        match self.code {
            Some(code) => write!(f, "----- exit {code} -----"),
            None => write!(f, "----- ended by a signal -----"),
        }
    }
}

/// A Python that can import `module`: its real path. It is the one that
/// `cargo xtask test` makes for comparisons, or else `python3`.
///
/// Without one, the test fails where `CI` is set; whoever runs it by hand is told, and goes on without.
pub(crate) fn python_with(module: &str) -> Option<PathBuf> {
    #[expect(
        clippy::disallowed_methods,
        reason = "the environment of the test itself says which Python has the peers"
    )]
    let made = std::env::var_os("AGENTCORE_TEST_PYTHON").map(PathBuf::from);
    let python = made.unwrap_or_else(|| PathBuf::from("python3"));
    let import = format!("import sys, {module}; print(sys.executable)");
    let found = Command::new(&python).args(["-c", &import]).output();
    if let Some(found) = found.ok().filter(|it| it.status.success()) {
        let executable = String::from_utf8(found.stdout).unwrap();
        return Some(PathBuf::from(executable.trim_end()));
    }
    let missing = format!("`{}` cannot import {module}", python.display());
    let hint = "run the tests by `cargo xtask test tests`, which installs it for them";
    assert!(!is_ci(), "{missing}: {hint}");
    #[expect(clippy::print_stderr, reason = "a skipped test says so")]
    {
        eprintln!("SKIPPED: {missing}; {hint}");
    }
    None
}

/// Whether a skipped test must fail.
#[expect(
    clippy::disallowed_methods,
    reason = "whether this is CI is told by the environment of the test itself"
)]
pub(crate) fn is_ci() -> bool {
    std::env::var_os("CI").is_some_and(|it| it == "true" || it == "1")
}

/// What finds cargo, rustc and python3 though HOME is another one.
#[expect(
    clippy::disallowed_methods,
    reason = "the tools are where the environment of the test says"
)]
fn toolchain() -> Vec<(OsString, OsString)> {
    let home = std::env::var_os("HOME")
        .map(PathBuf::from)
        .unwrap_or_default();
    let in_home = |name: &str, folder: &str| {
        let place = std::env::var_os(name).map_or_else(|| home.join(folder), PathBuf::from);
        (place.exists()).then(|| (OsString::from(name), place.into_os_string()))
    };
    let path = std::env::var_os("PATH").map(|it| (OsString::from("PATH"), it));
    [
        path,
        in_home("CARGO_HOME", ".cargo"),
        in_home("RUSTUP_HOME", ".rustup"),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The workspace's folder.
pub(crate) fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
