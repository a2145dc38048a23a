//! Sockets where no engine answers: each reason is told from the others, and none of them hangs.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use agentcore_docker::{Endpoint, EngineError, FindError, Surroundings, Unreachable, find};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};

#[tokio::test]
async fn each_way_of_not_answering_is_told_from_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let dead = folder.path().join("dead.sock");
    drop(UnixListener::bind(&dead).unwrap());
    assert_reason(
        &dead,
        |reason| matches!(reason, Unreachable::Refused),
        "is Docker running?",
    )
    .await;

    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    assert_reason(
        &file,
        |reason| matches!(reason, Unreachable::Refused),
        "is Docker running?",
    )
    .await;

    let missing = folder.path().join("missing.sock");
    assert_reason(
        &missing,
        |reason| matches!(reason, Unreachable::Missing),
        "start that engine",
    )
    .await;

    let private = folder.path().join("private.sock");
    let _listener = UnixListener::bind(&private).unwrap();
    let nobody = fs::Permissions::from_mode(0o000);
    fs::set_permissions(&private, nobody).unwrap();
    if rustix::process::geteuid().is_root() {
        eprintln!("not run: nothing is denied to root");
        return;
    }
    assert_reason(
        &private,
        |reason| matches!(reason, Unreachable::Denied),
        "`docker` group",
    )
    .await;
}

async fn assert_reason(socket: &Path, is_expected: impl Fn(&Unreachable) -> bool, hint: &str) {
    let error = find(&by_host(&Endpoint::Unix(socket.to_owned())))
        .await
        .unwrap_err();
    let FindError::Chosen {
        error: EngineError::Unreachable { reason, .. },
        ..
    } = &error
    else {
        panic!("{error:?}")
    };
    assert!(is_expected(reason), "{error:?}");
    assert!(
        error.to_string().contains(socket.to_str().unwrap()),
        "{error}"
    );
    assert!(error.hint().unwrap().contains(hint), "{error}");
}

fn by_host(endpoint: &Endpoint) -> Surroundings {
    Surroundings {
        host: Some(endpoint.to_string()),
        ..Surroundings::default()
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_never_answers_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("silent.sock");
    let _listener = UnixListener::bind(&socket).unwrap();
    let start = tokio::time::Instant::now();
    let error = find(&by_host(&Endpoint::Unix(socket))).await.unwrap_err();
    assert!(
        matches!(
            &error,
            FindError::Chosen {
                error: EngineError::Silent { .. },
                ..
            }
        ),
        "{error:?}"
    );
    assert!(
        start.elapsed() <= Duration::from_secs(15),
        "{:?}",
        start.elapsed()
    );
    assert!(error.hint().unwrap().contains("restart Docker"), "{error}");
}

/// Servers that are no engine: on a port, because that is where they are met.
#[tokio::test]
async fn one_that_is_no_engine_is_told_as_such() {
    let answers = [
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}",
        "SSH-2.0-OpenSSH_9.2\r\n",
        "",
    ];
    for answer in answers {
        let error = find(&by_host(&serve(answer).await)).await.unwrap_err();
        let FindError::Chosen {
            error: EngineError::Foreign { .. },
            ..
        } = &error
        else {
            panic!("{answer:?}: {error:?}")
        };
        assert!(
            error.to_string().contains("is not a Docker engine"),
            "{error}"
        );
    }
    // Docker Desktop's own words while it is paused; they are better than ours.
    let paused = r#"{"message":"Docker Desktop is manually paused. Unpause it through the Whale menu or Dashboard."}"#;
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-length: {}\r\n\r\n{paused}",
        paused.len()
    );
    let error = find(&by_host(&serve(&answer).await)).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("Docker Desktop is manually paused."),
        "{error}"
    );
}

async fn serve(answer: &str) -> Endpoint {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let answer = answer.to_owned();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 4096];
            if stream.read(&mut request).await.is_ok_and(|count| count > 0) {
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        }
    });
    Endpoint::Tcp(address)
}
