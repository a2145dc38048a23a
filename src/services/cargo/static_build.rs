//! Building a Rust agent as a static program, for this machine's processor or another.
//!
//! No C toolchain is needed for that. A dependency with C code does need a compiler for the target; one that is present is
//! used, and otherwise the error names the dependency and says what to install.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};

use super::c_compiler::{self, CCompiler};
use super::said::Said;
use super::{find_executable, linker, target};
use crate::config::cross::{self, Variables};
use crate::error::CliError;
use crate::services::elf::{Elf, Machine};

/// What is built.
#[derive(Debug)]
pub(crate) struct StaticBuild<'a> {
    /// The package's `Cargo.toml`, absolute.
    pub(crate) manifest: &'a Path,
    /// The binary.
    pub(crate) bin: &'a str,
    /// For which architecture, as Rust calls it.
    pub(crate) architecture: &'a str,
    /// What the environment says about tools.
    pub(crate) variables: &'a Variables,
}

/// What a build tells while it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Told {
    /// A command begins.
    Step(String),
    /// It said a line.
    Line(String),
}

/// Where that goes.
pub(crate) type OnTold<'a> = &'a mut (dyn FnMut(Told) + Send);

/// Why there is no program.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StaticBuildError {
    /// A tool cannot be started.
    #[error("cannot run `{program}`")]
    NotStarted {
        /// The tool.
        program: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// The compiler does not answer as it should.
    #[error("`rustc` does not work in the agent's package: {0}")]
    Rustc(String),
    /// The standard library for the target is missing.
    #[error("Rust cannot compile for `{target}`: {reason}")]
    NoTarget {
        /// The target.
        target: String,
        /// Why it is not there.
        reason: String,
    },
    /// A dependency wants a C compiler that is not there.
    #[error("`{package}` needs a C compiler for `{target}`, and there is none")]
    NeedsC {
        /// The package, with its version.
        package: String,
        /// The target.
        target: String,
        /// What to install.
        hint: String,
        /// The end of what cargo said.
        said: String,
    },
    /// The build failed; cargo has said why.
    #[error("`cargo build` failed for `{}` ({status})", .manifest.display())]
    Failed {
        /// The package.
        manifest: PathBuf,
        /// How cargo ended.
        status: ExitStatus,
        /// The end of what it said.
        said: String,
    },
    /// Cargo said something that cannot be read, or made nothing.
    #[error("`cargo build` made no executable `{bin}`")]
    NoExecutable {
        /// The binary that was asked for.
        bin: String,
    },
    /// What came out of it cannot run in an image that holds nothing else.
    #[error("`{}` cannot run in the image: {reason}", .path.display())]
    Unfit {
        /// The executable.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

impl StaticBuild<'_> {
    /// Builds the binary for release and returns it, checked. Dropping the future ends the build.
    ///
    /// # Errors
    ///
    /// See [`StaticBuildError`].
    pub(crate) async fn run(&self, on_told: OnTold<'_>) -> Result<Vec<u8>, StaticBuildError> {
        let folder = self.manifest.parent().unwrap_or(Path::new("/"));
        let triple = target::triple(self.architecture);
        let sysroot = target::ensure(folder, &triple, on_told).await?;
        let compiler = c_compiler::find(self.architecture, &self.variables.search_path());
        let has_compiler = self.variables.has_c_compiler(&triple);

        let mut command = self.command("build", folder, &triple);
        if !self.has_linker(folder, &triple) && linker::comes_with(&sysroot) {
            command.env(cross::linker(&triple), linker::RUST_LLD);
        }
        if let Some(CCompiler::Gcc { name, for_glibc }) =
            compiler.as_ref().filter(|_| !has_compiler)
        {
            command.env(cross::c_compiler(&triple), name);
            if *for_glibc {
                // Checks that only glibc has.
                command.env(cross::c_flags(&triple), "-U_FORTIFY_SOURCE");
            }
        }
        let first = self.cargo(command, "build", on_told).await?;
        let ended = match (&first, &compiler) {
            (Ended::Failed { said, .. }, Some(CCompiler::Zig))
                if !has_compiler && said.wanted_c().is_some() =>
            {
                self.cargo(
                    self.command("zigbuild", folder, &triple),
                    "zigbuild",
                    on_told,
                )
                .await?
            }
            _ => first,
        };
        let (said, status) = match ended {
            Ended::Built(path) => return self.checked(&path),
            Ended::Failed { said, status } => (said, status),
        };
        let alone = !has_compiler && compiler.is_none();
        Err(match said.wanted_c().filter(|_| alone) {
            Some(package) => StaticBuildError::NeedsC {
                package: package.to_owned(),
                hint: c_compiler::hint(self.architecture),
                target: triple,
                said: said.end(),
            },
            None => StaticBuildError::Failed {
                manifest: self.manifest.to_owned(),
                status,
                said: said.end(),
            },
        })
    }

    fn has_linker(&self, folder: &Path, triple: &str) -> bool {
        let cargo_home = self.variables.cargo_home();
        self.variables.has_linker(triple)
            || linker::is_configured(folder, cargo_home.as_deref(), triple)
    }

    fn command(&self, verb: &str, folder: &Path, triple: &str) -> Command {
        let mut command = Command::new("cargo");
        command
            .args([verb, "--release", "--target", triple])
            .arg("--message-format=json-render-diagnostics")
            .arg("--manifest-path")
            .arg(self.manifest)
            .args(["--bin", self.bin])
            // Cargo reads `.cargo/config.toml` and the toolchain file from the folder that it runs in.
            .current_dir(folder)
            // Its compilers end with it (`Group`), and a Ctrl-C in the terminal is this program's to hear.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs cargo to its end and returns the executable that it names.
    async fn cargo(
        &self,
        mut command: Command,
        verb: &str,
        on_told: OnTold<'_>,
    ) -> Result<Ended, StaticBuildError> {
        let triple = target::triple(self.architecture);
        on_told(Told::Step(format!(
            "cargo {verb} --release --target {triple} --bin {}",
            self.bin
        )));
        let not_started = |source| StaticBuildError::NotStarted {
            program: "cargo",
            source,
        };
        let mut group = Group(command.spawn().map_err(not_started)?);
        let stdout = group.0.stdout.take().expect("stdout is piped");
        let stderr = group.0.stderr.take().expect("stderr is piped");
        let (messages, said) = tokio::join!(read_all(stdout), Said::listen(stderr, on_told));
        let status = group.0.wait().await.map_err(not_started)?;
        if !status.success() {
            return Ok(Ended::Failed { said, status });
        }
        find_executable(messages.as_slice(), self.bin)
            .ok()
            .flatten()
            .map(Ended::Built)
            .ok_or_else(|| StaticBuildError::NoExecutable {
                bin: self.bin.to_owned(),
            })
    }

    fn checked(&self, path: &Path) -> Result<Vec<u8>, StaticBuildError> {
        let unfit = |reason: String| StaticBuildError::Unfit {
            path: path.to_owned(),
            reason,
        };
        let bytes = std::fs::read(path).map_err(|error| unfit(error.to_string()))?;
        let elf =
            Elf::read(&bytes).map_err(|_| unfit("it is not a 64-bit Linux program".to_owned()))?;
        if Some(elf.machine) != Machine::named(self.architecture) {
            let reason = format!(
                "it is for {}, not for {}",
                elf.machine.name(),
                self.architecture
            );
            return Err(unfit(reason));
        }
        if !elf.is_static {
            return Err(unfit("it is not static".to_owned()));
        }
        Ok(bytes)
    }
}

/// How a run of cargo ended.
enum Ended {
    /// With this executable.
    Built(PathBuf),
    /// Without one.
    Failed { said: Said, status: ExitStatus },
}

/// Cargo and the compilers that it started: ended together where nobody waits for them any more.
struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        let id = self.0.id().and_then(|it| i32::try_from(it).ok());
        if let Some(group) = id.and_then(rustix::process::Pid::from_raw) {
            // It may have ended by itself just now.
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::TERM);
        }
    }
}

