//! The commands with real containers, on the engine of this machine.
//!
//! Where no engine answers, these tests say that they are not run; where `CI` is set, they fail.

mod agents;
mod cleanup;
mod deaths;
mod engine;
mod environment;
mod hints;
mod images;
mod isolation;
mod outages;
mod private;
mod rust;
mod same_answers;
mod sandboxes;

use std::fs::{self, File};
use std::ops::Deref;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use self::engine::{Engine, base_image, engine, not_run, variable};
use crate::live::{Finished, Project};

/// A project whose agents run in containers. What the engine has of it goes away with it.
pub(crate) struct Contained {
    project: Project,
    engine: &'static Engine,
    alive: Alive,
}

impl Contained {
    /// An empty project; none if there is no engine or no host binary, which in CI is a failure.
    pub(crate) fn new() -> Option<Self> {
        let engine = engine()?;
        let folder = host_dir()?;
        let project = Project::new()
            .with_variable("DOCKER_HOST", &engine.host())
            .with_variable("AGENTCORE_HOST_DIR", folder.to_str().unwrap());
        Some(Self {
            project,
            engine,
            alive: Alive::begin(),
        })
    }

    /// A project with the Python agent `my_agent`, whose file `agent.py` is `code`, on the base image of the tests.
    pub(crate) fn python(code: &str) -> Option<Self> {
        Self::python_with(code, &[])
    }

    /// The same, with more arguments of `configure`.
    pub(crate) fn python_with(code: &str, args: &[&str]) -> Option<Self> {
        let contained = Self::new()?;
        contained.write("agent.py", code);
        let configure = ["--entrypoint", "agent.py", "--name", "my_agent"];
        let base = ["--base-image", base_image()];
        contained.configure(&[&configure[..], &base, args].concat());
        Some(contained)
    }

    /// A project with the Dockerfile `dockerfile` for its agent `agent.py`. `[BASE]` stands for the base image.
    pub(crate) fn own_dockerfile(dockerfile: &str, code: &str) -> Option<Self> {
        let contained = Self::new()?;
        contained.write("agent.py", code);
        contained.write("Dockerfile", &dockerfile.replace("[BASE]", base_image()));
        contained.configure(&["--entrypoint", "agent.py", "--name", "my_agent"]);
        Some(contained)
    }

    /// Adds a variable to the environment of every command.
    pub(crate) fn with_variable(self, name: &str, value: &str) -> Self {
        // The parts of what has a `Drop` cannot be moved out; an empty project takes its place for a moment.
        let mut this = self;
        let project = std::mem::replace(&mut this.project, Project::new());
        this.project = project.with_variable(name, value);
        this
    }

    /// The engine.
    pub(crate) fn engine(&self) -> &'static Engine {
        self.engine
    }

    /// Launches the default agent in containers, in the background, and returns the report.
    pub(crate) fn launch(&self, args: &[&str]) -> Value {
        self.project
            .launch(&[&["--sandbox", "docker"], args].concat())
    }

    /// The same without saying how sessions are kept apart: an engine answers, so it is containers.
    pub(crate) fn launch_auto(&self, args: &[&str]) -> Value {
        let report = self.project.launch(args);
        assert_eq!(report["sandbox"]["kind"], "docker", "{report}");
        report
    }

    /// Launches in containers, which fails, and returns what was said.
    pub(crate) fn launch_fails(&self, args: &[&str], code: i32) -> Finished {
        let launch = ["launch", "--local", "--detach", "--port", "0"];
        let sandbox = ["--sandbox", "docker"];
        let finished = self.run(&[&launch[..], &sandbox, args].concat());
        assert_eq!(finished.expect_code(code), "");
        finished
    }

    /// Invokes the agent in a session and returns its answer, which must be JSON.
    pub(crate) fn ask(&self, session: &str, payload: &Value) -> Value {
        let payload = payload.to_string();
        let finished = self.run(&["invoke", &payload, "--session-id", session]);
        serde_json::from_str(finished.expect_code(0)).unwrap()
    }

    /// Lets an agent of [`agents::OBEDIENT`] run a script in a session, and returns its `result`.
    pub(crate) fn script(&self, session: &str, script: &str) -> Value {
        self.ask(session, &json!({ "run": script }))["result"].take()
    }

    /// What the engine has of this project.
    pub(crate) fn containers(&self) -> Vec<Value> {
        self.engine.containers(&format!("{LABEL}={}", self.label()))
    }

    /// The one container of a session that was typed in short, with everything that the engine knows of it.
    pub(crate) fn container(&self, session: &str) -> Value {
        let status = self.status();
        let of_it = format!("{session}-");
        let mut sandboxes = status["sandboxes"].as_array().unwrap().iter();
        let sandbox = sandboxes.find(|it| {
            let id = it["session"].as_str().unwrap_or_default();
            id == session || id.starts_with(&of_it)
        });
        let sandbox = sandbox.unwrap_or_else(|| panic!("no session {session} in {status}"));
        let containers = self.containers();
        let found = containers.iter().find(|it| {
            let labels = &it["Labels"];
            labels["agentcore.instance"] == status["instance"]
                && labels["agentcore.sandbox"] == sandbox["id"]
        });
        let found = found.unwrap_or_else(|| panic!("no container of {sandbox} in {containers:?}"));
        self.engine.container(found["Id"].as_str().unwrap())
    }

    /// How many sandboxes are ready for a session to come.
    pub(crate) fn spares(&self) -> usize {
        let status = self.status();
        let sandboxes = status["sandboxes"].as_array().unwrap().iter();
        sandboxes
            .filter(|it| it["session"].is_null() && it["state"] == "ready")
            .count()
    }

    /// The images of this project's agents.
    pub(crate) fn images(&self) -> Vec<Value> {
        self.engine.images(&format!("{LABEL}={}", self.label()))
    }

    /// The networks of this project.
    pub(crate) fn networks(&self) -> Vec<Value> {
        self.engine.networks(&format!("{LABEL}={}", self.label()))
    }

    /// Checks that nothing runs any more, and that no network is left.
    #[track_caller]
    pub(crate) fn left_nothing(&self) {
        assert_eq!(self.containers(), [] as [Value; 0]);
        assert_eq!(self.networks(), [] as [Value; 0]);
    }

    fn label(&self) -> String {
        self.path().display().to_string()
    }
}

