//! The search for an interpreter, among programs that are made for it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use agentcore_host::{FoundBy, Interpreter, InterpreterError, Search};
use tempfile::TempDir;

use crate::support::real_path;

/// A folder with programs in it.
struct Machine {
    folder: TempDir,
}

impl Machine {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a shell script that can be run.
    fn program(&self, name: &str, script: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    /// Writes a program that answers as Python `version` would.
    fn python(&self, name: &str, version: [u8; 3]) -> PathBuf {
        let path = self.path(name);
        let answer = format!(
            r#"{{"executable": "{}", "version": {version:?}, "sdk": null, "base": null}}"#,
            path.display()
        );
        self.program(
            name,
            &format!("echo 'a site customisation that talks'\necho '{answer}'"),
        )
    }

    fn search(&self) -> Search {
        Search {
            folders: vec![self.path("project/agent"), self.path("project")],
            path: self.path("bin").into_os_string(),
            ..Search::default()
        }
    }
}

#[test]
fn the_nearest_to_the_user_wins() {
    let machine = Machine::new();
    let mut search = machine.search();
    machine.python("bin/python", [3, 10, 0]);
    let found = Interpreter::find(&search).unwrap();
    assert_eq!(
        (found.version, &found.found_by),
        ((3, 10, 0), &FoundBy::Path)
    );

    machine.python("bin/python3", [3, 11, 0]);
    assert_eq!(Interpreter::find(&search).unwrap().version, (3, 11, 0));

    machine.python("project/.venv/bin/python", [3, 12, 0]);
    let found = Interpreter::find(&search).unwrap();
    assert_eq!(
        (found.version, found.found_by),
        ((3, 12, 0), FoundBy::DotVenv(machine.path("project")))
    );

    machine.python("project/agent/.venv/bin/python3", [3, 12, 1]);
    assert_eq!(Interpreter::find(&search).unwrap().version, (3, 12, 1));

    let active = machine.python("active/bin/python", [3, 13, 0]);
    search.virtual_env = Some(machine.path("active"));
    let found = Interpreter::find(&search).unwrap();
    assert_eq!(
        (found.version, found.found_by, found.executable),
        ((3, 13, 0), FoundBy::VirtualEnv, active)
    );

    machine.python("own/python", [3, 9, 0]);
    search.given = Some(machine.path("own/python"));
    let found = Interpreter::find(&search).unwrap();
    assert_eq!((found.version, found.found_by), ((3, 9, 0), FoundBy::Given));
}

#[test]
fn a_given_name_or_folder_is_looked_up() {
    let machine = Machine::new();
    machine.python("bin/python3.14", [3, 14, 0]);
    machine.python("environment/bin/python", [3, 13, 2]);
    let given = |given: &Path| Search {
        given: Some(given.to_owned()),
        ..machine.search()
    };
    assert_eq!(
        Interpreter::find(&given(Path::new("python3.14")))
            .unwrap()
            .version,
        (3, 14, 0)
    );
    assert_eq!(
        Interpreter::find(&given(&machine.path("environment")))
            .unwrap()
            .version,
        (3, 13, 2)
    );

    let error = Interpreter::find(&given(Path::new("python2.2"))).unwrap_err();
    assert_eq!(
        error.to_string(),
        "no Python interpreter was found (tried `python2.2` on PATH)"
    );
    let error = Interpreter::find(&given(&machine.path("nothing/here"))).unwrap_err();
    assert!(matches!(error, InterpreterError::Missing { .. }), "{error}");
}

#[test]
fn none_at_all_names_what_was_tried() {
    let machine = Machine::new();
    let error = Interpreter::find(&machine.search()).unwrap_err();
    let expected = format!(
        "no Python interpreter was found (tried `{}`, `{}`, `python3` and `python` on PATH)",
        machine.path("project/agent/.venv").display(),
        machine.path("project/.venv").display(),
    );
    assert_eq!(error.to_string(), expected);
}

#[test]
fn one_that_is_too_old_says_so_unless_another_will_do() {
    let machine = Machine::new();
    let old = machine.python("bin/python3", [3, 8, 10]);
    let error = Interpreter::find(&machine.search()).unwrap_err();
    let expected = format!(
        "`{}` is Python 3.8, and an agent needs Python 3.9 or newer",
        old.display()
    );
    assert_eq!(error.to_string(), expected);

    machine.python("bin/python", [3, 9, 1]);
    assert_eq!(
        Interpreter::find(&machine.search()).unwrap().version,
        (3, 9, 1)
    );
}

#[test]
fn one_that_does_not_work_gives_its_own_words() {
    let machine = Machine::new();
    let broken = machine.program(
        "bin/python3",
        "echo 'shim: version 3.99 is not installed' >&2; exit 127",
    );
    let error = Interpreter::find(&machine.search()).unwrap_err();
    let expected = format!(
        "`{}` does not work as a Python interpreter: shim: version 3.99 is not installed",
        broken.display()
    );
    assert_eq!(error.to_string(), expected);
    assert!(!error.hint().is_empty());

    machine.python("bin/python", [3, 12, 0]);
    assert_eq!(
        Interpreter::find(&machine.search()).unwrap().version,
        (3, 12, 0)
    );
}

#[test]
fn an_active_environment_without_python_is_an_error_and_no_fallback() {
    let machine = Machine::new();
    machine.python("bin/python3", [3, 12, 0]);
    let search = Search {
        virtual_env: Some(machine.path("gone")),
        ..machine.search()
    };
    let error = Interpreter::find(&search).unwrap_err();
    let expected = format!(
        "the active virtual environment (`VIRTUAL_ENV`) has no Python interpreter: `{}` does not exist",
        machine.path("gone/bin/python").display()
    );
    assert_eq!(error.to_string(), expected);
}

#[test]
fn a_launcher_shim_is_followed_where_the_project_is() {
    let machine = Machine::new();
    fs::create_dir_all(machine.path("project/agent")).unwrap();
    fs::write(machine.path("project/agent/.python-version"), "3.x").unwrap();
    // Chooses by the working folder, as pyenv's do.
    machine.program(
        "bin/python3",
        "test -f .python-version || exit 1\nexec python3 \"$@\"",
    );
    let mut path = machine.search().path;
    path.push(":");
    path.push(real_path());
    // The shim itself must not be found by its own `exec`.
    machine.program(
        "bin/python3",
        "test -f .python-version || exit 1\nPATH=${PATH#*:}\nexec python3 \"$@\"",
    );
    let found = Interpreter::find(&Search {
        path,
        ..machine.search()
    })
    .unwrap();
    assert!(
        !found.executable.starts_with(machine.folder.path()),
        "{}",
        found.executable.display()
    );
    assert!(found.version >= (3, 9, 0));
}

#[test]
fn the_official_sdk_is_seen_where_it_is_installed_and_not_where_it_is_only_a_folder() {
    let machine = Machine::new();
    let search = Search {
        path: real_path(),
        ..machine.search()
    };
    let python = Interpreter::find(&search).unwrap().executable;
    let made = std::process::Command::new(&python)
        .args(["-m", "venv", "--without-pip"])
        .arg(machine.path("project/.venv"))
        .status();
    assert!(made.unwrap().success(), "a virtual environment can be made");
    fs::create_dir_all(machine.path("project/agent/bedrock_agentcore")).unwrap();
    fs::write(
        machine.path("project/agent/bedrock_agentcore/__init__.py"),
        "",
    )
    .unwrap();
    let found = Interpreter::find(&search).unwrap();
    assert_eq!(found.found_by, FoundBy::DotVenv(machine.path("project")));
    assert_eq!(found.executable, machine.path("project/.venv/bin/python"));
    assert_eq!(found.official_sdk, None);

    let version = || Interpreter::find(&search).unwrap().official_sdk;
    let site = site_packages(&machine.path("project/.venv"));
    let write = |path: &str, text: &str| {
        fs::create_dir_all(site.join(path).parent().unwrap()).unwrap();
        fs::write(site.join(path), text).unwrap();
    };
    write("bedrock_agentcore/__init__.py", "");
    assert_eq!(version(), None, "nobody has installed it");
    write(
        "bedrock_agentcore_starter_toolkit-9.dist-info/METADATA",
        &metadata("9"),
    );
    assert_eq!(version(), None, "another distribution");
    // As an installer does; the file counts, not its folder.
    let folder = "bedrock_agentcore-1.dist-info";
    write(&format!("{folder}/METADATA"), &metadata("1.25.0"));
    assert_eq!(version().as_deref(), Some("1.25.0"));

    // An editable installation is somewhere else, and has a finder of its own or a line in a file.
    let elsewhere = machine.path("elsewhere");
    fs::create_dir_all(&elsewhere).unwrap();
    fs::rename(
        site.join("bedrock_agentcore"),
        elsewhere.join("bedrock_agentcore"),
    )
    .unwrap();
    assert_eq!(version(), None, "there is nothing to import");
    write("editable.pth", elsewhere.to_str().unwrap());
    assert_eq!(version().as_deref(), Some("1.25.0"));

    // As installers of other times did.
    fs::remove_dir_all(site.join(folder)).unwrap();
    write("bedrock_agentcore-1.2.egg-info/PKG-INFO", &metadata("1.2"));
    assert_eq!(version().as_deref(), Some("1.2"));
    // What an interrupted update leaves.
    write("bedrock_agentcore-1.3.dist-info/METADATA", &metadata("1.3"));
    assert!(version().is_some_and(|version| ["1.2", "1.3"].contains(&version.as_str())));
}

fn site_packages(environment: &Path) -> PathBuf {
    let lib = fs::read_dir(environment.join("lib"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    lib.join("site-packages")
}

fn metadata(version: &str) -> String {
    format!("Metadata-Version: 2.1\nName: bedrock-agentcore\nVersion: {version}\n\nVersion: none\n")
}
