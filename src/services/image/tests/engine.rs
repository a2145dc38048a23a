//! Images that a real engine builds: that names survive which mean something to Docker or to a shell, and that what is
//! written is good for the engine.
//!
//! What the images do when they run is tested through the program, from outside.

use std::path::PathBuf;
use std::process::Command;

use agentcore_docker::Engine;

use super::super::{BuiltImage, ImageError, ImageIdentity, build};
use super::project::{AGENT, Project};
use crate::config::env::Env;
use crate::error::{CliError, Kind};

/// The engine of this machine, and what a test leaves there.
struct Things {
    engine: Engine,
    identity: ImageIdentity,
}

impl Things {
    /// None where there is no engine; in CI that is a failure.
    async fn new(test: &str) -> Option<Self> {
        let env = Env::from_process();
        let surroundings = env.docker().unwrap();
        let engine = match agentcore_docker::find(&surroundings).await {
            Ok(engine) => engine,
            Err(error) => {
                assert!(!env.is_ci(), "CI needs a Docker engine: {error}");
                return None;
            }
        };
        let identity = ImageIdentity {
            project: "/agentcore-test-d".to_owned(),
            agent: test.to_owned(),
            mark: format!("{:08x}-{test}", std::process::id()),
        };
        Some(Self { engine, identity })
    }

    async fn build(&self, project: &Project) -> Result<BuiltImage, ImageError> {
        let prepared = project.write()?;
        build(&self.engine, &prepared, &self.identity, &mut |_| {}).await
    }

    async fn remove(self, built: &BuiltImage) {
        self.engine.remove_image(&built.tag).await.unwrap();
    }
}

/// A base image that needs no registry: nothing in it runs, which is enough for instructions that only copy.
async fn empty_base(things: &Things) -> String {
    let project = Project::new(
        &["entrypoint: agent.py"],
        &[
            ("agent.py", AGENT),
            ("Dockerfile", "FROM scratch\nCOPY agent.py /\n"),
        ],
    );
    things.build(&project).await.unwrap().tag
}

/// A folder with something that passes for the host binary of this machine.
fn hosts(project: &Project) -> PathBuf {
    let machine = if std::env::consts::ARCH == "aarch64" {
        183
    } else {
        62
    };
    let folder = project.root().join("hosts");
    std::fs::create_dir(&folder).unwrap();
    let name = format!("agentcore-host-{}", std::env::consts::ARCH);
    std::fs::write(
        folder.join(name),
        crate::services::elf::tests::program(machine, false),
    )
    .unwrap();
    folder
}

#[tokio::test]
async fn the_users_own_dockerfile_is_built_as_it_is_wherever_it_lies() {
    let Some(things) = Things::new("own").await else {
        return;
    };
    let text = "FROM scratch\nCOPY . /copied/\nENTRYPOINT [\"/x\"]\n";
    let yaml = [
        "entrypoint: a/agent.py",
        "source: a",
        "image: { dockerfile: docker/Dockerfile }",
    ];
    let outside = Project::new(&yaml, &[("a/agent.py", AGENT), ("docker/Dockerfile", text)]);
    let first = things.build(&outside).await.unwrap();
    assert_eq!(first.root, agentcore_local::ContainerRoot::AsBuilt);

    // A rule that leaves it out hides it from COPY, not from the engine.
    let files = [
        ("agent.py", AGENT),
        ("Dockerfile", text),
        (".dockerignore", "Dockerfile\n"),
    ];
    let hidden = Project::new(&["entrypoint: agent.py"], &files);
    let second = things.build(&hidden).await.unwrap();
    let image = things.engine.image(&second.id).await.unwrap().unwrap();
    assert_eq!(image.entrypoint, ["/x"]);
    assert_eq!(image.labels["agentcore.agent"], "own");
    assert_eq!(image.tags, [second.tag.as_str()]);
    // The first had the same name, which is all that kept it.
    assert!(things.engine.image(&first.id).await.unwrap().is_none());
    things.remove(&second).await;
}

