//! Lines that agents, servers and systems really write, and the advice for each.

use super::*;

const GENERATED: Setting = Setting::Container {
    port: 8080,
    read_only: true,
};

const OWN: Setting = Setting::Container {
    port: 8080,
    read_only: false,
};

fn hint_of(setting: Setting, cause: &EndCause, log: &str) -> Option<String> {
    let lines: Vec<String> = log.lines().map(str::to_owned).collect();
    let listening = Listening::told(log.lines());
    Evidence {
        setting,
        cause,
        lines: &lines,
        listening: Some(&listening),
    }
    .hint()
}

/// Real lines, and a part of what is advised in a container that we generated.
const ROWS: &[(&str, &str)] = &[
    (
        "standard_init_linux.go:228: exec user process caused: exec format error",
        "for another processor than the Docker engine's",
    ),
    (
        "exec /app/agentcore-host: exec format error",
        "for the engine's own architecture",
    ),
    (
        "ModuleNotFoundError: No module named 'strands.models'",
        "has the module `strands` in the agent's dependency file",
    ),
    (
        "ImportError: libGL.so.1: cannot open shared object file: No such file or directory",
        "lacks the system library `libGL.so.1`",
    ),
    (
        "/app/agent: error while loading shared libraries: libssl.so.3: cannot open shared object file: No such file or directory",
        "lacks the system library `libssl.so.3`",
    ),
    (
        "botocore.exceptions.NoCredentialsError: Unable to locate credentials",
        "`--aws-credentials`",
    ),
    (
        "Error: DispatchFailure(DispatchFailure { source: ConnectorError { kind: Other(None), source: \
         CredentialsNotLoaded(CredentialsNotLoaded { source: Some(\"no providers in chain provided credentials\") }) } })",
        "`--aws-credentials`",
    ),
    (
        "CredentialsProviderError: Could not load credentials from any providers",
        "`--aws-credentials`",
    ),
    (
        "botocore.exceptions.ClientError: An error occurred (ExpiredTokenException) when calling the InvokeModel operation: \
         The security token included in the request is expired",
        "have expired",
    ),
    (
        "botocore.exceptions.NoRegionError: You must specify a region.",
        "AWS_REGION",
    ),
    (
        "OSError: [Errno 30] Read-only file system: '/app/data.json'",
        "it writes to `/app/data.json`, and only `/tmp`",
    ),
    (
        "touch: cannot touch '/app/x': Read-only file system",
        "it writes to `/app/x`,",
    ),
    (
        "Error: EROFS: read-only file system, open '/app/log.txt'",
        "it writes to `/app/log.txt`,",
    ),
    (
        "Error: Os { code: 30, kind: ReadOnlyFilesystem, message: \"Read-only file system\" }",
        "it writes to a file, and only `/tmp` and the home can be written to",
    ),
    (
        "sqlite3.OperationalError: attempt to write a readonly database",
        "it writes to a file,",
    ),
    (
        "OSError: [Errno 28] No space left on device",
        "`docker system df`",
    ),
    (
        "cannot start the container `0123456789ab`: failed to create shim task: OCI runtime create failed: \
         container_linux.go:380: starting container process caused: exec: \"agentt\": executable file not found in $PATH: unknown",
        "the image has no `agentt`, or not what",
    ),
    (
        "cannot start the container `0123456789ab`: OCI runtime create failed: runc create failed: unable to start container \
         process: exec: \"/agent\": stat /agent: no such file or directory: unknown",
        "the image has no `/agent`, or not what",
    ),
    (
        "[FATAL tini (6)] exec /agent failed: No such file or directory",
        "the image has no `/agent`, or not what",
    ),
    (
        "cannot start the container `0123456789ab`: unable to start container process: exec: \"/agent\": permission denied: unknown",
        "may not use `/agent`",
    ),
    ("RuntimeError: can't start new thread", "4096 processes"),
    (
        "OSError: [Errno 12] Cannot allocate memory",
        "make it need less",
    ),
    ("the worker has ended: signal 9 (SIGKILL)", "for its memory"),
    (
        "chown: changing ownership of '/data': Operation not permitted",
        "without Linux capabilities",
    ),
    (
        "ERROR:    [Errno 13] error while attempting to bind on address ('0.0.0.0', 80): permission denied",
        "make it listen on 0.0.0.0:8080",
    ),
    (
        "PermissionError: [Errno 13] Permission denied: '/data/cache'",
        "may not use `/data/cache`",
    ),
    ("bash: /opt/run.sh: Permission denied", "may not use a file"),
];

