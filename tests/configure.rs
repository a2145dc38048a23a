//! `agentcore configure` for Python agents, as a user sees it.

use std::process::Stdio;

use crate::support::Home;

const AGENT: &str = "from bedrock_agentcore import BedrockAgentCoreApp\n";

fn home() -> Home {
    Home::new().file("my_agent.py", AGENT)
}

#[test]
fn an_agent_is_added_and_a_hyphen_becomes_an_underscore() {
    let home = home().file("requirements.txt", "requests\n");
    insta::assert_snapshot!(home.run(&["configure", "--entrypoint", "my_agent.py", "--name", "my-agent"]), @"
    ----- stdout -----
    Added agent `my_agent` to .agentcore.yaml
      entrypoint    my_agent.py (python)
      dependencies  requirements.txt (inferred)
      protocol      HTTP (default)
      authorizer    IAM (default)
      idle timeout  900 s (default)
      max lifetime  28800 s (default)
    `my_agent` is the default agent: commands without `--agent` mean it
    ----- stderr -----
    The agent is called `my_agent`: names have underscores where `my-agent` has hyphens
    hint: run it on this machine with `agentcore launch --local`
    ----- exit 0 -----
    ");
    insta::assert_snapshot!(home.read(".agentcore.yaml"), @"
    version: 1
    default_agent: my_agent
    agents:
      my_agent:
        entrypoint: my_agent.py
    ");
    assert!(
        !home.has(".agentcore"),
        "state is made by those who have some"
    );
}

#[test]
fn every_flag_has_its_key() {
    let home = home()
        .file("svc/agent.py", AGENT)
        .file("svc/reqs/prod.txt", "")
        .file("auth.json", r#"{"customJWTAuthorizer": {"discoveryUrl": "https://idp.example/.well-known/openid-configuration", "allowedClients": ["c"]}}"#);
    let output = home.sh(
        "configure --entrypoint svc/agent.py:app --name full --language python --engine native --source svc
         --requirements-file svc/reqs/prod.txt --protocol mcp --env LOG_LEVEL=info --env EMPTY=
         --authorizer-config @auth.json --request-header-allowlist 'Authorization, X-Team' --idle-timeout 60
         --max-lifetime 28800 --region eu-west-1 --execution-role my-role --ecr team/agents --vpc
         --subnets subnet-01234567,subnet-89abcdef --security-groups sg-01234567 --non-interactive",
    );
    assert_eq!(output.code, Some(0), "{output}");
    insta::assert_snapshot!(home.read(".agentcore.yaml"), @r#"
    version: 1
    default_agent: full
    agents:
      full:
        entrypoint: svc/agent.py:app
        source: svc
        language: python
        engine: native
        dependencies: svc/reqs/prod.txt
        protocol: MCP
        environment:
          LOG_LEVEL: info
          EMPTY: ""
        authorizer:
          customJWTAuthorizer:
            discoveryUrl: https://idp.example/.well-known/openid-configuration
            allowedClients:
            - c
        request_headers:
        - Authorization
        - X-Team
        lifecycle:
          idle_timeout: 60
          max_lifetime: 28800
        aws:
          region: eu-west-1
          execution_role: my-role
          ecr_repository: team/agents
          network:
            mode: VPC
            subnets:
            - subnet-01234567
            - subnet-89abcdef
            security_groups:
            - sg-01234567
    "#);
}

#[test]
fn the_report_shows_what_is_decided() {
    let home = home();
    let output = home.sh(
        "configure -e my_agent.py:app -n full --engine native --source . --env LOG_LEVEL=info --env EMPTY=
         --request-header-allowlist X-Team --region eu-west-1 --execution-role my-role --ecr team/agents --vpc
         --subnets subnet-01234567,subnet-89abcdef --security-groups sg-01234567",
    );
    insta::assert_snapshot!(output, @"
    ----- stdout -----
    Added agent `full` to .agentcore.yaml
      entrypoint    my_agent.py:app (python)
      source        .
      engine        native
      protocol      HTTP (default)
      environment   LOG_LEVEL, EMPTY
      authorizer    IAM (default)
      headers       X-Team
      idle timeout  900 s (default)
      max lifetime  28800 s (default)
      region        eu-west-1
      role          my-role
      repository    team/agents
      network       VPC
      subnets       subnet-01234567, subnet-89abcdef
      groups        sg-01234567
    `full` is the default agent: commands without `--agent` mean it
    ----- stderr -----
    hint: run it on this machine with `agentcore launch --local`
    ----- exit 0 -----
    ");
}

#[test]
fn short_words_of_the_toolkit_are_understood() {
    let home = home().file("deps.txt", "");
    let output = home.sh(
        "configure -e my_agent.py -n a -er my-role -ecr repo -rf deps.txt -ac iam -rha X-Team -r us-east-1 -p HTTP -ni",
    );
    assert_eq!(output.code, Some(0), "{output}");
    insta::assert_snapshot!(home.read(".agentcore.yaml"), @"
    version: 1
    default_agent: a
    agents:
      a:
        entrypoint: my_agent.py
        dependencies: deps.txt
        protocol: HTTP
        authorizer: iam
        request_headers:
        - X-Team
        aws:
          region: us-east-1
          execution_role: my-role
          ecr_repository: repo
    ");
}

#[test]
fn a_second_run_changes_only_the_keys_it_was_given() {
    let home = home();
    home.run(&[
        "configure",
        "-e",
        "my_agent.py",
        "--env",
        "A=1",
        "--env",
        "B=2",
        "--idle-timeout",
        "60",
        "--region",
        "eu-west-1",
    ]);
    let before = home.read(".agentcore.yaml");
    insta::assert_snapshot!(home.run(&["configure", "--env", "B=3", "--max-lifetime", "120"]), @"
    ----- stdout -----
    Changed agent `my_agent` in .agentcore.yaml
      entrypoint    my_agent.py (python)
      protocol      HTTP (default)
      environment   A, B
      authorizer    IAM (default)
      idle timeout  60 s
      max lifetime  120 s
      region        eu-west-1
    `my_agent` is the default agent: commands without `--agent` mean it
    ----- exit 0 -----
    ");
    let expected = before.replace("B: \"2\"", "B: \"3\"").replace(
        "idle_timeout: 60\n",
        "idle_timeout: 60\n      max_lifetime: 120\n",
    );
    assert_eq!(home.read(".agentcore.yaml"), expected);
}

#[test]
fn a_run_that_changes_nothing_does_not_touch_the_file() {
    let home = home();
    home.write(".agentcore.yaml", "# mine\nversion: 1\ndefault_agent: a\nagents: {a: {entrypoint: my_agent.py, aws: {region: eu-west-1}}}\n");
    let before = (
        home.read(".agentcore.yaml"),
        std::fs::metadata(home.project().join(".agentcore.yaml"))
            .unwrap()
            .modified()
            .unwrap(),
    );
    insta::assert_snapshot!(home.run(&["configure", "--region", "eu-west-1"]), @"
    ----- stdout -----
    Agent `a` is unchanged in .agentcore.yaml
      entrypoint    my_agent.py (python)
      protocol      HTTP (default)
      authorizer    IAM (default)
      idle timeout  900 s (default)
      max lifetime  28800 s (default)
      region        eu-west-1
    `a` is the default agent: commands without `--agent` mean it
    ----- exit 0 -----
    ");
    let after = (
        home.read(".agentcore.yaml"),
        std::fs::metadata(home.project().join(".agentcore.yaml"))
            .unwrap()
            .modified()
            .unwrap(),
    );
    assert_eq!(before, after);
    assert!(!home.has(".agentcore.yaml.bak"));
}

#[test]
fn a_second_agent_changes_no_other_and_becomes_the_default() {
    let home = home().file("agents/writer/main.py", AGENT);
    home.run(&[
        "configure",
        "-e",
        "my_agent.py",
        "-n",
        "zebra",
        "--protocol",
        "A2A",
    ]);
    insta::assert_snapshot!(home.run(&["configure", "-e", "agents/writer"]), @"
    ----- stdout -----
    Added agent `agents_writer_main` to .agentcore.yaml (its name is inferred; `--name` gives another)
      entrypoint    agents/writer/main.py (python)
      protocol      HTTP (default)
      authorizer    IAM (default)
      idle timeout  900 s (default)
      max lifetime  28800 s (default)
    `agents_writer_main` is the default agent: commands without `--agent` mean it
    ----- stderr -----
    `agents_writer_main` is the default agent now, instead of `zebra`
    hint: run it on this machine with `agentcore launch --local`
    ----- exit 0 -----
    ");
    insta::assert_snapshot!(home.read(".agentcore.yaml"), @"
    version: 1
    default_agent: agents_writer_main
    agents:
      zebra:
        entrypoint: my_agent.py
        protocol: A2A
      agents_writer_main:
        entrypoint: agents/writer/main.py
    ");
}

#[test]
fn an_entrypoint_that_an_agent_has_means_that_agent() {
    let home = home();
    home.run(&["configure", "-e", "my_agent.py", "-n", "a"]);
    insta::assert_snapshot!(home.run(&["configure", "-e", "./my_agent.py", "--region", "eu-west-1"]), @"
    ----- stdout -----
    Changed agent `a` in .agentcore.yaml
      entrypoint    my_agent.py (python)
      protocol      HTTP (default)
      authorizer    IAM (default)
      idle timeout  900 s (default)
      max lifetime  28800 s (default)
      region        eu-west-1
    `a` is the default agent: commands without `--agent` mean it
    ----- exit 0 -----
    ");
    home.run(&["configure", "-e", "my_agent.py", "-n", "b"]);
    insta::assert_snapshot!(home.read(".agentcore.yaml"), @"
    version: 1
    default_agent: b
    agents:
      a:
        entrypoint: my_agent.py
        aws:
          region: eu-west-1
      b:
        entrypoint: my_agent.py
    ");
}

#[test]
fn another_app_of_the_same_file_changes_the_agent_or_makes_a_new_one() {
    let home = home();
    home.sh("configure -e my_agent.py");
    let agent = |line: &str| home.sh(line).json()["agent"].clone();
    assert_eq!(
        agent("configure -e my_agent.py:other --output json"),
        "my_agent"
    );
    home.sh("configure -e my_agent.py:app -n a");
    home.sh("configure -e my_agent.py:other -n b");
    assert_eq!(
        agent("configure -e my_agent.py:other -n c --output json"),
        "c"
    );
    assert_eq!(agent("configure -e my_agent.py:app --output json"), "a");
}

#[test]
fn comments_are_kept_in_a_backup_and_it_is_said() {
    let home = home();
    let text = "# The agents of team A.\nversion: 1\nagents:\n  a:\n    entrypoint: my_agent.py # the main one\n";
    home.write(".agentcore.yaml", text);
    insta::assert_snapshot!(home.run(&["configure", "--region", "eu-west-1"]), @"
    ----- stdout -----
    Changed agent `a` in .agentcore.yaml
      entrypoint    my_agent.py (python)
      protocol      HTTP (default)
      authorizer    IAM (default)
      idle timeout  900 s (default)
      max lifetime  28800 s (default)
      region        eu-west-1
    `a` is the default agent: commands without `--agent` mean it
    ----- stderr -----
    warning: the comments of .agentcore.yaml are not kept; .agentcore.yaml.bak is the file as it was
    ----- exit 0 -----
    ");
    assert_eq!(home.read(".agentcore.yaml.bak"), text);
    insta::assert_snapshot!(home.read(".agentcore.yaml"), @"
    version: 1
    default_agent: a
    agents:
      a:
        entrypoint: my_agent.py
        aws:
          region: eu-west-1
    ");
}

#[test]
fn a_project_further_up_is_left_alone() {
    let home = home().file("sub/inner.py", AGENT);
    home.run(&["configure", "-e", "my_agent.py"]);
    let outer = home.read(".agentcore.yaml");
    insta::assert_snapshot!(home.run_in("sub", &["configure", "-e", "inner.py"]), @"
    ----- stdout -----
    Added agent `inner` to .agentcore.yaml (its name is inferred; `--name` gives another)
      entrypoint    inner.py (python)
      protocol      HTTP (default)
      authorizer    IAM (default)
      idle timeout  900 s (default)
      max lifetime  28800 s (default)
    `inner` is the default agent: commands without `--agent` mean it
    ----- stderr -----
    warning: `[PROJECT]/.agentcore.yaml` further up is another project, and is left alone
    hint: run it on this machine with `agentcore launch --local`
    ----- exit 0 -----
    ");
    assert_eq!(home.read(".agentcore.yaml"), outer);
    assert!(home.has("sub/.agentcore.yaml"));
}

#[test]
fn results_and_failures_are_json_on_request() {
    let home = home();
    insta::assert_snapshot!(home.run(&["configure", "-e", "my_agent.py", "--env", "KEY=secret", "--output", "json"]), @r#"
    ----- stdout -----
    {"schema_version":1,"command":"configure","agent":"my_agent","agent_origin":"inferred","default_agent":"my_agent","file":"[PROJECT]/.agentcore.yaml","outcome":"added","language":"python","region":{"value":null,"origin":"default"},"environment_names":["KEY"],"config":{"entrypoint":"my_agent.py"}}
    ----- stderr -----
    hint: run it on this machine with `agentcore launch --local`
    ----- exit 0 -----
    "#);
    insta::assert_snapshot!(home.run(&["configure", "-e", "no.py", "--output", "json"]), @r#"
    ----- stdout -----
    {"schema_version":1,"command":"configure","error":{"kind":"usage","exit_code":2,"message":"there is no `no.py`","hint":"check the path; it is relative to the folder in which the command runs"}}
    ----- exit 2 -----
    "#);
}

#[test]
fn the_region_says_who_decided_it() {
    let home = home()
        .env("AWS_REGION", "eu-central-1")
        .env("AWS_DEFAULT_REGION", "us-east-1");
    let region = |home: &Home, args: &[&str]| {
        let args = [
            &["configure", "--output", "json", "-e", "my_agent.py"],
            args,
        ]
        .concat();
        home.run(&args).json()["region"].to_string()
    };
    assert_eq!(
        region(&home, &[]),
        r#"{"value":"eu-central-1","origin":"shell"}"#
    );
    assert_eq!(
        region(&home, &["-r", "eu-west-1"]),
        r#"{"value":"eu-west-1","origin":"flag"}"#
    );
    assert_eq!(
        region(&home, &[]),
        r#"{"value":"eu-west-1","origin":"project"}"#
    );
    assert!(!home.read(".agentcore.yaml").contains("eu-central-1"));
    let home = home.env("AWS_REGION", "Frankfurt");
    insta::assert_snapshot!(home.run(&["configure", "-e", "my_agent.py"]), @"
    ----- stderr -----
    error: the environment variable `AWS_REGION`: `Frankfurt` is not an AWS region
    hint: correct or unset `AWS_REGION`
    ----- exit 3 -----
    ");
}

#[test]
fn authorization_without_a_jwt_authorizer_is_warned_of() {
    insta::assert_snapshot!(home().run(&["configure", "-q", "-e", "my_agent.py", "-rha", "authorization"]), @"
    ----- stdout -----
    Added agent `my_agent` to .agentcore.yaml (its name is inferred; `--name` gives another)
      entrypoint    my_agent.py (python)
      protocol      HTTP (default)
      authorizer    IAM (default)
      headers       authorization
      idle timeout  900 s (default)
      max lifetime  28800 s (default)
    `my_agent` is the default agent: commands without `--agent` mean it
    ----- stderr -----
    warning: the service forwards `Authorization` only to an agent that has a JWT authorizer
    ----- exit 0 -----
    ");
}

#[test]
fn parallel_runs_lose_no_agent() {
    let home = home();
    let children: Vec<_> = (0..8)
        .map(|index| {
            let name = format!("a{index}");
            let mut command = home.command(&["configure", "-q", "-e", "my_agent.py", "-n", &name]);
            command.stdout(Stdio::null()).spawn().unwrap()
        })
        .collect();
    for child in children {
        assert!(child.wait_with_output().unwrap().status.success());
    }
    let file = home.read(".agentcore.yaml");
    for index in 0..8 {
        assert!(file.contains(&format!("  a{index}:\n")), "{file}");
    }
}

#[test]
fn inferred_names_are_made_legal() {
    let home = home()
        .file("1dir/my-agent.py", "")
        .file("my agent.py", "")
        .file("a/b.py", "")
        .file("a_b.py", "")
        .file("日本.py", "");
    let name = |path: &str| {
        home.run(&["configure", "--output", "json", "-e", path])
            .json()["agent"]
            .clone()
    };
    assert_eq!(name("1dir/my-agent.py"), "agent_1dir_my_agent");
    assert_eq!(name("my agent.py"), "my_agent");
    assert_eq!(name("a/b.py"), "a_b");
    insta::assert_snapshot!(home.run(&["configure", "-e", "a_b.py"]), @"
    ----- stderr -----
    error: `a_b.py` would be called `a_b`, as another agent is
    hint: give it a name with `--name`
    ----- exit 2 -----
    ");
    insta::assert_snapshot!(home.run(&["configure", "-e", "日本.py"]), @"
    ----- stderr -----
    error: no agent name can be made from `日本`
    hint: give one with `--name`
    ----- exit 2 -----
    ");
}
