//! What `agentcore configure` finds in the folder and in the project, and asks about.

use crate::support::Home;
use crate::support::terminal::{DOWN, ENTER, Setup, Terminal};

const AGENT: &str = "from bedrock_agentcore import BedrockAgentCoreApp\n";

fn home() -> Home {
    Home::new().file("agent.py", AGENT)
}

/// What is asked of a new Python agent in that home after its name, up to the authorizer.
const QUESTIONS: [&str; 3] = [
    "Dependency file [none]:",
    "Execution role [make one]:",
    "ECR repository [make one]:",
];
/// What is asked after it.
const HEADERS: &str = "Request headers [none]:";

#[test]
fn another_name_or_entrypoint_means_another_agent() {
    let home = home().file("b.py", AGENT);
    home.run(&["configure", "-e", "agent.py", "-n", "a"]);
    let terminal = Terminal::start(&home, &["configure"]);
    terminal.answer("Entrypoint [agent.py]:", "");
    terminal.answer("Agent name [a]:", "twin");
    terminal.skip(&QUESTIONS);
    terminal.take("IAM");
    terminal.answer(HEADERS, "");
    terminal.end_well();
    let terminal = Terminal::start(&home, &["configure"]);
    terminal.answer("Entrypoint [agent.py]:", "b.py");
    terminal.answer("Agent name [b]:", "");
    terminal.skip(&QUESTIONS);
    terminal.take("IAM");
    terminal.answer(HEADERS, "");
    terminal.end_well();
    insta::assert_snapshot!(home.read(".agentcore.yaml"), @"
    version: 1
    default_agent: b
    agents:
      a:
        entrypoint: agent.py
      twin:
        entrypoint: agent.py
      b:
        entrypoint: b.py
    ");
}

#[test]
fn of_several_candidates_one_is_chosen() {
    let home = home().file("main.py", AGENT).file("deep/other.py", AGENT);
    let terminal = Terminal::start(&home, &["configure"]);
    terminal.wait_for("> agent.py");
    terminal.press(DOWN);
    terminal.take("main.py");
    terminal.answer("Agent name [main]:", "");
    terminal.skip(&QUESTIONS);
    terminal.take("IAM");
    terminal.answer(HEADERS, "");
    let ended = terminal.end_well();
    assert!(
        ended.screen.contains("Entrypoint: main.py\n"),
        "{}",
        ended.screen
    );
    assert!(!ended.screen.contains("another file"), "{}", ended.screen);

    let terminal = Terminal::start(&home, &["configure", "-n", "other"]);
    terminal.wait_for("> agent.py");
    terminal.press(DOWN);
    terminal.wait_for("> main.py");
    terminal.press(DOWN);
    terminal.take("another file");
    // Nothing stands for Enter here.
    terminal.answer("Entrypoint:", "");
    terminal.wait_for("an agent needs an entrypoint");
    terminal.answer("Entrypoint:", "deep/other.py");
    terminal.skip(&QUESTIONS);
    terminal.take("IAM");
    terminal.answer(HEADERS, "");
    terminal.end_well();
    insta::assert_snapshot!(home.read(".agentcore.yaml"), @"
    version: 1
    default_agent: other
    agents:
      main:
        entrypoint: main.py
      other:
        entrypoint: deep/other.py
    ");
}

#[test]
fn a_file_of_any_name_is_a_candidate_where_none_is_known() {
    let home = Home::new()
        .file("my_bot.py", AGENT)
        .file("test_my_bot.py", "")
        .file("conftest.py", "");
    let terminal = Terminal::start(&home, &["configure"]);
    terminal.wait_at("Entrypoint [my_bot.py]:");
    drop(terminal);
    let empty = Home::new();
    let terminal = Terminal::start(&empty, &["configure"]);
    terminal.wait_at("Entrypoint:");
    drop(terminal);
    assert!(!empty.has(".agentcore.yaml"));
}

#[test]
fn a_rust_package_is_asked_for_its_binary() {
    let manifest = "[package]\nname = \"two\"\nversion = \"0.1.0\"\nedition = \"2021\"\n";
    let home = Home::new()
        .file("Cargo.toml", manifest)
        .file("src/bin/alpha.rs", "fn main() {}\n")
        .file("src/bin/beta.rs", "fn main() {}\n");
    let configure = |default: &str, down: bool, name: &str| {
        let terminal = Terminal::start(&home, &["configure"]);
        terminal.answer("Entrypoint [Cargo.toml]:", "");
        terminal.wait_for(&format!("> {default}"));
        if down {
            terminal.press(DOWN);
            terminal.wait_for("> beta");
        }
        terminal.press(ENTER);
        terminal.answer(&format!("Agent name [{name}]:"), "");
        // No dependency file: the package has its own.
        terminal.skip(&QUESTIONS[1..]);
        terminal.take("IAM");
        terminal.answer(HEADERS, "");
        terminal.end_well();
    };
    configure("alpha", true, "beta");
    insta::assert_snapshot!(home.read(".agentcore.yaml"), @"
    version: 1
    default_agent: beta
    agents:
      beta:
        entrypoint: Cargo.toml
        bin: beta
    ");
    // The binary that it has is the default now.
    let before = home.read(".agentcore.yaml");
    configure("beta", false, "beta");
    assert_eq!(home.read(".agentcore.yaml"), before);
    // A package that a flag names is asked about too, and one whose binary is named is not.
    let terminal = Terminal::start(&home, &["configure", "-e", ".", "--region", "eu-west-1"]);
    terminal.take("alpha");
    terminal.answer("Agent name [alpha]:", "");
    terminal.skip(&QUESTIONS[1..]);
    terminal.take("IAM");
    terminal.answer(HEADERS, "");
    terminal.end_well();
    let terminal = Terminal::start(&home, &["configure", "-e", ".", "--bin", "alpha"]);
    assert_eq!(terminal.end_well().raw, "");
    insta::assert_snapshot!(home.read(".agentcore.yaml"), @"
    version: 1
    default_agent: alpha
    agents:
      beta:
        entrypoint: Cargo.toml
        bin: beta
      alpha:
        entrypoint: Cargo.toml
        bin: alpha
        aws:
          region: eu-west-1
    ");
}

#[test]
fn an_entrypoint_that_is_gone_is_not_kept() {
    let home = home().file(
        ".agentcore.yaml",
        "version: 1\nagents: {a: {entrypoint: gone.py, dependencies: x.txt}}\n",
    );
    let terminal = Terminal::start(&home, &["configure"]);
    terminal.answer("Entrypoint [gone.py]:", "");
    terminal.wait_for("there is no `gone.py`");
    terminal.answer("Entrypoint [gone.py]:", "agent.py");
    terminal.answer("Agent name [agent]:", "a");
    terminal.answer("Dependency file [x.txt]:", "");
    terminal.skip(&QUESTIONS[1..]);
    terminal.take("IAM");
    terminal.answer(HEADERS, "");
    terminal.end_well();
    insta::assert_snapshot!(home.read(".agentcore.yaml"), @"
    version: 1
    default_agent: a
    agents:
      a:
        entrypoint: agent.py
        dependencies: x.txt
    ");
}

#[test]
fn a_toolkit_file_gives_the_defaults() {
    let toolkit = include_str!("data/bedrock_agentcore.yaml");
    let home = Home::new()
        .file(".bedrock_agentcore.yaml", toolkit)
        .file("my_agent.py", "")
        .file("svc/agent.py", "");
    let role =
        "arn:aws:iam::123456789012:role/AmazonBedrockAgentCoreSDKRuntime-us-west-2-0cc1c74193";
    let repository = "123456789012.dkr.ecr.us-west-2.amazonaws.com/bedrock-agentcore-cont";
    let wide = Setup {
        columns: 200,
        ..Setup::default()
    };
    let terminal = Terminal::start_on(wide, &home, &["configure"]);
    for question in [
        "Entrypoint [my_agent.py]:",
        "Agent name [cont]:",
        "Dependency file [none]:",
        &format!("Execution role [{role}]:"),
        &format!("ECR repository [{repository}]:"),
    ] {
        terminal.answer(question, "");
    }
    terminal.take("JWT");
    for question in [
        "Discovery URL [https://idp/.well-known/openid-configuration]:",
        "Audiences [none]:",
        "Clients (`-` for none) [a]:",
        "Scopes [none]:",
        "Custom claim [none]:",
        "Request headers [Authorization]:",
    ] {
        assert!(!home.has(".agentcore.yaml") && !home.has(".agentcore"));
        terminal.answer(question, "");
    }
    let ended = terminal.end_well();
    assert!(
        ended.screen.contains("Took over `cont`, `direct`"),
        "{}",
        ended.screen
    );
    assert_eq!(home.read(".bedrock_agentcore.yaml"), toolkit);
    // As a run without questions would have written it.
    let asked = home.read(".agentcore.yaml");
    let plain = Home::new()
        .file(".bedrock_agentcore.yaml", toolkit)
        .file("my_agent.py", "")
        .file("svc/agent.py", "");
    plain.run(&["configure"]);
    assert_eq!(asked, plain.read(".agentcore.yaml"));
}

#[test]
fn what_an_agent_has_already_is_the_default() {
    let home = home().file("deps.txt", "").file("b.py", AGENT);
    let text = "version: 1\ndefault_agent: b\nagents:\n  a:\n    entrypoint: agent.py\n  b:\n    entrypoint: b.py:app\n    dependencies: deps.txt\n    environment:\n      A: \"1\"\n    request_headers:\n    - X-A\n    - X-B\n    aws:\n      execution_role: my-role\n      ecr_repository: repo\n";
    home.write(".agentcore.yaml", text);
    let questions = [
        "Entrypoint [b.py:app]:",
        "Agent name [b]:",
        "Dependency file [deps.txt]:",
        "Execution role [my-role]:",
        "ECR repository [repo]:",
    ];
    let terminal = Terminal::start(&home, &["configure"]);
    terminal.skip(&questions);
    terminal.take("IAM");
    terminal.answer("Request headers [X-A, X-B]:", "");
    let ended = terminal.end_well();
    assert!(
        ended.stdout.starts_with("Agent `b` is unchanged"),
        "{}",
        ended.stdout
    );
    assert_eq!(home.read(".agentcore.yaml"), text);

    // One answer changes one key.
    let terminal = Terminal::start(&home, &["configure"]);
    for question in &questions[..4] {
        terminal.answer(question, "");
    }
    terminal.answer(questions[4], "other");
    terminal.take("IAM");
    terminal.answer("Request headers [X-A, X-B]:", "");
    terminal.end_well();
    assert_eq!(
        home.read(".agentcore.yaml"),
        text.replace("ecr_repository: repo", "ecr_repository: other")
    );
}