#[tokio::test]
async fn names_that_mean_something_elsewhere_reach_the_image_as_they_are() {
    let Some(things) = Things::new("names").await else {
        return;
    };
    let Some(base) = Things::new("base").await else {
        return;
    };
    let tag = empty_base(&base).await;
    let folder = r#"d $HOME 'q' [a]*?\b"c {{base}}"#;
    let file = format!("{folder}/my $agent's [x] \u{e9} \\n.py");
    let yaml = format!("entrypoint: {}", serde_json::Value::from(file.as_str()));
    let mut project = Project::new(&[&yaml], &[(&file, AGENT)]);
    project.hosts = hosts(&project);
    project.base = Some(tag.parse().unwrap());
    let prepared = project.write().unwrap();
    // Nothing runs in an empty image, so its folders are not made.
    let written = std::fs::read_to_string(prepared.dockerfile()).unwrap();
    let without_run: Vec<&str> = written
        .lines()
        .filter(|it| !it.starts_with("RUN"))
        .collect();
    let copy = super::super::dockerfile::copy(&file, &format!("/copied/{file}"));
    let text = format!("{}\n{copy}\n", without_run.join("\n"));
    std::fs::write(prepared.dockerfile(), text).unwrap();
    let built = build(&things.engine, &prepared, &things.identity, &mut |_| {}).await;
    let built = built.unwrap();
    let image = things.engine.image(&built.id).await.unwrap().unwrap();
    assert_eq!(image.entrypoint[2], file);
    assert_eq!(image.user, "10001:10001");
    assert_eq!(image.ports, ["8080/tcp"]);
    assert_eq!(image.command, [] as [&str; 0]);
    things.remove(&built).await;
    let _ = base.engine.remove_image(&tag).await;
}

#[tokio::test]
async fn a_failed_step_shows_what_was_said_and_is_the_users_to_repair() {
    let Some(things) = Things::new("failed").await else {
        return;
    };
    let text = "FROM scratch\nCOPY gone.py /\n";
    let project = Project::new(
        &["entrypoint: agent.py"],
        &[("agent.py", AGENT), ("Dockerfile", text)],
    );
    let error = CliError::from(things.build(&project).await.unwrap_err());
    assert_eq!(error.kind(), Kind::Other);
    assert!(error.details_text().unwrap().contains("COPY gone.py /"));

    let mut project = Project::new(&["entrypoint: agent.py"], &[("agent.py", AGENT)]);
    project.base = Some("agentcore-test-d.invalid/no/such:1".parse().unwrap());
    project.hosts = hosts(&project);
    let error = CliError::from(things.build(&project).await.unwrap_err());
    assert_eq!(error.kind(), Kind::Engine);
    assert!(
        error
            .hints()
            .iter()
            .any(|it| it.contains("--sandbox process"))
    );
}

#[tokio::test]
async fn a_rust_agent_is_built_for_the_engine_and_stands_alone() {
    let Some(things) = Things::new("rust").await else {
        return;
    };
    let triple = format!("{}-unknown-linux-musl", things.engine.architecture());
    let libraries = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", &triple])
        .output()
        .unwrap();
    let libraries = String::from_utf8(libraries.stdout).unwrap();
    if !std::path::Path::new(libraries.trim()).is_dir() {
        assert!(!Env::from_process().is_ci(), "CI needs the target {triple}");
        return;
    }
    let manifest = "[package]\nname = 'tiny'\nversion = '0.1.0'\nedition = '2024'\n[workspace]\n";
    let files = [("Cargo.toml", manifest), ("src/main.rs", "fn main() {}\n")];
    let project = Project::new(&["entrypoint: Cargo.toml"], &files);
    let built = things.build(&project).await.unwrap();
    let image = things.engine.image(&built.id).await.unwrap().unwrap();
    assert_eq!(image.entrypoint, ["/usr/local/bin/agent"]);
    assert_eq!(&image.architecture, things.engine.architecture());
    things.remove(&built).await;
}
