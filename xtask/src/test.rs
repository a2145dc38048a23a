//! `cargo xtask test`: everything that must hold before a change lands, the cheap steps first.
//!
//! Every step runs even if one before it failed, so that one run shows everything. A step whose tool is missing says
//! so; in CI that is a failure, because a check that silently does not run protects nothing.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};

use crate::python;
use crate::python_tests;
use crate::sh::{Cmd, Failed, Result, heading, root, say, target_dir, text};
use crate::soak;

/// How long each fuzz target runs: enough to catch what a change breaks, not to search.
const FUZZ_SECONDS: u32 = 20;

/// Compiles every Python file of the repository with the grammar of the oldest Python that we promise.
const CHECK_SYNTAX: &str = include_str!("check_syntax.py");

/// The arguments of `cargo xtask test`.
#[derive(Debug, Args)]
pub(crate) struct TestArgs {
    /// Run only these steps, in the usual order
    #[arg(value_enum, value_name = "STEP")]
    steps: Vec<Step>,
    /// Fail where a step cannot run on this machine, as CI does
    #[arg(long)]
    ci: bool,
}

/// One step; the order here is the order in which they run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Step {
    /// The format of the Rust code
    Fmt,
    /// The lints, on everything, warnings being errors
    Clippy,
    /// The programs that the tests run
    Build,
    /// The static programs that go into the images of the tests
    Hosts,
    /// Unit and integration tests
    Tests,
    /// The examples in the documentation
    Doctests,
    /// The documentation itself
    Docs,
    /// Forbidden crates, licences, sources
    Deny,
    /// The Python package: syntax of the oldest Python, unit tests
    Python,
    /// A short run of every fuzz target
    Fuzz,
    /// A short soak: many invocations, of which nothing may be left
    Soak,
}

/// What became of a step.
enum Outcome {
    Passed,
    Failed(String),
    /// A tool is missing; the text says which and how to get it.
    CannotRun(String),
}

impl From<Result<()>> for Outcome {
    fn from(result: Result<()>) -> Self {
        match result {
            Ok(()) => Self::Passed,
            Err(Failed(reason)) => Self::Failed(reason),
        }
    }
}

/// Runs the steps and fails if one of them did.
pub(crate) fn run(args: &TestArgs, continuous_integration: bool) -> Result<()> {
    let ci = args.ci || continuous_integration;
    let wanted = |step: &&Step| args.steps.is_empty() || args.steps.contains(step);
    let mut results = Vec::new();
    for &step in Step::value_variants().iter().filter(wanted) {
        heading(step.name());
        let started = Instant::now();
        let outcome = step.run(ci);
        if let Outcome::Failed(reason) | Outcome::CannotRun(reason) = &outcome {
            say(reason);
        }
        results.push((step, outcome, started.elapsed()));
    }
    summarise(&results, ci)
}

/// Prints the table of steps and the closing line that counts them.
fn summarise(results: &[(Step, Outcome, Duration)], ci: bool) -> Result<()> {
    heading("summary");
    let [mut passed, mut failed, mut skipped] = [0; 3];
    for (step, outcome, took) in results {
        let word = match outcome {
            Outcome::Passed => {
                passed += 1;
                "ok".to_owned()
            }
            Outcome::CannotRun(reason) if !ci => {
                skipped += 1;
                format!("NOT RUN: {reason}")
            }
            Outcome::Failed(reason) | Outcome::CannotRun(reason) => {
                failed += 1;
                format!("FAILED: {reason}")
            }
        };
        say(&format!(
            "{:<9} {:>6.1} s  {word}",
            step.name(),
            took.as_secs_f64()
        ));
    }
    say(&format!(
        "steps: {passed} passed, {failed} failed, {skipped} skipped"
    ));
    if failed == 0 {
        Ok(())
    } else {
        Err(Failed(format!(
            "{failed} of {} steps failed",
            results.len()
        )))
    }
}

impl Step {
    fn name(self) -> &'static str {
        match self {
            Self::Fmt => "fmt",
            Self::Clippy => "clippy",
            Self::Build => "build",
            Self::Hosts => "hosts",
            Self::Tests => "tests",
            Self::Doctests => "doctests",
            Self::Docs => "docs",
            Self::Deny => "deny",
            Self::Python => "python",
            Self::Fuzz => "fuzz",
            Self::Soak => "soak",
        }
    }

    fn run(self, ci: bool) -> Outcome {
        match self {
            Self::Fmt => Cmd::cargo("fmt --all --check").run().into(),
            Self::Clippy => Cmd::cargo("clippy --workspace --all-targets --locked -- -D warnings")
                .run()
                .into(),
            Self::Build => Cmd::cargo("build --workspace --locked").run().into(),
            Self::Hosts => hosts().into(),
            Self::Tests => tests(ci).into(),
            // A step of its own: nextest runs no doctests, and neither does `--all-targets`.
            Self::Doctests => Cmd::cargo("test --doc --workspace --locked").run().into(),
            Self::Docs => Cmd::cargo("doc --workspace --no-deps --locked")
                .env("RUSTDOCFLAGS", "-D warnings")
                .run()
                .into(),
            Self::Deny => deny(),
            Self::Python => python_package().into(),
            Self::Fuzz => fuzz(),
            Self::Soak => soak::short().into(),
        }
    }
}

