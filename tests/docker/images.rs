//! Images: what goes into them, what is written for them, what a failed build shows, and that they do not pile up.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use super::Contained;
use super::agents::{OBEDIENT, PLAIN_DOCKERFILE, PLAIN_SERVER};
use super::engine::{base_image, not_run};
use crate::live::finish;

const DOCKERFILE: &str = ".agentcore/my_agent/Dockerfile";

/// What is under /app, relative.
const LIST: &str = r#"
import os
result = sorted(
    os.path.relpath(os.path.join(folder, name), "/app")
    for folder, _, names in os.walk("/app") for name in names if "__pycache__" not in folder
)
"#;

#[test]
fn requirements_are_installed_before_the_code_and_kept_in_their_layer() {
    let Some(project) = Contained::new() else {
        return;
    };
    project.write("agent.py", &format!("import six\n{OBEDIENT}"));
    project.write("requirements.txt", "six==1.17.0\n");
    let configure = [
        "--entrypoint",
        "agent.py",
        "--name",
        "my_agent",
        "--base-image",
    ];
    project.configure(&[&configure[..], &[base_image()]].concat());
    project.launch_auto(&[]);
    let version = "import six\nresult = six.__version__";
    assert_eq!(project.script("s", version), "1.17.0");

    // A change of the code does not install again.
    project.write(
        "agent.py",
        &format!("import six\nchanged = True\n{OBEDIENT}"),
    );
    project.launch(&["--restart"]);
    let log = project.path().join(".agentcore/logs/my_agent.build.log");
    let log = fs::read_to_string(log).unwrap();
    assert!(!log.contains("Installing collected packages"), "{log}");
    assert_eq!(project.script("s", version), "1.17.0");
}

#[test]
fn the_official_sdk_serves_an_agent_whose_requirements_name_it() {
    let Some(project) = Contained::new() else {
        return;
    };
    let who =
        "\nimport bedrock_agentcore\nprint('served by', bedrock_agentcore.__file__, flush=True)\n";
    project.write("agent.py", &format!("{who}{OBEDIENT}"));
    project.write("requirements.txt", "bedrock-agentcore==1.25.0\n");
    let configure = [
        "--entrypoint",
        "agent.py",
        "--name",
        "my_agent",
        "--base-image",
    ];
    project.configure(&[&configure[..], &[base_image()]].concat());
    project.launch(&[]);
    let file = project.script(
        "one",
        "import bedrock_agentcore\nresult = bedrock_agentcore.__file__",
    );
    assert!(
        file.as_str()
            .unwrap()
            .contains("-packages/bedrock_agentcore/"),
        "{file}"
    );
    let count = "state['n'] = state.get('n', 0) + 1\nresult = state['n']";
    assert_eq!(project.script("one", count), 1);
    assert_eq!(project.script("one", count), 2);
    assert_eq!(project.script("two", count), 1);
    let logs = project.run(&["logs", "--local"]);
    assert!(logs.stdout.contains("Engine sdk"), "{}", logs.stdout);

    project.launch(&["--restart", "--engine", "native"]);
    let file = project.script(
        "one",
        "import bedrock_agentcore\nresult = bedrock_agentcore.__file__",
    );
    assert!(!file.as_str().unwrap().contains("-packages/"), "{file}");
}

#[test]
fn images_of_earlier_builds_do_not_pile_up() {
    let Some(project) = Contained::python(OBEDIENT) else {
        return;
    };
    let mut ids = Vec::new();
    for build in 0..3 {
        project.write("agent.py", &format!("build = {build}\n{OBEDIENT}"));
        project.launch(&["--restart"]);
        let run = "import __main__\nresult = __main__.build";
        assert_eq!(project.script("s", run), build);
        let images = project.images();
        assert_eq!(images.len(), 1, "after build {build}: {images:?}");
        ids.push(images[0]["Id"].clone());
    }
    ids.dedup();
    assert_eq!(ids.len(), 3, "each build made another image: {ids:?}");
    // The same again is the same image, found in the engine's cache.
    project.launch(&["--restart"]);
    assert_eq!(project.images()[0]["Id"], ids[2]);
    let labels = &project.images()[0]["Labels"];
    assert_eq!(labels["agentcore.agent"], "my_agent");
    assert!(labels["agentcore.mark"].is_string(), "{labels}");
}