async fn read_all(mut stream: impl AsyncRead + Unpin) -> Vec<u8> {
    let mut bytes = Vec::new();
    // What is missing at the end of a broken pipe is seen as a missing executable.
    let _ = stream.read_to_end(&mut bytes).await;
    bytes
}

impl From<StaticBuildError> for CliError {
    fn from(error: StaticBuildError) -> Self {
        let message = error.to_string();
        match error {
            StaticBuildError::NotStarted { source, program } => {
                Self::other(message).caused_by(source).hint(format!(
                    "install Rust (https://rustup.rs), or put `{program}` on the PATH"
                ))
            }
            StaticBuildError::Rustc(_) => {
                Self::other(message).hint("check the toolchain that the package asks for")
            }
            StaticBuildError::NoTarget { target, .. } => {
                Self::other(message).hint(format!("run `rustup target add {target}`"))
            }
            StaticBuildError::NeedsC { hint, said, .. } => {
                Self::other(message).details(said).hint(hint)
            }
            StaticBuildError::Failed { said, .. } => Self::other(message)
                .details(said)
                .hint("repair what the compiler reports and run the command again"),
            StaticBuildError::NoExecutable { bin } => Self::other(message).hint(format!(
                "check the `[[bin]]` sections of the package for `{bin}`"
            )),
            StaticBuildError::Unfit { .. } => Self::other(message).hint(
                "check the linker and the `rustflags` that the package's cargo configuration sets",
            ),
        }
    }
}
