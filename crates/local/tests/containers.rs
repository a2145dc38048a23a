//! Containers as sandboxes: what they share, what they may do, what they are told.

use std::collections::{HashMap, HashSet};

use agentcore_docker::ContainerSummary;
use agentcore_local::{ContainerRoot, Event, OutputStream};
use serde_json::json;

use crate::container_image::Content;
use crate::container_support::{self as containers, set};
use crate::support::{SESSION, body_of, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn two_sessions_share_nothing() {
    let Some(it) = containers::start().await else {
        return;
    };
    for count in 1..=2 {
        assert_eq!(it.door.ask("one", json!({})).await["count"], count);
    }
    assert_eq!(it.door.ask("two", json!({})).await["count"], 1);
    for path in ["/tmp/mine", "/home/agent/mine"] {
        assert_eq!(it.look("one", "write", path).await, json!({}));
        assert_eq!(it.look("one", "read", path).await["text"], "mine");
        let error = it.look("two", "read", path).await["error"].clone();
        assert_eq!(error, "No such file or directory (os error 2)", "{path}");
    }
    let first = it.look("one", "address", "").await["address"].clone();
    let second = it.look("two", "address", "").await["address"].clone();
    assert_ne!(first, second);
    let first = format!("{}:8080", first.as_str().unwrap());
    assert_eq!(it.look("one", "reach", &first).await, json!({}));
    let reached = it.look("two", "reach", &first).await;
    assert!(reached["error"].is_string(), "{reached}");
    it.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generated_image_is_read_only_but_for_private_folders() {
    let Some(it) = containers::start().await else {
        return;
    };
    for path in ["/mine", "/data/mine", "/etc/mine"] {
        let error = it.look("one", "write", path).await["error"].clone();
        assert_eq!(error, "Read-only file system (os error 30)", "{path}");
    }
    let folder = |path: &'static str| it.look("one", "folder", path);
    assert_eq!(folder("/tmp").await, json!({ "mode": "1777", "uid": 0 }));
    assert_eq!(
        folder("/home/agent").await,
        json!({ "mode": "700", "uid": 10001 })
    );
    for path in ["/tmp/agent", "/home/agent/agent"] {
        let said = it.look("one", "run", path).await;
        assert_eq!(said, json!({ "said": "hello\n" }), "{path}");
    }
    // The engine's init is process 1, if there is one.
    let pid = it.door.pid("one").await;
    assert_eq!(pid == 1, !it.engine.has_init(), "{pid}");
    it.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_of_the_users_own_is_as_it_was_built() {
    let started = containers::start_with(Content::Agent, |spec, _| {
        spec.root = ContainerRoot::AsBuilt;
    });
    let Some(it) = started.await else {
        return;
    };
    let it = it.unwrap();
    assert_eq!(it.look("one", "write", "/data/mine").await, json!({}));
    assert_eq!(it.look("one", "read", "/data/mine").await["text"], "mine");
    assert_eq!(it.door.pid("one").await, 1);
    let environment = it.door.ask("one", json!({})).await["environment"].clone();
    assert_eq!(environment["HOME"], "/");
    it.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_have_no_rights_beyond_their_user() {
    let Some(it) = containers::start().await else {
        return;
    };
    let status = it.look("one", "read", "/proc/self/status").await;
    let status = status["text"].as_str().unwrap();
    let fields: HashMap<_, _> = status
        .lines()
        .filter_map(|line| line.split_once(":\t"))
        .collect();
    for none in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(fields[none], "0000000000000000", "{none}");
    }
    assert_eq!(fields["NoNewPrivs"], "1");
    assert_eq!(fields["Uid"], "10001\t10001\t10001\t10001");
    it.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_are_limited_as_they_were_told() {
    let Some(it) = containers::start().await else {
        return;
    };
    let mut found = HashMap::new();
    for (name, paths) in [
        ("memory", ["memory/memory.limit_in_bytes", "memory.max"]),
        ("processes", ["pids/pids.max", "pids.max"]),
    ] {
        for path in paths {
            let seen = it
                .look("one", "read", &format!("/sys/fs/cgroup/{path}"))
                .await;
            if let Some(text) = seen["text"].as_str() {
                found.insert(name, text.trim().to_owned());
            }
        }
    }
    assert_eq!(found["memory"], (256_u64 << 20).to_string());
    assert_eq!(found["processes"], "4096");
    it.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_environment_is_what_was_given_and_little_more() {
    let Some(it) = containers::start().await else {
        return;
    };
    let report = it.door.ask("one", json!({})).await;
    let environment = report["environment"].as_object().unwrap();
    let names: HashSet<&str> = environment.keys().map(String::as_str).collect();
    let expected = [
        "AGENTCORE_LISTEN",
        "AGENTCORE_OUTPUT",
        "AWS_EC2_METADATA_DISABLED",
        "DOCKER_CONTAINER",
        "GREETING",
        "HOME",
        // The engine's own.
        "HOSTNAME",
        "PATH",
    ];
    assert_eq!(names, HashSet::from(expected));
    assert_eq!(environment["HOME"], "/home/agent");
    assert_eq!(environment["AWS_EC2_METADATA_DISABLED"], "true");
    assert_eq!(report["headers"][SESSION], "one");
    it.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_tell_whose_they_are() {
    let Some(it) = containers::start().await else {
        return;
    };
    // Takes the one that waited; the next is made for its session, as none is ready so soon.
    let (one, two) = tokio::join!(
        it.door.ask("one", json!({})),
        it.door.ask("two/2", json!({}))
    );
    assert_eq!((&one["count"], &two["count"]), (&json!(1), &json!(1)));
    let mut found: Vec<ContainerSummary> = Vec::new();
    let begun = std::time::Instant::now();
    while found.iter().filter(|it| is_named(it, "-one-")).count() == 0 {
        assert!(begun.elapsed() < crate::support::PATIENCE, "{found:?}");
        found = it.containers().await;
    }
    assert!(found.iter().any(|it| is_named(it, "-two-2-")), "{found:?}");
    for container in &found {
        assert_eq!(container.labels["agentcore.agent"], "test-local");
        assert_eq!(container.labels["agentcore.mark"], it.mark);
        assert!(container.labels["agentcore.project"].starts_with("/projects/"));
        assert!(container.labels.contains_key("agentcore.instance"));
        assert!(
            container.names[0].starts_with("agentcore-test-local-"),
            "{container:?}"
        );
    }
    let sessions: HashSet<&str> = found
        .iter()
        .map(|it| it.labels["agentcore.session"].as_str())
        .collect();
    assert!(
        sessions.contains(""),
        "labels stay as they were: {sessions:?}"
    );
    it.end().await;
}

fn is_named(container: &ContainerSummary, part: &str) -> bool {
    container.names.iter().any(|name| name.contains(part))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_containers_write_is_told_with_their_session() {
    let Some(it) = containers::start().await else {
        return;
    };
    let order = json!({ "do": "print", "stdout": "a line\n", "stderr": "an error" });
    it.door.ask("one", order).await;
    let heard = |wanted: &str, on: OutputStream| {
        it.door.events().iter().any(|event| {
            matches!(event, Event::Output { session: Some(session), stream, line, .. }
                if session.as_str() == "one" && *stream == on && line == wanted)
        })
    };
    eventually("both lines are told", || {
        heard("a line", OutputStream::Stdout) && heard("an error", OutputStream::Stderr)
    })
    .await;
    // The first line came before there was a session.
    let first = |event: &Event| matches!(event, Event::Output { session: None, line, .. } if line.starts_with("serving on "));
    assert!(it.door.events().iter().any(first));

    it.door
        .ask("one", json!({ "do": "flood", "lines": 20_000 }))
        .await;
    let lines = || {
        let is_line =
            |event: &&Event| matches!(event, Event::Output { line, .. } if line.len() == 1000);
        it.door.events().iter().filter(is_line).count()
    };
    eventually("every line of a flood is told", || lines() == 20_000).await;
    it.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_pass_as_they_come() {
    let started = containers::start_with(Content::Agent, |spec, _| {
        set(spec, "GREETING", "changed");
    });
    let Some(it) = started.await else {
        return;
    };
    let it = it.unwrap();
    let response = it
        .door
        .call("one", json!({ "do": "rush", "count": 20_000 }))
        .await;
    let events: Vec<String> = (0..20_000)
        .map(|n| format!("data: {{\"n\": {n}}}\n\n"))
        .collect();
    assert!(response.text().await.unwrap() == events.concat());
    let upload = it.door.post("/invocations", "one", &json!(null));
    let upload = upload
        .header("x-test", "upload")
        .body(vec![b'x'; 30_000_000]);
    let response = upload.send().await.unwrap();
    assert_eq!(body_of(response).await["length"], 30_000_000);
    let report = it.door.ask("one", json!({})).await;
    assert_eq!(report["environment"]["GREETING"], "changed");
    it.end().await;
}
