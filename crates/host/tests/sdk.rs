//! The engine `sdk`: a child process with a server of its own. A script stands for the launcher and the official SDK.

use std::fs;
use std::path::Path;
use std::time::Duration;

use agentcore_host::{
    Capacity, EngineChoice, FoundBy, Interpreter, PythonAgent, ServeError, ServeOptions, serve,
};
use agentcore_runtime::Address;
use tempfile::TempDir;
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::sync::oneshot;

use crate::support::eventually;

/// Listens where it is told, answers every connection with one line, and does what its argument says.
const LAUNCHER: &str = r#"
import os, socket, sys, time
listen = os.environ["AGENTCORE_LISTEN"]
assert listen.startswith("unix:"), listen
what = os.path.basename(sys.argv[1])
print("launched", file=sys.stderr)
if what == "broken.py":
    import nothing_of_this_name
if what == "silent.py":
    os._exit(7)
server = socket.socket(socket.AF_UNIX)
server.bind(listen[5:])
server.listen()
while True:
    connection, _ = server.accept()
    try:
        connection.sendall(" ".join(sys.argv[1:]).encode())
    except OSError:
        pass
    connection.close()
    if what == "dying.py" and os.path.exists(os.path.join(os.path.dirname(__file__), "die")):
        os.kill(os.getpid(), 9)
"#;

fn options(folder: &TempDir, file: &str) -> ServeOptions {
    fs::write(folder.path().join("agentcore_sdk.py"), LAUNCHER).unwrap();
    ServeOptions {
        agent: PythonAgent {
            file: folder.path().join(file),
            app: Some("app".to_owned()),
            source_root: folder.path().to_owned(),
        },
        interpreter: Interpreter {
            executable: "python3".into(),
            version: (3, 11, 0),
            official_sdk: Some("1.25.0".to_owned()),
            user_base: None,
            found_by: FoundBy::Path,
        },
        engine: EngineChoice::Auto,
        address: Address::Unix(folder.path().join("a.sock")),
        package_dir: folder.path().to_owned(),
        capacity: Capacity::default(),
        environment: None,
    }
}

async fn answer(socket: &Path) -> Option<String> {
    let mut connection = UnixStream::connect(socket).await.ok()?;
    let mut text = String::new();
    connection.read_to_string(&mut text).await.ok()?;
    Some(text)
}

#[tokio::test]
async fn the_child_serves_until_it_is_told_to_end() {
    let folder = tempfile::tempdir().unwrap();
    let options = options(&folder, "agent.py");
    let socket = folder.path().join("a.sock");
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(serve(options, async {
        let _ = stopped.await;
    }));
    eventually(async || answer(&socket).await.is_some()).await;
    let root = folder.path().display();
    assert_eq!(
        answer(&socket).await.unwrap(),
        format!("{root}/agent.py --app app --source-root {root}")
    );
    stop.send(()).unwrap();
    serving.await.unwrap().unwrap();
    assert!(answer(&socket).await.is_none());
    assert!(!socket.exists());
}

#[tokio::test]
async fn an_agent_that_does_not_load_gives_the_last_line_of_its_traceback() {
    for (file, expected) in [
        (
            "broken.py",
            "ModuleNotFoundError: No module named 'nothing_of_this_name'",
        ),
        ("silent.py", "exit status 7 (launched)"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        match serve(options(&folder, file), std::future::pending()).await {
            Err(ServeError::Load { reason }) => assert_eq!(reason, expected),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_death_in_service_is_told_with_its_cause() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("a.sock");
    let serving = tokio::spawn(serve(options(&folder, "dying.py"), std::future::pending()));
    eventually(async || answer(&socket).await.is_some()).await;
    // The supervisor too has to have seen it listen.
    tokio::time::sleep(Duration::from_millis(300)).await;
    fs::write(folder.path().join("die"), "").unwrap();
    let _ = answer(&socket).await;
    match serving.await.unwrap() {
        Err(ServeError::Ended { cause }) => assert_eq!(cause, "signal 9 (SIGKILL)"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_taken_address_is_told_before_anything_is_started() {
    let folder = tempfile::tempdir().unwrap();
    let options = options(&folder, "agent.py");
    let _taken = tokio::net::UnixListener::bind(folder.path().join("a.sock")).unwrap();
    let error = serve(options, std::future::pending()).await.unwrap_err();
    assert!(error.to_string().ends_with("is already in use"), "{error}");
}

#[tokio::test]
async fn the_sdk_has_to_be_installed() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = options(&folder, "agent.py");
    options.engine = EngineChoice::Sdk;
    options.interpreter.official_sdk = None;
    let error = serve(options, std::future::pending()).await.unwrap_err();
    assert!(matches!(error, ServeError::SdkMissing(_)), "{error}");
}
