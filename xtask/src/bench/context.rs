//! A build context of 20,000 small files, with as many again in a virtual environment and in `node_modules` to be left out,
//! beside `tar` of the kept files alone.
//!
//! Both write into a pipe that is read to its end: `tar` does not read what it archives to `/dev/null`.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Instant;

use super::Bench;
use super::report::{Report, Row};
use crate::sh::{Cmd, Failed, Result, root, say, target_dir, text};

/// How many files there are of each sort.
const FILES: usize = 20_000;

/// How many of them are in one folder.
const IN_A_FOLDER: usize = 100;

/// The folders: of the agent, and of what is installed beside it.
const KEPT: &str = "src";
const LEFT_OUT: [&str; 2] = [".venv/lib", "node_modules"];

/// Measures listing and archiving together.
pub(crate) fn measure(bench: &Bench, report: &mut Report) -> Result<()> {
    let program = if let Ok(program) = bench.program("context_tar") {
        program
    } else {
        Cmd::cargo("build --release --locked -p agentcore-docker --example context_tar").run()?;
        target_dir()?.join("release/examples/context_tar")
    };
    let project = tempfile::tempdir()?;
    say(&format!("writing {} files", FILES * (1 + LEFT_OUT.len())));
    for folder in LEFT_OUT.into_iter().chain([KEPT]) {
        make(&project.path().join(folder))?;
    }
    let rules = root().join("templates/dockerignore");
    let ours = || Cmd::new(&program).args([project.path(), &rules]);
    let tar = || {
        Cmd::new("tar")
            .words("-cf - -C")
            .args([project.path()])
            .words(KEPT)
    };
    let case = format!(
        "build context, {FILES} files kept, {} left out",
        FILES * LEFT_OUT.len()
    );
    let mut row = Row::new(case, "tar of the kept files", "ms");
    for round in 0..bench.rounds {
        bench.round(round);
        let (our_time, our_bytes) = time(ours())?;
        let (tar_time, tar_bytes) = time(tar())?;
        // Both have the same files, so they differ by no more than what tar fills up its last block with.
        if our_bytes.abs_diff(tar_bytes) > 64 * 1024 {
            return Err(Failed(format!(
                "the context has {our_bytes} bytes, and what tar makes {tar_bytes}"
            )));
        }
        row.push(our_time, tar_time);
    }
    report.add(row);
    Ok(())
}

/// Writes files of up to 4,000 bytes, as many as there are in a large project.
fn make(folder: &Path) -> Result<()> {
    let content = [b'x'; 4000];
    for number in 0..FILES {
        let package = folder.join(format!("package_{:03}", number / IN_A_FOLDER));
        if number % IN_A_FOLDER == 0 {
            fs::create_dir_all(&package)?;
        }
        // Sizes go up and down, without a random number.
        let len = number * 7919 % content.len();
        fs::write(
            package.join(format!("module_{number:05}.py")),
            &content[..len],
        )?;
    }
    Ok(())
}

/// How long the command takes until its last byte is read, in milliseconds, and how many bytes these are.
fn time(command: Cmd) -> Result<(f64, u64)> {
    let shown = command.shown().to_owned();
    let mut command = command.into_command();
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let started = Instant::now();
    let mut child = command.spawn()?;
    let mut stdout = child.stdout.take().expect("stdout is piped");
    let bytes = io::copy(&mut stdout, &mut io::sink())?;
    let output = child.wait_with_output()?;
    let took = started.elapsed().as_secs_f64() * 1e3;
    if output.status.success() {
        return Ok((took, bytes));
    }
    let reason = text(&output.stderr);
    Err(Failed(format!("`{shown}` failed: {}", reason.trim())))
}
