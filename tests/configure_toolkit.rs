//! `agentcore configure` where the Python toolkit was used before.

use crate::support::Home;

/// As the toolkit writes it after a deployment, on another machine.
const TOOLKIT: &str = include_str!("data/bedrock_agentcore.yaml");

fn home() -> Home {
    Home::new()
        .file(".bedrock_agentcore.yaml", TOOLKIT)
        .file("my_agent.py", "")
        .file("svc/agent.py", "")
}

#[test]
fn all_agents_are_taken_over_and_the_old_file_stays_byte_for_byte() {
    let home = home();
    insta::assert_snapshot!(home.run(&["configure", "--region", "eu-west-1"]), @"
    ----- stdout -----
    Changed agent `cont` in .agentcore.yaml
      entrypoint    my_agent.py (python)
      protocol      HTTP (default)
      authorizer    JWT, https://idp/.well-known/openid-configuration
      headers       Authorization
      idle timeout  900 s (default)
      max lifetime  3600 s
      region        eu-west-1
      role          arn:aws:iam::123456789012:role/AmazonBedrockAgentCoreSDKRuntime-us-west-2-0cc1c74193
      repository    123456789012.dkr.ecr.us-west-2.amazonaws.com/bedrock-agentcore-cont
    `cont` is the default agent: commands without `--agent` mean it
    ----- stderr -----
    warning: a request header is left out: `X-Amzn-Bedrock-AgentCore-Runtime-Custom-*` is not a header name that the service takes
    warning: agent `ts` of .bedrock_agentcore.yaml is written in TypeScript, and is left out
    Took over `cont`, `direct` from .bedrock_agentcore.yaml (ids and ARNs into .agentcore/state.json); that file stays as it was
    ----- exit 0 -----
    ");
    assert_eq!(home.read(".bedrock_agentcore.yaml"), TOOLKIT);
    insta::assert_snapshot!(home.read(".agentcore.yaml"), @r#"
    version: 1
    default_agent: cont
    agents:
      cont:
        entrypoint: my_agent.py
        language: python
        authorizer:
          customJWTAuthorizer:
            discoveryUrl: https://idp/.well-known/openid-configuration
            allowedClients:
            - a
        request_headers:
        - Authorization
        lifecycle:
          max_lifetime: 3600
        aws:
          region: eu-west-1
          account: "123456789012"
          execution_role: arn:aws:iam::123456789012:role/AmazonBedrockAgentCoreSDKRuntime-us-west-2-0cc1c74193
          ecr_repository: 123456789012.dkr.ecr.us-west-2.amazonaws.com/bedrock-agentcore-cont
          codebuild_role: arn:aws:iam::123456789012:role/cb
      direct:
        entrypoint: svc/agent.py
        source: svc
        python: "3.12"
        protocol: MCP
        aws:
          network:
            mode: VPC
            subnets:
            - subnet-01234567
            security_groups:
            - sg-01234567
    "#);
}

#[test]
fn ids_and_arns_go_into_the_state() {
    let home = home();
    assert_eq!(home.sh("configure -q --region eu-west-1").code, Some(0));
    insta::assert_snapshot!(home.read(".agentcore/state.json"), @r#"
    {
      "version": 1,
      "agents": {
        "cont": {
          "cloud": {
            "id": "cont-abcdefghij",
            "arn": "arn:aws:bedrock-agentcore:us-west-2:123456789012:runtime/cont-abcdefghij"
          },
          "toolkit": {
            "deployment_type": "container",
            "codebuild": {
              "project_name": "bedrock-agentcore-cont-builder",
              "execution_role": "arn:aws:iam::123456789012:role/cb",
              "source_bucket": "bedrock-agentcore-codebuild-sources-123456789012-us-west-2"
            },
            "memory": {
              "mode": "NO_MEMORY",
              "event_expiry_days": 30
            }
          }
        },
        "direct": {
          "toolkit": {
            "deployment_type": "direct_code_deploy"
          }
        }
      }
    }
    "#);
    assert_eq!(home.read(".agentcore/.gitignore"), "*\n");
}

#[test]
fn a_new_agent_joins_those_of_the_toolkit() {
    let home = home().file("new.py", "");
    let output = home
        .run(&["configure", "-e", "new.py", "--output", "json"])
        .json();
    assert_eq!(
        output["taken_over"]["agents"].to_string(),
        r#"["cont","direct"]"#
    );
    assert_eq!(
        (output["agent"].as_str(), output["outcome"].as_str()),
        (Some("new"), Some("added"))
    );
    let file = home.read(".agentcore.yaml");
    assert!(
        file.starts_with("version: 1\ndefault_agent: new\nagents:\n  cont:\n"),
        "{file}"
    );

    // From now on the new file counts, and nothing is taken over again.
    home.write(".bedrock_agentcore.yaml", "not yaml: [");
    let output = home
        .run(&["configure", "-n", "cont", "--output", "json"])
        .json();
    assert_eq!(output["taken_over"], serde_json::Value::Null);
}

#[test]
fn the_first_form_of_the_file_is_taken_over() {
    let home = Home::new().file("agent.py", "").file(
        ".bedrock_agentcore.yaml",
        "name: old\nentrypoint: /home/someone/project/agent.py\naws:\n  region: us-east-1\n  account: '000123456789'\n",
    );
    assert_eq!(
        home.run(&["configure", "--idle-timeout", "60"]).code,
        Some(0)
    );
    insta::assert_snapshot!(home.read(".agentcore.yaml"), @r#"
    version: 1
    default_agent: old
    agents:
      old:
        entrypoint: agent.py
        lifecycle:
          idle_timeout: 60
        aws:
          region: us-east-1
          account: "000123456789"
    "#);
}

#[test]
fn what_cannot_be_understood_is_an_error_and_nothing_is_written() {
    let wrong = [
        ("region: us-west-2", "region: mars"),
        ("account: '123456789012'", "account: '12'"),
        ("discoveryUrl:", "discoveryURL:"),
        ("agents:", "agents: ["),
    ];
    let mut said = Vec::new();
    for (right, wrong) in wrong {
        let home = home().file(
            ".bedrock_agentcore.yaml",
            &TOOLKIT.replacen(right, wrong, 1),
        );
        let output = home.run(&["configure", "--idle-timeout", "60"]);
        assert_eq!(output.code, Some(3), "{output}");
        assert!(!home.has(".agentcore.yaml") && !home.has(".agentcore"));
        said.push(output.stderr);
    }
    insta::assert_snapshot!(said.concat(), @"
    error: .bedrock_agentcore.yaml: agent `cont`: `mars` is not an AWS region
    hint: write it as in `us-west-2`
    error: .bedrock_agentcore.yaml: agent `cont`: `12` is not an AWS account number
    hint: write its 12 digits, in quotes
    error: .bedrock_agentcore.yaml: agent `cont`: `customJWTAuthorizer.discoveryURL` is not a key that the service knows
    hint: did you mean `discoveryUrl`?
    error: .bedrock_agentcore.yaml:2:9: keys and values expected here
    hint: correct the file and run the command again
    ");
}