/// The host binaries, and that a release which carries them compiles. Without one of them there is nothing to carry.
fn hosts() -> Result<()> {
    Cmd::cargo("xtask hosts").run()?;
    let folder = target_dir()?.join("release");
    let missing = |arch: &str| !folder.join(format!("agentcore-host-{arch}")).is_file();
    if let Some(arch) = ["x86_64", "aarch64"].into_iter().find(|it| missing(it)) {
        say(&format!(
            "The feature `embed-hosts` is not checked: there is no agentcore-host for {arch}"
        ));
        return Ok(());
    }
    Cmd::cargo("check --package agentcore-cli --features embed-hosts --locked")
        .env("AGENTCORE_EMBED_HOSTS", folder)
        .run()
}

/// The Rust tests. Those that need a Python with other packages, an image or a host binary are told where these are: what
/// is made once must not be made by many tests at the same time.
fn tests(ci: bool) -> Result<()> {
    let mut command = if Cmd::cargo("nextest --version").works() {
        Cmd::cargo("nextest run --workspace --locked")
    } else {
        say("`cargo-nextest` is not installed: `cargo test` runs the tests instead");
        Cmd::cargo("test --workspace --lib --bins --tests --locked --no-fail-fast")
    };
    let needed = [
        (
            "AGENTCORE_TEST_PYTHON",
            "the official Python SDK or PyYAML",
            python::with_peers(),
        ),
        (
            "AGENTCORE_TEST_FRAMEWORKS",
            "the frameworks of the examples",
            python::with_frameworks(),
        ),
        (
            "AGENTCORE_TEST_BASE_IMAGE",
            "a Docker engine",
            base_image().map(PathBuf::from),
        ),
    ];
    for (variable, what, found) in needed {
        match found {
            Ok(value) => command = command.env(variable, value),
            Err(Failed(reason)) if !ci => say(&format!(
                "Tests that need {what} will not run: {}",
                reason.trim_end()
            )),
            Err(failed) => return Err(failed),
        }
    }
    let hosts = target_dir()?.join("release");
    command.env("AGENTCORE_TEST_HOST_DIR", hosts).run()
}

/// Makes the Python image that the tests with containers build on, if the engine has none, and returns its name.
fn base_image() -> Result<String> {
    let script = "tests/docker/base_image.py";
    let output = Cmd::new("python3").args([script]).output()?;
    let told = text(&output.stderr);
    if !output.status.success() {
        return Err(Failed(format!("`{script}` failed: {}", told.trim_end())));
    }
    if !told.is_empty() {
        say(told.trim_end());
    }
    Ok(text(&output.stdout).trim_end().to_owned())
}

fn deny() -> Outcome {
    if !Cmd::cargo("deny --version").works() {
        return Outcome::CannotRun(missing("cargo-deny"));
    }
    Cmd::cargo("deny --workspace --locked check bans licenses sources")
        .run()
        .into()
}

/// The Python package, on the interpreter that `python3` names: it needs nothing but the standard library.
fn python_package() -> Result<()> {
    let folders = [
        "crates/host/python",
        "examples",
        "benches",
        "tests",
        "xtask",
    ];
    Cmd::new("python3")
        .args(["-c", CHECK_SYNTAX])
        .args(folders)
        .shown_as("python3 (syntax of Python 3.9)")
        .run()?;
    python_tests::run()
}

/// Runs every fuzz target for a short time.
fn fuzz() -> Outcome {
    let fuzz = root().join("fuzz");
    if !Cmd::cargo("fuzz --version").works() {
        return Outcome::CannotRun(missing("cargo-fuzz"));
    }
    // Fuzzing needs unstable compiler flags: nightly has them, and a stable compiler that is told to act as one.
    let nightly = Cmd::cargo("+nightly --version").works();
    let cargo = |line: &str| {
        if nightly {
            Cmd::cargo(&format!("+nightly fuzz {line}"))
        } else {
            Cmd::cargo(&format!("fuzz {line}")).env("RUSTC_BOOTSTRAP", "1")
        }
    };
    let run_one = |target: &String| {
        // What the fuzzer finds goes to the first folder; the seeds are only read.
        let corpus = fuzz.join("corpus").join(target);
        std::fs::create_dir_all(&corpus)?;
        let seeds = Some(fuzz.join("seeds").join(target)).filter(|it| it.is_dir());
        let limits =
            format!("-max_total_time={FUZZ_SECONDS} -timeout=10 -verbosity=0 -print_final_stats=1");
        let command = cargo(&format!("run {target}")).args([corpus]).args(seeds);
        command.args(["--"]).words(&limits).run()
    };
    fuzz_targets(&fuzz)
        .and_then(|targets| targets.iter().try_for_each(run_one))
        .into()
}

/// The names of the fuzz targets, from their files; none is an error.
fn fuzz_targets(fuzz: &Path) -> Result<Vec<String>> {
    let folder = fuzz.join("fuzz_targets");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&folder)
        .map_err(|error| Failed(format!("{}: {error}", folder.display())))?
    {
        let path = entry?.path();
        if path.extension().is_some_and(|it| it == "rs") {
            names.extend(path.file_stem().map(|it| it.to_string_lossy().into_owned()));
        }
    }
    names.sort();
    if names.is_empty() {
        Err(Failed(format!("{} holds no fuzz target", folder.display())))
    } else {
        Ok(names)
    }
}

fn missing(tool: &str) -> String {
    format!("`{tool}` is not installed; run `cargo install {tool} --locked`")
}
