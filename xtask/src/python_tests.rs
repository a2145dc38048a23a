//! The tests of the Python package: its types, and its unit tests on every Python that the machine has.
//!
//! Each file of tests is a run of its own, several at a time: most of what they do is wait for a worker process.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;

use crate::python;
use crate::sh::{Cmd, Failed, Result, root, say, target_dir, text};

/// The versions that we promise, the oldest and the newest with every test; those that are not there are not tested.
const VERSIONS: [(&str, &[&str]); 5] = [
    ("3.9", ALL),
    ("3.13", ALL),
    ("3.10", CHANGED_BETWEEN),
    ("3.11", CHANGED_BETWEEN),
    ("3.12", CHANGED_BETWEEN),
];

/// Every file of tests.
const ALL: &[&str] = &[];

/// What the versions between differ in: asyncio, threads, and how a file is loaded.
const CHANGED_BETWEEN: &[&str] = &[
    "test_app",
    "test_asgi",
    "test_calls",
    "test_loading",
    "test_values",
];

/// What is tested beside the official SDK and Starlette too; a worker of ours refuses to start beside another package of
/// its name.
const BESIDE_OTHERS: [&str; 3] = ["test_asgi", "test_peers", "test_routes"];

/// What can only be tested there.
const NOWHERE_ELSE: [&str; 2] = ["test_peers", "test_routes"];

/// So many files of tests run at a time.
const AT_ONCE: usize = 4;

/// A file of tests on one Python.
struct Job {
    python: PathBuf,
    module: String,
}

/// Checks the types of the package and runs its tests.
pub(crate) fn run() -> Result<()> {
    let peers = python::with_peers()?;
    check_types(&peers)?;
    let modules = modules()?;
    let job = |python: &Path, module: &str| Job {
        python: python.to_owned(),
        module: module.to_owned(),
    };
    let mut jobs: VecDeque<Job> = BESIDE_OTHERS.iter().map(|it| job(&peers, it)).collect();
    let mut found = Vec::new();
    for (version, wanted) in VERSIONS {
        let Some(python) = find(version) else {
            continue;
        };
        found.push(version);
        let is_wanted = |it: &&String| match wanted {
            [] => !NOWHERE_ELSE.contains(&it.as_str()),
            some => some.contains(&it.as_str()),
        };
        jobs.extend(modules.iter().filter(is_wanted).map(|it| job(&python, it)));
    }
    if found.is_empty() {
        return Err(Failed("no Python that we promise is here".to_owned()));
    }
    say(&format!(
        "Python {}: {} files",
        found.join(", "),
        jobs.len()
    ));
    let failed = run_all(jobs)?;
    match failed {
        0 => Ok(()),
        some => Err(Failed(format!("{some} runs of Python tests failed"))),
    }
}

fn check_types(python: &Path) -> Result<()> {
    let cache = target_dir()?.join("mypy");
    Cmd::new(python)
        // Without what else is installed there: the package is for Pythons that have nothing else.
        .words("-m mypy --strict --no-site-packages -p bedrock_agentcore -p _agentcore_worker --cache-dir")
        .args([cache])
        .dir(&root().join("crates/host/python/lib"))
        .run()
}

/// Finds an interpreter by its version: on PATH, or among those that pyenv keeps.
fn find(version: &str) -> Option<PathBuf> {
    let named = format!("python{version}");
    if Cmd::new(&named).args(["--version"]).works() {
        return Some(named.into());
    }
    let kept = Cmd::new("pyenv").args(["prefix", version]).output().ok()?;
    let python = Path::new(text(&kept.stdout).trim()).join("bin/python3");
    (kept.status.success() && python.exists()).then_some(python)
}

fn modules() -> Result<Vec<String>> {
    let mut modules = Vec::new();
    for entry in fs::read_dir(root().join("crates/host/python/tests"))? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if let Some(module) = name.strip_suffix(".py")
            && module.starts_with("test_")
        {
            modules.push(module.to_owned());
        }
    }
    modules.sort_unstable();
    Ok(modules)
}

/// Runs everything, shows what failed, and returns how much that was.
fn run_all(jobs: VecDeque<Job>) -> Result<usize> {
    let pycache = target_dir()?.join("pycache");
    let (jobs, failed) = (Mutex::new(jobs), Mutex::new(0));
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let job = jobs
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .pop_front();
                    let Some(job) = job else { return };
                    if let Err(Failed(told)) = job.run(&pycache) {
                        say(&told);
                        *failed.lock().unwrap_or_else(PoisonError::into_inner) += 1;
                    }
                }
            });
        }
    });
    Ok(failed.into_inner().unwrap_or_else(PoisonError::into_inner))
}

impl Job {
    fn run(&self, pycache: &Path) -> Result<()> {
        let command = Cmd::new(&self.python)
            .words("-W error::SyntaxWarning -m unittest")
            .args([&self.module])
            .dir(&root().join("crates/host/python/tests"))
            .env("PYTHONPYCACHEPREFIX", pycache);
        let shown = command.shown().to_owned();
        let output = command.output()?;
        let told = text(&output.stderr).trim_end().to_owned();
        if !output.status.success() {
            return Err(Failed(format!("$ {shown}\n{told}\nfailed: {shown}")));
        }
        let count = told.lines().rev().find(|line| line.starts_with("Ran "));
        let last = told.lines().last().unwrap_or_default();
        match count {
            Some(count) if !count.starts_with("Ran 0 ") => {
                say(&format!("{shown}: {count}, {last}"));
                Ok(())
            }
            _ => Err(Failed(format!("{shown} found no test"))),
        }
    }
}