/// What the engine's things of a project are labelled with; the value is the project's folder.
const LABEL: &str = "agentcore.project";

impl Deref for Contained {
    type Target = Project;

    fn deref(&self) -> &Project {
        &self.project
    }
}

impl Drop for Contained {
    fn drop(&mut self) {
        // A test that has failed leaves nothing behind either.
        let _ = self.command(&["stop", "--local", "--all"]).output();
        for container in self.containers() {
            let id = container["Id"].as_str().unwrap_or_default();
            self.engine.remove(&format!("/containers/{id}?force=1&v=1"));
        }
        for network in self.networks() {
            let id = network["Id"].as_str().unwrap_or_default();
            self.engine.remove(&format!("/networks/{id}"));
        }
        self.alive.last_one_out(|| self.remove_images());
    }
}

impl Contained {
    /// Removes the images of this project, and of those whose test has ended before.
    fn remove_images(&self) {
        let tests = fs::canonicalize(std::env::temp_dir()).unwrap_or_default();
        for image in self.engine.images(LABEL) {
            let project = image["Labels"][LABEL].as_str().unwrap_or_default();
            let is_over = Path::new(project).starts_with(&tests) && !Path::new(project).exists();
            if is_over || project == self.label() {
                let id = image["Id"].as_str().unwrap_or_default();
                self.engine.remove(&format!("/images/{id}?force=1"));
            }
        }
    }
}

/// Held by each test with containers, in whatever process it runs.
///
/// The classic builder takes cached steps that somebody else removes in the same moment, and fails; so tests remove images
/// only when no other test builds.
struct Alive(File);

impl Alive {
    fn begin() -> Self {
        let name = format!("agentcore-test-{}.lock", rustix::process::getuid().as_raw());
        let file = File::create(std::env::temp_dir().join(name)).unwrap();
        file.lock_shared().unwrap();
        Self(file)
    }

    /// Does what only the last one may do, if this is the last one.
    fn last_one_out(&self, work: impl FnOnce()) {
        if self.0.unlock().is_ok() && self.0.try_lock().is_ok() {
            work();
        }
    }
}

/// The folder of the static host binaries, as `cargo xtask hosts` makes them.
fn host_dir() -> Option<PathBuf> {
    let told = variable("AGENTCORE_TEST_HOST_DIR").map(PathBuf::from);
    // Where cargo builds, whatever a person has set.
    let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let folder = told.unwrap_or_else(|| target.with_file_name("release"));
    let name = format!("agentcore-host-{}", std::env::consts::ARCH);
    if fs::metadata(folder.join(&name)).is_ok() {
        return Some(folder);
    }
    not_run(&format!(
        "there is no `{name}` in {}; make it with `cargo xtask hosts`",
        folder.display()
    ));
    None
}
