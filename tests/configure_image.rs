//! `agentcore configure` and how the agent's image is built.

use crate::support::Home;

fn home() -> Home {
    Home::new()
        .file("agent.py", "")
        .file("Dockerfile", "FROM scratch\n")
        .file(
            "one/Cargo.toml",
            "[package]\nname = \"one\"\nversion = \"0.1.0\"\nedition = \"2021\"\n",
        )
        .file("one/src/main.rs", "fn main() {}\n")
}

#[test]
fn the_image_has_its_keys() {
    let home = home();
    insta::assert_snapshot!(home.sh("configure -e agent.py -n a --python-version 3.12 --base-image registry.example:5000/team/python:3.12"), @"
    ----- stdout -----
    Added agent `a` to .agentcore.yaml
      entrypoint    agent.py (python)
      python        3.12
      protocol      HTTP (default)
      authorizer    IAM (default)
      idle timeout  900 s (default)
      max lifetime  28800 s (default)
      base image    registry.example:5000/team/python:3.12
    `a` is the default agent: commands without `--agent` mean it
    ----- stderr -----
    hint: run it on this machine with `agentcore launch --local`
    ----- exit 0 -----
    ");
    insta::assert_snapshot!(home.read(".agentcore.yaml"), @r#"
    version: 1
    default_agent: a
    agents:
      a:
        entrypoint: agent.py
        python: "3.12"
        image:
          base: registry.example:5000/team/python:3.12
    "#);
    // An own Dockerfile names its base itself.
    insta::assert_snapshot!(home.sh("configure --dockerfile ./Dockerfile"), @"
    ----- stdout -----
    Changed agent `a` in .agentcore.yaml
      entrypoint    agent.py (python)
      python        3.12
      protocol      HTTP (default)
      authorizer    IAM (default)
      idle timeout  900 s (default)
      max lifetime  28800 s (default)
      dockerfile    Dockerfile
    `a` is the default agent: commands without `--agent` mean it
    ----- exit 0 -----
    ");
    insta::assert_snapshot!(home.read(".agentcore.yaml"), @r#"
    version: 1
    default_agent: a
    agents:
      a:
        entrypoint: agent.py
        python: "3.12"
        image:
          dockerfile: Dockerfile
    "#);
    home.sh("configure --base-image python:3.13-slim");
    let file = home.read(".agentcore.yaml");
    assert!(
        file.contains("base: python:3.13-slim") && !file.contains("dockerfile"),
        "{file}"
    );
}

#[test]
fn a_wrong_image_is_refused() {
    let home = home().file("folder/.keep", "");
    let said = home.refusals(
        "
        configure -e agent.py --base-image 'python 3'
        configure -e agent.py --base-image Python:3.12
        configure -e agent.py --base-image https://registry.example/python
        configure -e agent.py --base-image ''
        configure -e agent.py --python-version 2.7
        configure -e agent.py --python-version 3.12.1
        configure -e agent.py --dockerfile no
        configure -e agent.py --dockerfile folder
        configure -e agent.py --dockerfile /etc/hostname
        configure -e agent.py --dockerfile Dockerfile --base-image python:3.12
        configure -e one --base-image python:3.12
        configure -e one --python-version 3.12
        ",
    );
    assert!(!home.has(".agentcore.yaml"));
    insta::assert_snapshot!(said, @r#"
    $ configure -e agent.py --base-image 'python 3'
    error: `--base-image`: `python 3` is not the name of an image
    hint: write it as in `python:3.12-slim` or `registry.example/team/base:1.0`
    $ configure -e agent.py --base-image Python:3.12
    error: `--base-image`: `Python:3.12` is not the name of an image
    hint: the name is written in lower case, as in `python:3.12`
    $ configure -e agent.py --base-image https://registry.example/python
    error: `--base-image`: `https://registry.example/python` is not the name of an image
    hint: leave out the scheme, as in `registry.example/python`
    $ configure -e agent.py --base-image ''
    error: `--base-image`: the name of the image is empty
    hint: write it as in `python:3.12-slim` or `registry.example/team/base:1.0`
    $ configure -e agent.py --python-version 2.7
    error: `--python-version`: `2.7` is not a version of Python 3
    hint: write it as in `"3.12"`
    $ configure -e agent.py --python-version 3.12.1
    error: `--python-version`: `3.12.1` is not a version of Python 3
    hint: write it as in `"3.12"`
    $ configure -e agent.py --dockerfile no
    error: there is no file `no`
    hint: leave out `--dockerfile`, and the agent's Dockerfile is written for it
    $ configure -e agent.py --dockerfile folder
    error: `folder` is not a file
    hint: give the Dockerfile itself, as in `--dockerfile Dockerfile`
    $ configure -e agent.py --dockerfile /etc/hostname
    error: `/etc/hostname` is outside of the project's folder
    hint: move it below `[PROJECT]`, or configure the agent in a folder above both
    $ configure -e agent.py --dockerfile Dockerfile --base-image python:3.12
    error: the argument `--dockerfile <PATH>` cannot be used with `--base-image <IMAGE>`
    hint: see `agentcore configure --help`
    $ configure -e one --base-image python:3.12
    error: `--base-image` is for Python agents, and this one is written in Rust
    hint: leave out `--base-image`
    $ configure -e one --python-version 3.12
    error: `--python-version` is for Python agents, and this one is written in Rust
    hint: leave out `--python-version`
    "#);
    home.write(
        ".agentcore.yaml",
        "version: 1\nagents: {a: {entrypoint: agent.py, image: {base: \"python 3\"}}}\n",
    );
    insta::assert_snapshot!(home.sh("status"), @"
    ----- stderr -----
    error: .agentcore.yaml:2:50: `python 3` is not the name of an image
    hint: write it as in `python:3.12-slim` or `registry.example/team/base:1.0`
    ----- exit 3 -----
    ");
}

#[test]
fn a_rust_agent_may_have_its_own_dockerfile() {
    let home = home();
    home.sh("configure -e agent.py -n a --base-image python:3.12 --python-version 3.12");
    home.sh("configure -e one -n a");
    home.sh("configure -e one -n b --dockerfile Dockerfile");
    insta::assert_snapshot!(home.read(".agentcore.yaml"), @"
    version: 1
    default_agent: b
    agents:
      a:
        entrypoint: one/Cargo.toml
      b:
        entrypoint: one/Cargo.toml
        image:
          dockerfile: Dockerfile
    ");
}