#[test]
fn a_build_that_fails_shows_the_end_of_its_log_and_keeps_its_dockerfile() {
    let Some(project) = Contained::new() else {
        return;
    };
    project.write("agent.py", OBEDIENT);
    project.write(
        "requirements.txt",
        "no-such-package-of-agentcore-tests==1.0\n",
    );
    let configure = [
        "--entrypoint",
        "agent.py",
        "--name",
        "my_agent",
        "--base-image",
    ];
    project.configure(&[&configure[..], &[base_image()]].concat());
    let failed = project.launch_fails(&[], 1);
    failed.says(&[
        "no-such-package-of-agentcore-tests",
        "No matching distribution",
        "error: ",
        "hint: ",
        "my_agent.build.log",
    ]);
    assert!(project.path().join(DOCKERFILE).exists());
    let log = project.path().join(".agentcore/logs/my_agent.build.log");
    let log = fs::read_to_string(log).unwrap();
    assert!(log.contains("No matching distribution"), "{log}");
    project.left_nothing();
    assert_eq!(project.images(), [] as [Value; 0]);

    let launch = ["launch", "--local", "--detach", "--port", "0"];
    let failure = &project.json(&launch, 1)["error"];
    assert!(
        failure["details"]
            .to_string()
            .contains("No matching distribution"),
        "{failure}"
    );
}

#[test]
fn a_step_of_the_users_own_dockerfile_that_fails_is_named() {
    let dockerfile = "FROM [BASE]\nRUN echo before-it && sh -c 'echo to-stderr >&2; exit 3'\n";
    let Some(project) = Contained::own_dockerfile(dockerfile, OBEDIENT) else {
        return;
    };
    let failed = project.launch_fails(&[], 1);
    failed.says(&["before-it", "to-stderr", "error: ", "3"]);

    project.write("Dockerfile", "FROM scratch\nCOPI agent.py .\n");
    let failed = project.launch_fails(&[], 1);
    failed.says(&["COPI", "error: "]);
    project.left_nothing();
}

#[test]
fn a_base_image_that_cannot_be_had_is_class_9_and_never_falls_back() {
    let Some(project) = Contained::new() else {
        return;
    };
    project.write("agent.py", OBEDIENT);
    let absent = "agentcore-test.invalid/no/such-image:1";
    project.configure(&[
        "--entrypoint",
        "agent.py",
        "--name",
        "my_agent",
        "--base-image",
        absent,
    ]);
    for sandbox in ["docker", "auto"] {
        let launch = [
            "launch",
            "--local",
            "--detach",
            "--port",
            "0",
            "--sandbox",
            sandbox,
        ];
        let failed = project.run(&launch);
        assert_eq!(failed.expect_code(9), "");
        failed.says(&["error: ", absent, "hint: ", "--sandbox process"]);
    }
    assert_eq!(project.status()["state"], "not_running");
    project.left_nothing();
    assert!(project.path().join(DOCKERFILE).exists());
    // What the hint names works.
    let launch = [
        "launch",
        "--local",
        "--detach",
        "--port",
        "0",
        "--sandbox",
        "process",
    ];
    project.run(&launch).expect_code(0);
}

#[test]
fn the_context_leaves_out_what_is_ignored_and_what_is_secret() {
    let Some(project) = Contained::python(OBEDIENT) else {
        return;
    };
    for name in [
        ".env",
        ".env.production",
        "keys/server.pem",
        "id_rsa",
        ".aws/credentials",
        ".git/config",
        ".venv/lib/x.py",
        "node_modules/x/index.js",
        "__pycache__/x.pyc",
        "target/debug/x",
        "data/kept.txt",
        "deep/er/kept.py",
        "ignored.txt",
        "sub/ignored.txt",
    ] {
        // Of some names the content decides whether they are secrets.
        project.write(name, "-----BEGIN PRIVATE KEY-----\nhush\n");
    }
    project.write(".gitignore", "data/\n");
    project.launch(&[]);
    let mut kept = project.script("s", LIST);
    // What makes the image is in its context, and so in the copy of it.
    let ours = [
        ".gitignore",
        DOCKERFILE,
        ".agentcore/my_agent/agentcore-host",
    ];
    let kept_files = kept.as_array_mut().unwrap();
    kept_files.retain(|it| !ours.contains(&it.as_str().unwrap()));
    assert_eq!(
        kept,
        json!([
            ".agentcore.yaml",
            "agent.py",
            "data/kept.txt",
            "deep/er/kept.py",
            "ignored.txt",
            "sub/ignored.txt",
        ])
    );

    project.write(
        ".dockerignore",
        "# mine\n**/ignored.txt\n!sub/ignored.txt\ndata\n!.env.production\n",
    );
    project.launch(&["--restart"]);
    let kept = project.script("s", LIST);
    let kept: Vec<_> = kept
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it.as_str().unwrap())
        .collect();
    for (name, is_kept) in [
        ("ignored.txt", false),
        ("sub/ignored.txt", true),
        ("data/kept.txt", false),
        (".env", false),
        (".env.production", true),
        ("id_rsa", false),
        (".aws/credentials", false),
        ("agent.py", true),
    ] {
        assert_eq!(kept.contains(&name), is_kept, "{name} in {kept:?}");
    }
}

