//! What `agentcore configure` refuses: one sentence, a hint, class 2, and nothing written.

use crate::support::Home;

fn home() -> Home {
    Home::new().file("my_agent.py", "")
}

#[test]
fn a_wrong_entrypoint_is_refused() {
    let home = home()
        .file("two/agent.py", "")
        .file("two/main.py", "")
        .file("empty/readme.md", "");
    let said = home.refusals(
        "
        configure
        configure -n a
        configure -e no.py
        configure -e two
        configure -e empty
        configure -e empty/readme.md
        configure -e my_agent.py:1app
        configure -e my_agent.py --language java
        configure -e my_agent.py --language rust
        configure -e my_agent.py --bin x
        ",
    );
    assert!(!home.has(".agentcore.yaml"));
    insta::assert_snapshot!(said, @"
    $ configure
    error: `--entrypoint` is missing
    hint: give the agent's file, as in `--entrypoint agent.py`; `--entrypoint .` looks in this folder
    $ configure -n a
    error: `--entrypoint` is missing: there is no agent `a` here yet
    hint: give the agent's file, as in `--entrypoint agent.py`; `--entrypoint .` looks in this folder
    $ configure -e no.py
    error: there is no `no.py`
    hint: check the path; it is relative to the folder in which the command runs
    $ configure -e two
    error: `two` holds more than one agent: agent.py, main.py
    hint: give the file, for example `two/agent.py`
    $ configure -e empty
    error: `empty` holds no agent that is known by its name
    hint: give the file; a folder is searched for agent.py, app.py, main.py, __main__.py, Cargo.toml
    $ configure -e empty/readme.md
    error: `empty/readme.md` is neither a Python file nor part of a Rust package
    hint: give a `.py` file, a folder, a `Cargo.toml` or the source file of a Rust binary
    $ configure -e my_agent.py:1app
    error: `1app` in `my_agent.py:1app` is not a Python name
    hint: name the app's variable after the colon, as in `agent.py:app`
    $ configure -e my_agent.py --language java
    error: `--language`: `java` is not a language that is known here
    hint: use one of python, rust
    $ configure -e my_agent.py --language rust
    error: `my_agent.py` is not Rust
    hint: leave out `--language`
    $ configure -e my_agent.py --bin x
    error: `my_agent.py` is a Python agent, which has no binaries
    hint: leave out `--bin`
    ");
}

#[test]
fn a_wrong_name_or_path_is_refused() {
    let home = home().file("two/agent.py", "");
    let said = home.refusals(
        "
        configure -e my_agent.py -n '1st agent'
        configure -e my_agent.py -n ''
        configure -e my_agent.py --requirements-file no.txt
        configure -e my_agent.py --requirements-file my_agent.py
        configure -e my_agent.py --source two
        configure -e my_agent.py --source no
        configure -e my_agent.py --source ..
        ",
    );
    assert!(!home.has(".agentcore.yaml"));
    insta::assert_snapshot!(said, @"
    $ configure -e my_agent.py -n '1st agent'
    error: `1st agent` is not an agent name
    hint: use 1 to 48 letters, digits and underscores, a letter first, for example `agent_1st_agent`
    $ configure -e my_agent.py -n ''
    error: the agent's name is empty
    hint: use 1 to 48 letters, digits and underscores, a letter first
    $ configure -e my_agent.py --requirements-file no.txt
    error: there is no file `no.txt`
    hint: give the file that lists the dependencies, for example `requirements.txt`
    $ configure -e my_agent.py --requirements-file my_agent.py
    error: `my_agent.py` is not a dependency file that pip reads
    hint: give a `.txt` or `.in` file, or `pyproject.toml`
    $ configure -e my_agent.py --source two
    error: `my_agent.py` is outside of the source folder `two`
    hint: give a folder that holds the entrypoint with `--source`
    $ configure -e my_agent.py --source no
    error: there is no folder `no`
    hint: check the path
    $ configure -e my_agent.py --source ..
    error: `..` is outside of the project's folder
    hint: move it below `[PROJECT]`, or configure the agent in a folder above both
    ");
}

#[test]
fn an_entrypoint_outside_of_the_project_is_refused() {
    let home = home().file("sub/.keep", "");
    insta::assert_snapshot!(home.run_in("sub", &["configure", "-e", "../my_agent.py"]), @"
    ----- stderr -----
    error: `../my_agent.py` is outside of the project's folder
    hint: move it below `[PROJECT]/sub`, or configure the agent in a folder above both
    ----- exit 2 -----
    ");
}

#[test]
fn a_wrong_authorizer_or_header_is_refused() {
    let home = home().file("auth.json", "{,}");
    let said = home.refusals(
        r#"
        configure -e my_agent.py --authorizer-config {
        configure -e my_agent.py --authorizer-config @auth.json
        configure -e my_agent.py --authorizer-config @no.json
        configure -e my_agent.py --authorizer-config '{"customJwtAuthorizer": {}}'
        configure -e my_agent.py --authorizer-config '{"customJWTAuthorizer": {"discoveryUrl": "https://idp"}}'
        configure -e my_agent.py --authorizer-config '{"discoveryUrl": "https://idp/.well-known/openid-configuration"}'
        configure -e my_agent.py --request-header-allowlist ''
        configure -e my_agent.py --request-header-allowlist X-Amzn-Bedrock-AgentCore-Runtime-Custom-*
        configure -e my_agent.py --request-header-allowlist X-Team,Host
        configure -e my_agent.py --request-header-allowlist X-Team,x-team
        "#,
    );
    assert!(!home.has(".agentcore.yaml"));
    insta::assert_snapshot!(said, @r#"
    $ configure -e my_agent.py --authorizer-config {
    error: `--authorizer-config` is not JSON: EOF while parsing an object at line 1 column 1
    hint: give the API's JSON, `@FILE` with it, or `iam`
    $ configure -e my_agent.py --authorizer-config @auth.json
    error: `auth.json` is not JSON: key must be a string at line 1 column 2
    hint: give the API's JSON, `@FILE` with it, or `iam`
    $ configure -e my_agent.py --authorizer-config @no.json
    error: cannot read `no.json`
      caused by: No such file or directory (os error 2)
    hint: check the path after the `@`
    $ configure -e my_agent.py --authorizer-config '{"customJwtAuthorizer": {}}'
    error: `--authorizer-config`: `customJwtAuthorizer` is not a key that the service knows
    hint: did you mean `customJWTAuthorizer`?
    $ configure -e my_agent.py --authorizer-config '{"customJWTAuthorizer": {"discoveryUrl": "https://idp"}}'
    error: `--authorizer-config`: `customJWTAuthorizer.discoveryUrl` must be a URL that ends in `/.well-known/openid-configuration` or `/.well-known/oauth-authorization-server`
    hint: see `authorizerConfiguration` in the AgentCore API reference
    $ configure -e my_agent.py --authorizer-config '{"discoveryUrl": "https://idp/.well-known/openid-configuration"}'
    error: `--authorizer-config`: `discoveryUrl` stands outside of `customJWTAuthorizer`
    hint: write it as `{"customJWTAuthorizer": {"discoveryUrl": …}}`
    $ configure -e my_agent.py --request-header-allowlist ''
    error: `--request-header-allowlist`: the list of request headers is empty
    hint: name 1 to 20 headers, or leave the list out
    $ configure -e my_agent.py --request-header-allowlist X-Amzn-Bedrock-AgentCore-Runtime-Custom-*
    error: `--request-header-allowlist`: `X-Amzn-Bedrock-AgentCore-Runtime-Custom-*` is not a header name that the service takes
    hint: name every header in full, the service knows no `*`
    $ configure -e my_agent.py --request-header-allowlist X-Team,Host
    error: `--request-header-allowlist`: the service never forwards the header `Host`
    hint: name it `X-Amzn-Bedrock-AgentCore-Runtime-Custom-…`, or as no standard header is named
    $ configure -e my_agent.py --request-header-allowlist X-Team,x-team
    error: `--request-header-allowlist`: the request header `x-team` is named twice
    hint: see `agentcore configure --help`
    "#);
}

#[test]
fn a_wrong_limit_or_deployment_is_refused() {
    let home = home();
    let said = home.refusals(
        "
        configure -e my_agent.py --protocol smtp
        configure -e my_agent.py --env A
        configure -e my_agent.py --env 'A B=c'
        configure -e my_agent.py --idle-timeout 59
        configure -e my_agent.py --max-lifetime 8h
        configure -e my_agent.py --idle-timeout 900 --max-lifetime 600
        configure -e my_agent.py --region Frankfurt
        configure -e my_agent.py --execution-role arn:aws:iam::1:role/x
        configure -e my_agent.py --ecr My/Repo
        configure -e my_agent.py --ecr repo:v1
        configure -e my_agent.py --vpc
        configure -e my_agent.py --subnets subnet-01234567
        configure -e my_agent.py --vpc --subnets subnet-1 --security-groups sg-01234567
        ",
    );
    assert!(!home.has(".agentcore.yaml"));
    insta::assert_snapshot!(said, @"
    $ configure -e my_agent.py --protocol smtp
    error: `--protocol`: `smtp` is not a protocol
    hint: use one of HTTP, MCP, A2A, AGUI
    $ configure -e my_agent.py --env A
    error: `--env`: `A` has no `=`
    hint: write it as `NAME=VALUE`
    $ configure -e my_agent.py --env 'A B=c'
    error: `--env`: `A B` is not the name of an environment variable
    hint: use at most 100 letters, digits and underscores, no digit first
    $ configure -e my_agent.py --idle-timeout 59
    error: `--idle-timeout`: `59` is not a number of seconds from 60 to 28800
    hint: use 900 for 15 minutes, 28800 for 8 hours
    $ configure -e my_agent.py --max-lifetime 8h
    error: `--max-lifetime`: `8h` is not a number of seconds from 60 to 28800
    hint: use 900 for 15 minutes, 28800 for 8 hours
    $ configure -e my_agent.py --idle-timeout 900 --max-lifetime 600
    error: the idle timeout (900 s) is longer than the maximum lifetime (600 s)
    hint: make the lifetime at least as long as the idle timeout
    $ configure -e my_agent.py --region Frankfurt
    error: `--region`: `Frankfurt` is not an AWS region
    hint: write it as in `us-west-2`
    $ configure -e my_agent.py --execution-role arn:aws:iam::1:role/x
    error: `--execution-role`: `arn:aws:iam::1:role/x` is neither the ARN nor the name of an IAM role
    hint: write it as in `arn:aws:iam::123456789012:role/my-role`, or `my-role`
    $ configure -e my_agent.py --ecr My/Repo
    error: `--ecr`: `My/Repo` is neither the name nor the URI of an ECR repository
    hint: write it as in `my-agents` or `123456789012.dkr.ecr.us-west-2.amazonaws.com/my-agents`
    $ configure -e my_agent.py --ecr repo:v1
    error: `--ecr`: `repo:v1` is neither the name nor the URI of an ECR repository
    hint: leave out the tag or digest
    $ configure -e my_agent.py --vpc
    error: missing on the command line: `--subnets <IDS>`, `--security-groups <IDS>`
    hint: see `agentcore configure --help`
    $ configure -e my_agent.py --subnets subnet-01234567
    error: missing on the command line: `--security-groups <IDS>`, `--vpc`
    hint: see `agentcore configure --help`
    $ configure -e my_agent.py --vpc --subnets subnet-1 --security-groups sg-01234567
    error: `--subnets`: `subnet-1` is not the identifier of a subnet
    hint: write it as in `subnet-0123456789abcdef0`
    ");
}

#[test]
fn a_project_that_cannot_be_written_is_said() {
    use std::os::unix::fs::PermissionsExt;
    let home = home();
    let folder = home.project();
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o555)).unwrap();
    // The superuser may write anywhere: for it, the file's place is taken by a folder.
    if std::fs::write(folder.join("probe"), "").is_ok() {
        std::fs::create_dir(folder.join(".agentcore.yaml")).unwrap();
    }
    let output = home.run(&["configure", "-e", "my_agent.py"]);
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755)).unwrap();
    assert!(
        output
            .stderr
            .starts_with("error: cannot write `[PROJECT]/.agentcore.yaml`\n  caused by: "),
        "{output}"
    );
    assert_eq!((output.stdout.as_str(), output.code), ("", Some(1)));
}
