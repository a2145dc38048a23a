//! `agentcore configure` for Rust agents: packages, workspaces and their binaries.

use crate::support::Home;

const PACKAGE: &str = "[package]\nname = \"hello-rust\"\nversion = \"0.1.0\"\nedition = \"2021\"\n";
const MAIN: &str = "fn main() {}\n";

/// A package with one binary, and one with two.
fn home() -> Home {
    Home::new()
        .file("one/Cargo.toml", PACKAGE)
        .file("one/src/main.rs", MAIN)
        .file("two/Cargo.toml", &PACKAGE.replace("hello-rust", "two"))
        .file("two/src/bin/alpha.rs", MAIN)
        .file("two/src/bin/beta.rs", MAIN)
        .file("two/src/lib.rs", "")
}

#[test]
fn a_package_is_found_by_folder_manifest_and_source_file() {
    let home = home();
    insta::assert_snapshot!(home.run(&["configure", "-e", "one"]), @"
    ----- stdout -----
    Added agent `hello_rust` to .agentcore.yaml (its name is inferred; `--name` gives another)
      entrypoint    one/Cargo.toml (rust)
      protocol      HTTP (default)
      authorizer    IAM (default)
      idle timeout  900 s (default)
      max lifetime  28800 s (default)
    `hello_rust` is the default agent: commands without `--agent` mean it
    ----- stderr -----
    hint: run it on this machine with `agentcore launch --local`
    ----- exit 0 -----
    ");
    for (name, path) in [
        ("manifest", "one/Cargo.toml"),
        ("source", "one/src/main.rs"),
        ("folder", "./one/"),
    ] {
        let output = home.run(&["configure", "-e", path, "-n", name]);
        assert_eq!(output.code, Some(0), "{output}");
    }
    home.run_in("one", &["configure", "-e", "."]);
    insta::assert_snapshot!(home.read(".agentcore.yaml"), @"
    version: 1
    default_agent: folder
    agents:
      hello_rust:
        entrypoint: one/Cargo.toml
      manifest:
        entrypoint: one/Cargo.toml
      source:
        entrypoint: one/src/main.rs
      folder:
        entrypoint: one/Cargo.toml
    ");
    insta::assert_snapshot!(home.read("one/.agentcore.yaml"), @"
    version: 1
    default_agent: hello_rust
    agents:
      hello_rust:
        entrypoint: Cargo.toml
    ");
}

#[test]
fn of_several_binaries_one_is_chosen() {
    let home = home();
    insta::assert_snapshot!(home.run(&["configure", "-e", "two"]), @"
    ----- stderr -----
    error: the Rust package of `two` has several binaries: alpha, beta
    hint: choose one with `--bin`, for example `--bin alpha`
    ----- exit 2 -----
    ");
    insta::assert_snapshot!(home.run(&["configure", "-e", "two", "--bin", "beta"]), @"
    ----- stdout -----
    Added agent `beta` to .agentcore.yaml (its name is inferred; `--name` gives another)
      entrypoint    two/Cargo.toml (rust)
      binary        beta
      protocol      HTTP (default)
      authorizer    IAM (default)
      idle timeout  900 s (default)
      max lifetime  28800 s (default)
    `beta` is the default agent: commands without `--agent` mean it
    ----- stderr -----
    hint: run it on this machine with `agentcore launch --local`
    ----- exit 0 -----
    ");
    home.run(&["configure", "-e", "two", "--bin", "alpha"]);
    insta::assert_snapshot!(home.read(".agentcore.yaml"), @"
    version: 1
    default_agent: alpha
    agents:
      beta:
        entrypoint: two/Cargo.toml
        bin: beta
      alpha:
        entrypoint: two/Cargo.toml
        bin: alpha
    ");
    // The binary of an agent that is there already.
    home.run(&["configure", "-n", "beta", "--bin", "alpha"]);
    assert_eq!(
        home.read(".agentcore.yaml").matches("bin: alpha").count(),
        2
    );
}

#[test]
fn the_default_binary_of_a_package_is_taken() {
    let home = home();
    home.write(
        "two/Cargo.toml",
        &format!(
            "{}default-run = \"beta\"\n",
            PACKAGE.replace("hello-rust", "two")
        ),
    );
    let output = home.run(&["configure", "-e", "two", "--output", "json"]);
    assert_eq!(output.json()["config"]["bin"], "beta", "{output}");
}

#[test]
fn a_member_of_a_workspace_is_found_from_its_root() {
    let home = home().file(
        "Cargo.toml",
        "[workspace]\nmembers = [\"one\"]\nexclude = [\"two\"]\nresolver = \"3\"\n",
    );
    let output = home.run(&["configure", "-e", ".", "--output", "json"]);
    assert_eq!(output.json()["agent"], "hello_rust", "{output}");
    home.write(
        "Cargo.toml",
        "[workspace]\nmembers = [\"one\", \"two\"]\nresolver = \"3\"\n",
    );
    insta::assert_snapshot!(home.run(&["configure", "-e", ".", "-n", "other"]), @"
    ----- stderr -----
    error: the Rust package of `.` has several binaries: hello-rust, alpha, beta
    hint: choose one with `--bin`, for example `--bin hello-rust`
    ----- exit 2 -----
    ");
}

#[test]
fn what_is_no_rust_agent_is_said() {
    let home = home()
        .file("lib/Cargo.toml", &PACKAGE.replace("hello-rust", "lib"))
        .file("lib/src/lib.rs", "")
        .file("broken/Cargo.toml", "[package\n")
        .file("lone.rs", MAIN)
        .file("both/Cargo.toml", &PACKAGE.replace("hello-rust", "both"))
        .file("both/src/main.rs", MAIN)
        .file("both/agent.py", "");
    let said = home.refusals(
        "
        configure -e lib
        configure -e broken
        configure -e lone.rs
        configure -e two/src/lib.rs
        configure -e two --bin gamma
        configure -e both
        configure -e one --language python
        configure -e one --engine sdk
        configure -e one --requirements-file one/Cargo.toml
        ",
    );
    assert!(!home.has(".agentcore.yaml"));
    insta::assert_snapshot!(said, @"
    $ configure -e lib
    error: the Rust package of `lib` has no binary
    hint: add a `src/main.rs` that starts the agent
    $ configure -e broken
    error: unclosed table, expected `]`
     --> Cargo.toml:1:9
      |
    1 | [package
      |         ^
    error: cargo cannot read the package of `broken`
    hint: correct its `Cargo.toml`
    $ configure -e lone.rs
    error: `lone.rs` belongs to no Rust package
    hint: there is no `Cargo.toml` in its folder or above it; make one with `cargo init`
    $ configure -e two/src/lib.rs
    error: `two/src/lib.rs` is not the source file of a binary
    hint: name one of the package's binaries with `--bin`: alpha, beta
    $ configure -e two --bin gamma
    error: the Rust package of `two` has no binary `gamma`
    hint: it has alpha, beta
    $ configure -e both
    error: `both` holds a Rust package and agent.py
    hint: give the file, or decide with `--language`
    $ configure -e one --language python
    error: `one` holds no agent that is known by its name
    hint: give the file; a folder is searched for agent.py, app.py, main.py, __main__.py, Cargo.toml
    $ configure -e one --engine sdk
    error: a Rust agent serves itself
    hint: leave out `--engine`
    $ configure -e one --requirements-file one/Cargo.toml
    error: a Rust agent has its dependencies in its `Cargo.toml`
    hint: leave out `--requirements-file`
    ");
}

#[test]
fn without_cargo_it_is_said() {
    let home = home().env("PATH", "/nonexistent");
    insta::assert_snapshot!(home.run(&["configure", "-e", "one"]), @"
    ----- stderr -----
    error: `one` is a Rust package, and there is no `cargo`
    hint: install Rust from https://rustup.rs and make sure that `cargo` is in the PATH
    ----- exit 1 -----
    ");
}

#[test]
fn keys_of_the_other_language_go_when_the_agent_moves() {
    let home = home().file("both/agent.py", "");
    home.run(&[
        "configure",
        "-e",
        "both/agent.py",
        "-n",
        "a",
        "--engine",
        "native",
        "--language",
        "python",
    ]);
    home.run(&["configure", "-e", "two", "--bin", "beta", "-n", "a"]);
    insta::assert_snapshot!(home.read(".agentcore.yaml"), @"
    version: 1
    default_agent: a
    agents:
      a:
        entrypoint: two/Cargo.toml
        language: rust
        bin: beta
    ");
}
