//! What is written for a project before an engine is asked, and of what projects no image can be made.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use agentcore_docker::Architecture;

use super::super::build::check;
use super::project::{AGENT, Project};
use crate::error::{CliError, Kind};
use crate::services::elf::tests::program;

const PYTHON: &[&str] = &["entrypoint: agent.py"];

fn dockerfile(project: &Project) -> String {
    project.write().unwrap();
    let text = project.read(".agentcore/my_agent/Dockerfile");
    text.replace(PIP, "PIP")
}

const PIP: &str = "PIP_ROOT_USER_ACTION=ignore PIP_BREAK_SYSTEM_PACKAGES=1 python3 -m pip install --no-cache-dir --disable-pip-version-check";

/// The instructions without those that are the same for every Python agent.
fn what_differs(project: &Project) -> String {
    const SAME: [&str; 8] = [
        "#",
        "USER 0:0",
        "WORKDIR",
        "RUN mkdir",
        "COPY .agentcore",
        "ENV",
        "EXPOSE",
        "ENTRYPOINT",
    ];
    let text = dockerfile(project);
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !SAME.iter().any(|it| line.starts_with(it)))
        .collect();
    lines.join("\n")
}

#[test]
fn a_python_agent_without_dependencies() {
    let project = Project::new(PYTHON, &[("agent.py", AGENT)]);
    insta::assert_snapshot!(dockerfile(&project), @r#"
    # The image of the agent `my_agent`. Written by `agentcore launch`; changes made here are lost.
    # By hand, in the folder of the agent's source: docker build -f .agentcore/my_agent/Dockerfile .
    # BuildKit leaves out what `Dockerfile.dockerignore` beside this file lists. The classic builder knows only `.dockerignore`
    # in the source: without one it copies everything, secrets too, and one that lists `.agentcore` needs the exception
    # `!.agentcore/my_agent/agentcore-host`.
    FROM python:3.13-slim
    USER 0:0
    WORKDIR /app
    RUN mkdir -p /home/agent && chown 10001:10001 /app /home/agent
    COPY .agentcore/my_agent/agentcore-host /usr/local/bin/agentcore-host
    ENV DOCKER_CONTAINER=1 AGENTCORE_LISTEN=0.0.0.0:8080 HOME=/home/agent PYTHONUNBUFFERED=1
    EXPOSE 8080
    ENTRYPOINT ["/usr/local/bin/agentcore-host", "serve", "agent.py", "--source-root", "/app", "--engine", "auto", "--python", "python3"]
    USER 10001:10001
    COPY --chown=10001:10001 . /app
    "#);
}

#[test]
fn a_rust_agent() {
    let project = Project::new(
        &["entrypoint: Cargo.toml"],
        &[
            (
                "Cargo.toml",
                "[package]\nname = 'x'\nversion = '0.1.0'\nedition = '2024'\n[workspace]\n",
            ),
            ("src/main.rs", "fn main() {}\n"),
        ],
    );
    insta::assert_snapshot!(dockerfile(&project), @r#"
    # The image of the agent `my_agent`. Written by `agentcore launch`; changes made here are lost.
    # By hand, after `agentcore launch` has put the program here: docker build .agentcore/my_agent
    FROM scratch
    # Certificate authorities, /etc/passwd, and the folders that the agent may write to.
    ADD root.tar /
    ENV DOCKER_CONTAINER=1 AGENTCORE_LISTEN=0.0.0.0:8080 HOME=/home/agent SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
    WORKDIR /app
    USER 10001:10001
    EXPOSE 8080
    ENTRYPOINT ["/usr/local/bin/agent"]
    COPY agent /usr/local/bin/agent
    "#);
    assert!(
        project
            .root()
            .join(".agentcore/my_agent/root.tar")
            .is_file()
    );
}

#[test]
fn what_the_project_decides_is_in_the_dockerfile() {
    let yaml = [
        "entrypoint: src/agent.py:application",
        "python: '3.11'",
        "source: src",
    ];
    let project = Project::new(&yaml, &[("src/agent.py", AGENT)]);
    project.write().unwrap();
    let text = project.read("src/.agentcore/my_agent/Dockerfile");
    assert!(text.contains("\nFROM python:3.11-slim\n"), "{text}");
    assert!(
        text.contains("\"serve\", \"agent.py:application\","),
        "{text}"
    );

    let yaml = [
        "entrypoint: agent.py",
        "image: { base: 'registry.example/base:1' }",
    ];
    let mut project = Project::new(&yaml, &[("agent.py", AGENT)]);
    assert!(dockerfile(&project).contains("\nFROM registry.example/base:1\n"));
    project.base = Some("other:2".parse().unwrap());
    assert!(
        dockerfile(&project).contains("\nFROM other:2\n"),
        "what was typed goes first"
    );
}

#[test]
fn dependencies_come_before_the_source() {
    let project = Project::new(
        PYTHON,
        &[("agent.py", AGENT), ("requirements.txt", "boto3\n")],
    );
    insta::assert_snapshot!(what_differs(&project), @r"
    FROM python:3.13-slim
    COPY --chown=10001:10001 requirements.txt /app/requirements.txt
    RUN PIP -r requirements.txt
    USER 10001:10001
    COPY --chown=10001:10001 . /app
    ");
    let project = Project::new(
        &["entrypoint: agent.py", "dependencies: my deps/all.in"],
        &[
            ("agent.py", AGENT),
            ("my deps/all.in", "-r ../base.txt\n./lib\n"),
            ("base.txt", "boto3\n"),
            ("my deps/lib/pyproject.toml", ""),
        ],
    );
    insta::assert_snapshot!(what_differs(&project), @r#"
    FROM python:3.13-slim
    COPY --chown=10001:10001 base.txt /app/base.txt
    COPY --chown=10001:10001 ["my deps/all.in", "/app/my deps/all.in"]
    COPY --chown=10001:10001 ["my deps/lib", "/app/my deps/lib/"]
    RUN cd './my deps' && PIP -r all.in
    USER 10001:10001
    COPY --chown=10001:10001 . /app
    "#);
    let project = Project::new(
        PYTHON,
        &[("agent.py", AGENT), ("requirements.txt", "boto3\n-e .\n")],
    );
    insta::assert_snapshot!(what_differs(&project), @r"
    FROM python:3.13-slim
    COPY --chown=10001:10001 . /app
    RUN HOME=/root && PIP -r requirements.txt
    USER 10001:10001
    ");
    assert_eq!(
        project.write().unwrap().notes(),
        [
            "`requirements.txt` names the source itself, so every change of it installs the dependencies again."
        ]
    );
}

#[test]
fn a_pyproject_is_installed_from_its_list_and_as_a_package_if_it_is_one() {
    let list = "[project]\nname = 'x'\nversion = '1'\ndependencies = ['boto3>=1', \"y ; python_version < '3.13'\"]\n";
    let project = Project::new(PYTHON, &[("agent.py", AGENT), ("pyproject.toml", list)]);
    insta::assert_snapshot!(what_differs(&project), @r"
    FROM python:3.13-slim
    RUN PIP -- \
        'boto3>=1' \
        'y ; python_version < '\''3.13'\'''
    USER 10001:10001
    COPY --chown=10001:10001 . /app
    ");
    project.put(
        "pyproject.toml",
        &format!("{list}[build-system]\nrequires = ['hatchling']\n"),
    );
    insta::assert_snapshot!(what_differs(&project), @r"
    FROM python:3.13-slim
    RUN PIP -- \
        'boto3>=1' \
        'y ; python_version < '\''3.13'\'''
    COPY --chown=10001:10001 . /app
    RUN HOME=/root && cp -R /app /tmp/source && PIP --no-deps /tmp/source && rm -rf /tmp/source
    USER 10001:10001
    ");
}

#[test]
fn a_changed_project_changes_the_dockerfile_and_an_unchanged_one_does_not_touch_it() {
    let project = Project::new(PYTHON, &[("agent.py", AGENT)]);
    project.write().unwrap();
    let path = project.root().join(".agentcore/my_agent/Dockerfile");
    let written = || fs::metadata(&path).unwrap().modified().unwrap();
    let before = written();
    project.write().unwrap();
    assert_eq!(written(), before);
    project.put("requirements.txt", "boto3\n");
    project.write().unwrap();
    assert_ne!(written(), before);
    assert_eq!(project.read(".agentcore/.gitignore"), "*\n");
}

#[test]
fn the_host_binary_of_this_machine_lies_beside_the_dockerfile_if_there_is_one() {
    let mut project = Project::new(PYTHON, &[("agent.py", AGENT)]);
    let beside = project.root().join(".agentcore/my_agent/agentcore-host");
    project.write().unwrap();
    assert!(
        !beside.exists(),
        "its absence is no error before an engine is asked"
    );
    project.hosts = project.root().join("hosts");
    let machine = if std::env::consts::ARCH == "aarch64" {
        183
    } else {
        62
    };
    let name = format!("agentcore-host-{}", std::env::consts::ARCH);
    fs::create_dir(&project.hosts).unwrap();
    fs::write(project.hosts.join(name), program(machine, false)).unwrap();
    project.write().unwrap();
    assert_eq!(fs::read(&beside).unwrap(), program(machine, false));
    assert_eq!(
        fs::metadata(&beside).unwrap().permissions().mode() & 0o777,
        0o755
    );
    let ignore = project.read(".agentcore/my_agent/Dockerfile.dockerignore");
    assert!(
        ignore.ends_with("\n!.agentcore/my_agent/agentcore-host\n"),
        "{ignore}"
    );
    assert!(ignore.contains("__pycache__"), "{ignore}");
}

#[test]
fn for_the_users_own_dockerfile_nothing_is_written() {
    let own = ("Dockerfile", "FROM x:1\n");
    let project = Project::new(PYTHON, &[("agent.py", AGENT), own]);
    let prepared = project.write().unwrap();
    assert_eq!(prepared.dockerfile(), project.root().join("Dockerfile"));
    assert_eq!(
        prepared.notes(),
        ["The image is built as `Dockerfile` says."]
    );
    assert!(!project.root().join(".agentcore").exists());

    let yaml = [
        "entrypoint: agent.py",
        "image: { base: 'y:1', dockerfile: docker/agent.Dockerfile }",
    ];
    let project = Project::new(
        &yaml,
        &[
            ("agent.py", AGENT),
            own,
            ("docker/agent.Dockerfile", "FROM x:2\n"),
        ],
    );
    let prepared = project.write().unwrap();
    assert_eq!(
        prepared.dockerfile(),
        project.root().join("docker/agent.Dockerfile")
    );
    assert!(prepared.notes()[1].starts_with("`image.base` of the project file has no effect"));
}

#[test]
fn secrets_are_named_and_not_sent() {
    let project = Project::new(PYTHON, &[("agent.py", AGENT), (".env", "TOKEN=hush\n")]);
    let prepared = project.write().unwrap();
    assert_eq!(prepared.left_out_secrets(), [std::path::Path::new(".env")]);
    let ignore = project.read(".agentcore/my_agent/Dockerfile.dockerignore");
    assert!(
        ignore.lines().any(|line| line == ".env" || line == "/.env"),
        "{ignore}"
    );
}

/// A project that is refused: its settings, its files, and what is said of it.
type Refused<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)], &'a str);

#[test]
fn of_some_projects_no_image_can_be_made() {
    let agent = ("agent.py", AGENT);
    let cases: &[Refused<'_>] = &[
        (
            &["entrypoint: a/agent.py", "source: b"],
            &[("a/agent.py", AGENT), ("b/x", "")],
            "the entrypoint `a/agent.py` is outside of the agent's source `b`",
        ),
        (
            &[
                "entrypoint: a/agent.py",
                "source: a",
                "dependencies: requirements.txt",
            ],
            &[("a/agent.py", AGENT), ("requirements.txt", "")],
            "the dependency file `requirements.txt` is outside of the agent's source `a`",
        ),
        (
            &["entrypoint: agent.py", "dependencies: gone.txt"],
            &[agent],
            "there is no dependency file `gone.txt`",
        ),
        (
            &["entrypoint: agent.py", "dependencies: environment.yml"],
            &[agent, ("environment.yml", "")],
            "`environment.yml` is no dependency file that pip reads",
        ),
        (
            &["entrypoint: agent.py"],
            &[agent, ("requirements.txt", "../x\n")],
            "line 1 of `requirements.txt` names `../x`, which is outside of the agent's source",
        ),
        (
            &["entrypoint: agent.py"],
            &[
                agent,
                ("requirements.txt", ""),
                (".dockerignore", "*.txt\n"),
            ],
            "the agent needs `requirements.txt`, and it is not among the files of the image: `.dockerignore` leaves it out",
        ),
        (
            &["entrypoint: agent.py"],
            &[agent, (".dockerignore", "*\n!lib\n")],
            "the agent needs `agent.py`, and it is not among the files of the image: `.dockerignore` leaves it out",
        ),
        (
            &["entrypoint: agent.py", "python: '3.8'"],
            &[agent],
            "the image would have Python 3.8, and an agent needs 3.9 or newer",
        ),
        (
            &["entrypoint: agent.py", "image: { dockerfile: gone }"],
            &[agent],
            "there is no Dockerfile `gone`",
        ),
        (
            &[
                "entrypoint: agent.py",
                "image: { dockerfile: .agentcore/my_agent/Dockerfile }",
            ],
            &[agent],
            "`image.dockerfile` names `.agentcore/my_agent/Dockerfile`, which is in the folder that this program writes",
        ),
    ];
    for (yaml, files, message) in cases {
        let error = Project::new(yaml, files).refusal();
        assert_eq!(error.to_string(), *message);
        assert_eq!(error.kind(), Kind::Configuration, "{message}");
        assert_eq!(error.hints().len(), 1, "{message}");
    }
}

#[test]
fn a_base_image_is_refused_where_it_would_have_no_effect() {
    let rust = [
        (
            "Cargo.toml",
            "[package]\nname = 'x'\nversion = '0.1.0'\nedition = '2024'\n[workspace]\n",
        ),
        ("src/main.rs", "fn main() {}\n"),
    ];
    let mut project = Project::new(&["entrypoint: Cargo.toml"], &rust);
    project.base = Some("x:1".parse().unwrap());
    assert_eq!(project.refusal().kind(), Kind::Usage);
    let project = Project::new(&["entrypoint: Cargo.toml", "image: { base: 'x:1' }"], &rust);
    assert_eq!(project.refusal().kind(), Kind::Configuration);
    let mut project = Project::new(PYTHON, &[("agent.py", AGENT), ("Dockerfile", "FROM x\n")]);
    project.base = Some("x:1".parse().unwrap());
    assert_eq!(
        project.refusal().to_string(),
        "`--base-image` has no effect on an image that `Dockerfile` describes"
    );
}

#[test]
fn a_dependency_file_that_nobody_named_may_be_about_something_else() {
    let project = Project::new(
        &["entrypoint: a/agent.py", "source: a"],
        &[("a/agent.py", AGENT), ("requirements.txt", "boto3\n")],
    );
    let prepared = project.write().unwrap();
    assert_eq!(
        prepared.notes(),
        ["`requirements.txt` is not installed: it is outside of the agent's source `a`."]
    );
    assert!(
        !project
            .read("a/.agentcore/my_agent/Dockerfile")
            .contains("requirements.txt")
    );
}

#[test]
fn an_image_for_another_machine_is_an_engine_error_that_says_what_to_change() {
    let (x86_64, aarch64) = (Architecture::X86_64, Architecture::Aarch64);
    let own = Project::new(PYTHON, &[("agent.py", AGENT), ("Dockerfile", "FROM x\n")]);
    let ours = Project::new(PYTHON, &[("agent.py", AGENT)]);
    for (project, hint) in [
        (own, "leave `--platform` out of its `FROM`"),
        (ours, "run `docker pull python:3.13-slim`"),
    ] {
        let prepared = project.write().unwrap();
        assert!(check(&x86_64, &prepared, &x86_64).is_ok());
        let error = CliError::from(check(&x86_64, &prepared, &aarch64).unwrap_err());
        assert_eq!(
            error.to_string(),
            "the image was built for aarch64, and the Docker engine is x86_64"
        );
        assert_eq!(error.kind(), Kind::Engine);
        assert!(error.hints()[0].starts_with(hint), "{:?}", error.hints());
    }
}
