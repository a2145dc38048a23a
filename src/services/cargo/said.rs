//! What cargo says while it builds: told line by line, its end kept, and what a missing C compiler looks like in it.

use std::collections::VecDeque;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

use super::static_build::{OnTold, Told};

/// How many of the last lines are kept.
const KEPT: usize = 40;

/// What was said so far.
#[derive(Debug, Default)]
pub(super) struct Said {
    last: VecDeque<String>,
    failed_script: Option<String>,
    speaks_of_c: bool,
}

impl Said {
    /// Tells every line of `stream` and returns what was said when it ends.
    pub(super) async fn listen(stream: impl AsyncRead + Unpin, on_told: OnTold<'_>) -> Self {
        let mut reader = BufReader::new(stream);
        let mut said = Self::default();
        let mut bytes = Vec::new();
        while matches!(reader.read_until(b'\n', &mut bytes).await, Ok(1..)) {
            let line = String::from_utf8_lossy(&bytes).trim_end().to_owned();
            bytes.clear();
            on_told(Told::Line(line.clone()));
            said.take(line);
        }
        said
    }

    fn take(&mut self, line: String) {
        // What the `cc` crate asks for, and what other scripts complain about.
        const C: [&str; 5] = ["failed to find tool", "CC_", "gcc", "C compiler", "cmake"];
        self.speaks_of_c |= C.iter().any(|it| line.contains(it));
        self.failed_script = self.failed_script.take().or_else(|| failed_script(&line));
        if self.last.len() == KEPT {
            self.last.pop_front();
        }
        self.last.push_back(line);
    }

    /// The dependency, with its version, that compiles C and could not.
    pub(super) fn wanted_c(&self) -> Option<&str> {
        self.failed_script.as_deref().filter(|_| self.speaks_of_c)
    }

    /// The last lines.
    pub(super) fn end(&self) -> String {
        let lines: Vec<&str> = self.last.iter().map(String::as_str).collect();
        lines.join("\n")
    }
}

/// The package whose build script failed, if the line says so.
fn failed_script(line: &str) -> Option<String> {
    let (_, rest) = line.split_once("failed to run custom build command for `")?;
    let (package, _) = rest.split_once('`')?;
    // Where it lies does not help.
    let name = package.split(" (").next().unwrap_or(package);
    Some(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn said(text: &str) -> (Said, usize) {
        let mut told = 0;
        let said = Said::listen(text.as_bytes(), &mut |_| told += 1).await;
        (said, told)
    }

    #[tokio::test]
    async fn a_missing_compiler_is_told_with_the_dependency_that_wants_it() {
        let text = "   Compiling has-c v0.1.0 (/p/has-c)\n\
            error: failed to run custom build command for `has-c v0.1.0 (/p/has-c)`\n\n\
            Caused by:\n  process didn't exit successfully\n  --- stderr\n\n\n\
              error occurred in cc-rs: failed to find tool \"x86_64-linux-musl-gcc\": No such file or directory\n";
        let (said, told) = said(text).await;
        assert_eq!(said.wanted_c(), Some("has-c v0.1.0"));
        assert_eq!(told, text.lines().count());
        assert!(said.end().ends_with("No such file or directory"));
    }

    #[tokio::test]
    async fn other_failures_are_not_about_c() {
        let (script, _) =
            said("error: failed to run custom build command for `x v1`\npanicked\n").await;
        assert_eq!(script.wanted_c(), None);
        let (code, _) = said("error[E0425]: cannot find value `gcc`\n").await;
        assert_eq!(code.wanted_c(), None);
    }

    #[tokio::test]
    async fn only_the_end_is_kept_and_the_script_is_remembered() {
        let mut text =
            "error: failed to run custom build command for `x v1`\nCC_x = None\n".to_owned();
        text.extend((0..1000).map(|it| format!("line {it}\n")));
        let (said, _) = said(&text).await;
        assert_eq!(said.wanted_c(), Some("x v1"));
        assert_eq!(said.end().lines().count(), KEPT);
        assert!(said.end().ends_with("line 999"));
    }
}
