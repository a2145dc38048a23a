//! The advice itself: one function for each row of the table, which may look at the line once more.

use std::net::SocketAddr;

use super::Setting;

pub(super) fn bound_inside(address: SocketAddr, port: u16) -> String {
    format!(
        "it listens on {address}, which only the container itself reaches: make it listen on 0.0.0.0:{port} \
         (`AGENTCORE_LISTEN` says so)"
    )
}

pub(super) fn other_port(address: SocketAddr, port: u16) -> String {
    format!(
        "it listens on {address}, and calls come on port {port}: make it listen on 0.0.0.0:{port}"
    )
}

pub(super) fn architecture(setting: Setting) -> &'static str {
    match setting {
        Setting::Process => {
            "the program is for another processor or system: build it on this machine"
        }
        Setting::Container { .. } => {
            "a program in the image is for another processor than the Docker engine's, or is a script without a `#!` \
             line: build the image, and what it copies, for the engine's own architecture"
        }
    }
}

pub(super) fn module(line: &str, setting: Setting) -> Option<String> {
    let module = quoted(line)?;
    // Of `a.b` it is the package `a` that is installed.
    let package = module.split('.').next().unwrap_or(module);
    Some(match setting {
        Setting::Process => {
            format!(
                "install the package that has the module `{package}` for the interpreter that runs the agent"
            )
        }
        Setting::Container { .. } => format!(
            "name the package that has the module `{package}` in the agent's dependency file (`requirements.txt` or \
             `pyproject.toml`) and launch again; if it is a file of the project, see that `.dockerignore` lets it through"
        ),
    })
}

pub(super) fn library(line: &str, setting: Setting) -> Option<String> {
    let is_library = |it: &&str| it.starts_with("lib") && it.contains(".so");
    let is_gap = |it: char| it.is_whitespace() || ":'\"/".contains(it);
    let library = line.split(is_gap).find(is_library)?;
    Some(match setting {
        Setting::Process => format!("install the system package that has `{library}`"),
        Setting::Container { .. } => format!(
            "the image lacks the system library `{library}`: take a base image that has it (`--base-image`), or install it \
             in a `Dockerfile` of your own"
        ),
    })
}

pub(super) fn credentials(_: Setting) -> &'static str {
    "the agent has no AWS credentials: launch with `--aws-credentials` to pass yours on"
}

pub(super) fn expired(_: Setting) -> &'static str {
    "the AWS credentials have expired: refresh them and launch again with `--aws-credentials`"
}

pub(super) fn region(_: Setting) -> &'static str {
    "the agent knows no AWS Region: launch with `--env AWS_REGION=…`, or name it in `environment:`"
}

pub(super) fn read_only(line: &str, setting: Setting) -> Option<String> {
    let Setting::Container {
        read_only: true, ..
    } = setting
    else {
        return None;
    };
    let what = file(line);
    Some(format!(
        "it writes to {what}, and only `/tmp` and the home can be written to: write there (`HOME` and `tempfile` lead \
         there), or bring a `Dockerfile` of your own"
    ))
}

pub(super) fn disk(setting: Setting) -> &'static str {
    match setting {
        Setting::Process => "make room on the disk",
        Setting::Container { .. } => {
            "make room on the Docker engine's disk (`docker system df` shows what takes it); `/tmp` and the home of a \
             container are in its memory"
        }
    }
}

pub(super) fn no_program(line: &str, setting: Setting) -> Option<String> {
    let is_missing = line.contains("not found")
        || line.contains("No such file")
        || line.contains("no such file");
    if setting == Setting::Process || !is_missing {
        return None;
    }
    let after = line.split("exec").nth(1).unwrap_or_default();
    let path = || after.split_whitespace().find(|it| it.starts_with('/'));
    let program = quoted(after).or_else(path);
    let what = program.map_or_else(|| "its program".to_owned(), |it| format!("`{it}`"));
    Some(format!(
        "the image has no {what}, or not what that needs to be loaded, or it is for another processor: correct the \
         `ENTRYPOINT` or `CMD` of its `Dockerfile`, and build what it copies for the engine's own architecture"
    ))
}

pub(super) fn processes(_: &str, setting: Setting) -> Option<String> {
    let Setting::Container { .. } = setting else {
        return None;
    };
    Some("a container may have 4096 processes and threads: make it start fewer".to_owned())
}

pub(super) fn memory(_: &str, setting: Setting) -> Option<String> {
    let Setting::Container { .. } = setting else {
        return None;
    };
    Some(
        "the system most likely killed it for its memory: make it need less, in the cloud a session has 8 GB"
            .to_owned(),
    )
}

pub(super) fn capability(_: &str, setting: Setting) -> Option<String> {
    let Setting::Container { .. } = setting else {
        return None;
    };
    Some(
        "containers of agents run without Linux capabilities, also as root: do what needs them (changing owners or users, \
         mounting, low ports) when the image is built"
            .to_owned(),
    )
}

pub(super) fn permission(line: &str, setting: Setting) -> Option<String> {
    let Setting::Container { port, .. } = setting else {
        return None;
    };
    if line.contains("bind") {
        return Some(format!(
            "the agent's user may not listen on ports below 1024: make it listen on 0.0.0.0:{port}"
        ));
    }
    let what = file(line);
    Some(format!(
        "the image's user may not use {what}, and nobody in the container has root's rights: give it to that user when the \
         image is built (`COPY --chown`, `RUN chown`), or use `/tmp` or the home"
    ))
}

/// Returns the file that an error names, or words for one that is not named.
fn file(line: &str) -> String {
    // Some put the error itself in quotes.
    let path = quoted(line).filter(|it| it.contains('/') || !it.contains(' '));
    path.map_or_else(|| "a file".to_owned(), |path| format!("`{path}`"))
}

/// Returns the first text in quotes that is not empty. Backticks are mostly ours, around what is not the cause.
fn quoted(line: &str) -> Option<&str> {
    let between = |quote: char| {
        let mut parts = line.split(quote);
        let before = parts.next()?.len();
        let text = parts.next().filter(|it| !it.trim().is_empty())?;
        // Without an end it is an apostrophe.
        parts.next().map(|_| (before, text))
    };
    let marks = ['\'', '"'].into_iter().filter_map(between);
    let first = marks.min_by_key(|(before, _)| *before);
    first.or_else(|| between('`')).map(|(_, text)| text)
}