#[test]
fn the_dockerfile_is_refreshed_when_the_configuration_changes_and_only_then() {
    let Some(project) = Contained::python(OBEDIENT) else {
        return;
    };
    project.launch(&[]);
    let path = project.path().join(DOCKERFILE);
    let first = fs::read_to_string(&path).unwrap();
    let from: Vec<&str> = first.lines().filter(|it| it.starts_with("FROM ")).collect();
    assert_eq!(from, [format!("FROM {}", base_image())]);
    for forbidden in ["# syntax", "--mount", "COPY --from", "<<"] {
        assert!(!first.contains(forbidden), "{forbidden} in {first}");
    }
    let written = fs::metadata(&path).unwrap().modified().unwrap();
    project.launch(&["--restart"]);
    assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), written);

    project.write("requirements.txt", "six==1.17.0\n");
    project.configure(&["--entrypoint", "agent.py", "--name", "my_agent"]);
    project.launch(&["--restart"]);
    let second = fs::read_to_string(&path).unwrap();
    assert_ne!(first, second);
    assert!(second.contains("requirements.txt"), "{second}");
}

#[test]
fn the_generated_dockerfile_is_good_for_the_docker_command_too() {
    let Some(project) = Contained::python(OBEDIENT) else {
        return;
    };
    if Command::new("docker").arg("--version").output().is_err() {
        return not_run("the docker command is not installed");
    }
    project.launch(&[]);
    project.run(&["stop", "--local"]).expect_code(0);
    let tag = format!("agentcore-test-plain:{}", std::process::id());
    let build = format!("DOCKER_BUILDKIT=0 docker build -q -t {tag} -f {DOCKERFILE} .");
    finish(&mut project.shell(&build)).expect_code(0);
    let run = format!("docker run --rm -d -p 127.0.0.1::8080 {tag}");
    let id = finish(&mut project.shell(&run));
    let id = id.expect_code(0).trim();
    let container = project.engine().container(id);
    let port = &container["NetworkSettings"]["Ports"]["8080/tcp"][0]["HostPort"];
    let port: u16 = port.as_str().unwrap().parse().unwrap();
    crate::live::until("it is healthy", || crate::live::http::is_healthy(port));
    let body = r#"{"run": "result = 'from a plain build'"}"#;
    let answer = crate::live::http::request(port, "POST", "/invocations", body).unwrap();
    assert_eq!(answer.body, "{\"result\": \"from a plain build\"}");
    let engine = project.engine();
    engine.remove(&format!("/containers/{id}?force=1&v=1"));
    engine.remove(&format!("/images/{tag}?force=1"));
}

#[test]
fn the_users_own_dockerfile_wins_and_is_never_changed() {
    let Some(project) = Contained::own_dockerfile(PLAIN_DOCKERFILE, PLAIN_SERVER) else {
        return;
    };
    let before = fs::read_to_string(project.path().join("Dockerfile")).unwrap();
    project.launch_auto(&[]);
    assert_eq!(project.ask("s", &json!({ "prompt": 1 }))["prompt"], 1);
    let after = fs::read_to_string(project.path().join("Dockerfile")).unwrap();
    assert_eq!(before, after);

    // One that is elsewhere has to be named.
    fs::create_dir(project.path().join("docker")).unwrap();
    let elsewhere = project.path().join("docker/Dockerfile.agent");
    fs::rename(project.path().join("Dockerfile"), elsewhere).unwrap();
    project.configure(&[
        "--entrypoint",
        "agent.py",
        "--name",
        "my_agent",
        "--dockerfile",
        "docker/Dockerfile.agent",
    ]);
    project.launch(&["--restart"]);
    assert_eq!(project.ask("s", &json!({ "prompt": 2 }))["prompt"], 2);
}