#[test]
fn every_known_line_has_its_advice() {
    let exited = EndCause::Exited { status: 1 };
    for (line, advice) in ROWS {
        let log = format!("INFO: starting\n{line}\nerror: the agent cannot be loaded\n");
        let hint = hint_of(GENERATED, &exited, &log);
        assert!(
            hint.as_ref().is_some_and(|it| it.contains(advice)),
            "{line}: {hint:?}"
        );
    }
}

#[test]
fn every_row_of_the_table_is_tested() {
    for known in TABLE {
        for sign in known.signs {
            let lower = |line: &str| line.to_ascii_lowercase();
            let row = ROWS.iter().any(|(line, _)| lower(line).contains(sign));
            let other = [
                "error loading shared library",
                "no credentials in the property bag",
                "the credential provider was not enabled",
                "fork: retry: resource temporarily unavailable",
            ];
            assert!(row || other.contains(sign), "no line has `{sign}`");
        }
    }
}

#[test]
fn what_is_not_known_gets_no_hint() {
    let exited = EndCause::Exited { status: 1 };
    for line in [
        "",
        "ValueError: no",
        "ModuleNotFoundError: No module named",
        "listening on 0.0.0.0:8080",
    ] {
        assert_eq!(hint_of(GENERATED, &exited, line), None, "{line}");
    }
    // It went on for long after that.
    let survived = format!("NoCredentialsError{}", "\nmore".repeat(LAST_LINES));
    assert_eq!(hint_of(GENERATED, &exited, &survived), None);
}

#[test]
fn the_last_cause_counts() {
    let exited = EndCause::Exited { status: 1 };
    let log = "Unable to locate credentials\nModuleNotFoundError: No module named 'x'";
    let hint = hint_of(GENERATED, &exited, log).unwrap();
    assert!(hint.contains("module `x`"), "{hint}");
}

#[test]
fn processes_get_only_the_advice_that_fits_them() {
    let exited = EndCause::Exited { status: 1 };
    let hint = |line: &str| hint_of(Setting::Process, &exited, line);
    let module = hint("ModuleNotFoundError: No module named 'numpi'").unwrap();
    assert!(
        module.contains("the interpreter that runs the agent"),
        "{module}"
    );
    assert!(
        hint("Unable to locate credentials")
            .unwrap()
            .contains("`--aws-credentials`")
    );
    for line in [
        "Read-only file system: '/x'",
        "Operation not permitted",
        "Permission denied: '/x'",
        "signal 9 (SIGKILL)",
        "can't start new thread",
    ] {
        assert_eq!(hint(line), None, "{line}");
    }
    let not_run = EndCause::NotStarted {
        error: "`/x/agent` cannot be run: Exec format error (os error 8)".into(),
    };
    let hint = hint_of(Setting::Process, &not_run, "").unwrap();
    assert!(hint.contains("another processor"), "{hint}");
}

#[test]
fn an_image_of_the_users_own_has_no_read_only_root() {
    let exited = EndCause::Exited { status: 1 };
    assert_eq!(
        hint_of(OWN, &exited, "Read-only file system: '/proc/sys/x'"),
        None
    );
}

#[test]
fn what_listens_wrongly_is_told_before_the_log() {
    let late = EndCause::StartTimedOut { seconds: 120 };
    let uvicorn = "Permission denied: '/x'\nINFO:     Uvicorn running on http://127.0.0.1:8080 (Press CTRL+C to quit)";
    let inside = hint_of(OWN, &late, uvicorn).unwrap();
    assert!(
        inside.contains("127.0.0.1:8080, which only the container itself reaches: make it listen on 0.0.0.0:8080"),
        "{inside}"
    );
    let other = hint_of(
        OWN,
        &late,
        "Uvicorn running on http://0.0.0.0:9000 (Press CTRL+C to quit)",
    )
    .unwrap();
    assert!(
        other.contains("0.0.0.0:9000, and calls come on port 8080"),
        "{other}"
    );
    let right = hint_of(OWN, &late, "Uvicorn running on http://0.0.0.0:8080");
    assert_eq!(right, None);
    let log = hint_of(OWN, &late, "Unable to locate credentials").unwrap();
    assert!(log.contains("`--aws-credentials`"), "{log}");
    // It did listen, and ended for another reason.
    let exited = EndCause::Exited { status: 1 };
    assert_eq!(
        hint_of(OWN, &exited, "Uvicorn running on http://127.0.0.1:8080"),
        None
    );
}

#[test]
fn memory_is_told_before_the_log() {
    let cause = EndCause::OutOfMemory { limit: 8 << 30 };
    let hint = hint_of(OWN, &cause, "NoCredentialsError").unwrap();
    assert_eq!(hint, "make it need less: in the cloud a session has 8 GB");
}
