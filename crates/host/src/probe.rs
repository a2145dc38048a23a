//! One question to a Python interpreter, answered by a child process: who are you, and do you have the official SDK?

use std::ffi::OsStr;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use serde::Deserialize;

/// How long an interpreter may take to say who it is. A cold one on a slow disk takes seconds.
const LIMIT: Duration = Duration::from_secs(30);
/// How often the end of a process is looked for that has closed its output.
const POLL: Duration = Duration::from_millis(2);

/// Runs on any Python, so that one that is too old can still say so. The first entry of `sys.path`, which `-c` sets to
/// the working folder, goes first: a module there must not answer for an installed one.
///
/// Everything that starts an agent waits for it, so it imports next to nothing: `importlib.metadata` alone takes longer
/// than the rest, and is asked only where the folder is not found that an installer makes.
const QUESTION: &str = r#"
import sys
sys.path[:] = [entry for entry in sys.path if entry]
try:
    from _json import encode_basestring_ascii as quoted
except ImportError:
    from json import dumps as quoted
NAME = "bedrock_agentcore"
def installed():
    finders = [finder for finder in sys.meta_path if hasattr(finder, "find_spec")]
    if not any(finder.find_spec(NAME, None) is not None for finder in finders):
        return None
    return by_folder() or by_metadata()
def by_folder():
    from os import listdir
    for entry in sys.path:
        try:
            names = listdir(entry)
        except OSError:
            continue
        found = [name for name in names if is_folder(name.lower())]
        if len(found) != 1:
            if found:
                return None
            continue
        with open(entry + "/" + found[0] + "/METADATA", encoding="utf-8") as lines:
            for line in lines:
                key, colon, value = line.partition(":")
                if key.lower() == "version":
                    return value.strip()
                if not colon:
                    return None
def is_folder(name):
    name, dot, kind = name.rpartition(".")
    name = name.partition("-")[0].replace(".", "_")
    return kind in ("dist-info", "egg-info") and name == NAME
def by_metadata():
    from importlib.metadata import version
    return version("bedrock-agentcore")
base = sdk = None
try:
    import site
    base = site.getuserbase() if site.ENABLE_USER_SITE else None
except Exception:
    pass
try:
    try:
        sdk = installed()
    except Exception:
        sdk = by_metadata()
except Exception:
    pass
def text(value):
    return quoted(value) if value else "null"
said = (text(sys.executable),) + tuple(sys.version_info[:3]) + (text(sdk), text(base))
sys.stdout.write('\n{"executable": %s, "version": [%d, %d, %d], "sdk": %s, "base": %s}\n' % said)
"#;

/// What an interpreter says about itself.
#[derive(Debug, Deserialize)]
pub(crate) struct Answer {
    pub(crate) executable: Option<PathBuf>,
    pub(crate) version: (u8, u8, u8),
    #[serde(rename = "sdk")]
    pub(crate) official_sdk: Option<String>,
    #[serde(rename = "base")]
    pub(crate) user_base: Option<PathBuf>,
}

/// Why there is no answer, as a clause.
#[derive(Debug)]
pub(crate) struct ProbeError(pub(crate) String);

/// Asks the interpreter at `path`, run in `folder`: launcher shims choose by the working folder.
pub(crate) fn ask(
    path: &Path,
    folder: Option<&Path>,
    search_path: &OsStr,
) -> Result<Answer, ProbeError> {
    ask_within(LIMIT, path, folder, search_path)
}

fn ask_within(
    limit: Duration,
    path: &Path,
    folder: Option<&Path>,
    search_path: &OsStr,
) -> Result<Answer, ProbeError> {
    let mut command = Command::new(path);
    command.arg("-c").arg(QUESTION).env("PATH", search_path);
    if let Some(folder) = folder.filter(|folder| folder.is_dir()) {
        command.current_dir(folder);
    }
    let output = output_within(limit, &mut command)
        .map_err(|error| ProbeError(error.to_string()))?
        .ok_or_else(|| {
            ProbeError(format!(
                "it did not answer within {} s",
                limit.as_secs_f32()
            ))
        })?;
    // The last line: a site customisation may print before it.
    let answer = output
        .stdout
        .rsplit(|byte| *byte == b'\n')
        .find(|line| !line.is_empty());
    let answer = answer.and_then(|line| serde_json::from_slice(line).ok());
    answer.filter(|_| output.status.success()).ok_or_else(|| {
        let talk = String::from_utf8_lossy(&output.stderr);
        let talk = talk
            .lines()
            .rev()
            .map(str::trim)
            .find(|line| !line.is_empty());
        ProbeError(talk.map_or_else(|| format!("it ended with {}", output.status), str::to_owned))
    })
}

/// Runs a command that reads nothing, and returns what it said; `None` if it takes too long, and is ended then.
fn output_within(limit: Duration, command: &mut Command) -> io::Result<Option<Output>> {
    let deadline = Instant::now() + limit;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    // In threads, which are left behind where a process that the command has started keeps the pipes open.
    let (stdout, stderr) = (follow(child.stdout.take()), follow(child.stderr.take()));
    let left = || deadline.saturating_duration_since(Instant::now());
    let said = stdout.recv_timeout(left()).ok().and_then(|stdout| {
        let stderr = stderr.recv_timeout(left()).ok()?;
        Some((stdout, stderr))
    });
    if let Some((stdout, stderr)) = said
        && let Some(status) = ended_by(deadline, &mut child)?
    {
        return Ok(Some(Output {
            status,
            stdout,
            stderr,
        }));
    }
    // Fails if it has just ended.
    let _ = child.kill();
    child.wait()?;
    Ok(None)
}

fn follow(pipe: Option<impl Read + Send + 'static>) -> Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut text = Vec::new();
        if let Some(mut pipe) = pipe {
            // What came before an error is worth as much as before the end.
            let _ = pipe.read_to_end(&mut text);
        }
        // Nobody listens any more if it took too long.
        let _ = sender.send(text);
    });
    receiver
}

fn ended_by(deadline: Instant, child: &mut Child) -> io::Result<Option<ExitStatus>> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= deadline {
            return Ok(None);
        }
        thread::sleep(POLL);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn asked(script: &str) -> (Result<Answer, ProbeError>, Duration) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("python3");
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let begun = Instant::now();
        let limit = Duration::from_millis(500);
        let answer = ask_within(limit, &path, None, OsStr::new("/usr/bin:/bin"));
        (answer, begun.elapsed())
    }

    #[test]
    fn an_interpreter_that_hangs_is_ended() {
        for hangs in [
            "exec sleep 60",
            "sleep 60 & echo",
            "exec >&- 2>&-; exec sleep 60",
        ] {
            let (answer, took) = asked(hangs);
            assert_eq!(answer.unwrap_err().0, "it did not answer within 0.5 s");
            assert!(took < Duration::from_secs(20), "{hangs}: {took:?}");
        }
    }

    #[test]
    fn the_last_line_of_an_interpreter_that_fails_is_the_reason() {
        let (answer, _) = asked("echo first >&2; echo 'no such command' >&2; exit 3");
        assert_eq!(answer.unwrap_err().0, "no such command");
    }
}
