//! The native engine beside the official SDK, over HTTP: some thousand requests to each, and answers that are compared.
//!
//! What is asked, of which agents, and where the two are meant to differ is in `tests/peers/`, in Python.

use std::path::PathBuf;
use std::process::Command;

use crate::live::finish;
use crate::support::{Home, python_with, workspace};

#[test]
fn the_native_engine_answers_as_the_official_sdk_does() {
    let home = Home::new();
    let Some(mut python) = python(&home, "run.py") else {
        return;
    };
    let compared = finish(python.arg(env!("CARGO_BIN_EXE_agentcore")));
    assert_eq!(compared.code, 0, "{}{}", compared.stdout, compared.stderr);
}

#[test]
fn the_comparison_notices_what_differs() {
    let home = Home::new();
    let Some(mut python) = python(&home, "test_rows.py") else {
        return;
    };
    finish(&mut python).expect_code(0);
}

/// A program of `tests/peers/`, in the surroundings of a private home, on the Python that has the official SDK.
fn python(home: &Home, file: &str) -> Option<Command> {
    let python = python_with("bedrock_agentcore")?;
    let surroundings = home.command(&[]);
    let variables = surroundings
        .get_envs()
        .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())))
        .collect::<Vec<_>>();
    let file: PathBuf = workspace().join("tests/peers").join(file);
    let mut command = Command::new(python);
    command
        .args(["-B".as_ref(), file.as_os_str()])
        .env_clear()
        .envs(variables)
        .current_dir(home.project());
    Some(command)
}
