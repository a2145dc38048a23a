//! Running other programs, and the only module of the chores that prints.
//!
//! A command is shown as a person would type it, so that what failed can be run again by hand.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the one printer of the chores"
)]

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Why a chore did not succeed, as one sentence.
#[derive(Debug)]
pub(crate) struct Failed(pub(crate) String);

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self(error.to_string())
    }
}

/// The result of a chore or of a part of one.
pub(crate) type Result<T> = std::result::Result<T, Failed>;

/// A command in the making.
pub(crate) struct Cmd {
    command: Command,
    shown: String,
}

impl Cmd {
    /// `program` in the root folder of the repository, with no standard input.
    pub(crate) fn new(program: impl AsRef<OsStr>) -> Self {
        let program = program.as_ref();
        let mut command = Command::new(program);
        command.current_dir(root()).stdin(Stdio::null());
        Self {
            command,
            shown: quoted(program),
        }
    }

    /// Cargo, as the caller's toolchain settings choose it.
    pub(crate) fn cargo(line: &str) -> Self {
        Self::new("cargo").words(line)
    }

    /// Adds the words of `line`, which are separated by spaces.
    pub(crate) fn words(self, line: &str) -> Self {
        self.args(line.split_whitespace())
    }

    /// Adds arguments as they are.
    pub(crate) fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        for arg in args {
            self.shown.push(' ');
            self.shown.push_str(&quoted(arg.as_ref()));
            self.command.arg(arg);
        }
        self
    }

    /// Sets a variable for the command; shown in front of it.
    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.shown = format!("{name}={} {}", quoted(value.as_ref()), self.shown);
        self.command.env(name, value);
        self
    }

    /// Runs the command in `folder`.
    pub(crate) fn dir(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// Shows `text` instead of the command, where the command would say less.
    pub(crate) fn shown_as(mut self, text: &str) -> Self {
        text.clone_into(&mut self.shown);
        self
    }

    /// What a person would type.
    pub(crate) fn shown(&self) -> &str {
        &self.shown
    }

    /// Shows the command, runs it with our own output, and fails if it fails.
    pub(crate) fn run(mut self) -> Result<()> {
        say(&format!("$ {}", self.shown));
        let status = self
            .command
            .status()
            .map_err(|error| self.cannot_start(&error))?;
        if status.success() {
            Ok(())
        } else {
            Err(Failed(format!("`{}` failed ({status})", self.shown)))
        }
    }

    /// Runs the command and returns what it wrote; an exit status other than 0 is not an error here.
    pub(crate) fn output(mut self) -> Result<Output> {
        self.command
            .output()
            .map_err(|error| self.cannot_start(&error))
    }

    /// Lets the command write its errors to ours as they come, instead of keeping them for [`Self::output`].
    pub(crate) fn telling(mut self) -> Self {
        self.command.stderr(Stdio::inherit());
        self
    }

    /// Runs the command in silence; what it wrote is told only if it fails.
    pub(crate) fn quietly(self) -> Result<()> {
        let shown = self.shown.clone();
        let output = self.output()?;
        if output.status.success() {
            return Ok(());
        }
        Err(Failed(format!(
            "`{shown}` failed ({}): {}",
            output.status,
            text(&output.stderr).trim()
        )))
    }

    /// Whether the command exists and succeeds.
    pub(crate) fn works(self) -> bool {
        self.output().is_ok_and(|output| output.status.success())
    }

    /// The plain command, for callers that keep the process.
    pub(crate) fn into_command(self) -> Command {
        self.command
    }

    fn cannot_start(&self, error: &io::Error) -> Failed {
        Failed(format!("cannot start `{}`: {error}", self.shown))
    }
}

/// The root folder of the repository.
pub(crate) fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest
        .parent()
        .expect("the package of the chores lies in a folder of the repository")
        .to_owned()
}

/// Where cargo puts what it builds: asked of cargo, because a person may have moved it.
pub(crate) fn target_dir() -> Result<PathBuf> {
    let output = Cmd::cargo("metadata --locked --no-deps --format-version 1").output()?;
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).map_err(|_| {
        Failed(format!(
            "`cargo metadata` failed: {}",
            text(&output.stderr).trim()
        ))
    })?;
    metadata["target_directory"]
        .as_str()
        .map(PathBuf::from)
        .ok_or_else(|| Failed("`cargo metadata` names no target folder".to_owned()))
}

/// Where the Rust agents of demo and measurements are built: kept between runs, because their dependencies take longest.
pub(crate) fn agent_builds() -> Result<PathBuf> {
    Ok(target_dir()?.join("agents"))
}

/// Copies the Rust agent in `from` to `to` as a package of its own, outside the workspace, as a user would have it.
///
/// `more` is added to the end of its manifest. It takes the workspace's lock file, so that nothing new is fetched.
pub(crate) fn copy_rust_agent(from: &Path, to: &Path, more: &str) -> Result<()> {
    let name = from.file_name().and_then(OsStr::to_str).unwrap_or("agent");
    std::fs::create_dir_all(to.join("src"))?;
    std::fs::copy(from.join("src/main.rs"), to.join("src/main.rs"))?;
    std::fs::copy(root().join("Cargo.lock"), to.join("Cargo.lock"))?;
    let runtime = root().join("crates/runtime").display().to_string();
    let manifest = format!(
        "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[workspace]\n\n[dependencies]\n\
         agentcore-runtime = {{ path = {runtime:?} }}\nserde_json = \"1\"\n\
         tokio = {{ version = \"1\", features = [\"macros\", \"rt-multi-thread\"] }}\n{more}"
    );
    std::fs::write(to.join("Cargo.toml"), manifest)?;
    Ok(())
}

/// What a program wrote, as text.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Prints a line.
pub(crate) fn say(line: &str) {
    println!("{line}");
}

/// Prints a heading that is easy to find in a long log.
pub(crate) fn heading(title: &str) {
    println!("\n━━ {title} ━━");
}

/// Prints what is missing, and does not keep the chore from succeeding.
pub(crate) fn warn(what: &str) {
    eprintln!("warning: {what}");
}

/// Prints why the chore failed.
pub(crate) fn complain(reason: &str) {
    eprintln!("error: {reason}");
}

/// A word as a shell would take it.
fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let plain = |it: char| it.is_ascii_alphanumeric() || "-_./:=+,@%".contains(it);
    if !word.is_empty() && word.chars().all(plain) {
        word.into_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}
