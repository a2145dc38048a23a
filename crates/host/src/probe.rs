//! One question to a Python interpreter, answered by a child process: who are you, and do you have the official SDK?

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;

/// Runs on any Python, so that one that is too old can still say so. The first entry of `sys.path`, which `-c` sets to
/// the working folder, goes first: a module there must not answer for an installed one.
const QUESTION: &str = r#"
import sys
sys.path[:] = [entry for entry in sys.path if entry]
import json
answer = {"executable": sys.executable or None, "version": list(sys.version_info[:3]), "sdk": None, "base": None}
try:
    import site
    answer["base"] = site.getuserbase() if site.ENABLE_USER_SITE else None
except Exception:
    pass
try:
    from importlib.util import find_spec
    if find_spec("bedrock_agentcore") is not None:
        from importlib.metadata import version
        answer["sdk"] = version("bedrock-agentcore")
except Exception:
    pass
sys.stdout.write("\n" + json.dumps(answer) + "\n")
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
    let mut command = Command::new(path);
    command
        .arg("-c")
        .arg(QUESTION)
        .stdin(Stdio::null())
        .env("PATH", search_path);
    if let Some(folder) = folder.filter(|folder| folder.is_dir()) {
        command.current_dir(folder);
    }
    let output = command
        .output()
        .map_err(|error| ProbeError(error.to_string()))?;
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
