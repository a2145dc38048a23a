//! The questions of `agentcore configure` about who may call the agent.

use crate::support::Home;
use crate::support::terminal::{DOWN, ENTER, Terminal};

const URL: &str = "https://idp.example/.well-known/openid-configuration";

/// At the question about the authorizer, everything before it being said by flags.
fn at_authorizer(home: &Home) -> Terminal {
    Terminal::start(
        home,
        &[
            "configure",
            "-e",
            "agent.py",
            "-n",
            "a",
            "-er",
            "role",
            "-ecr",
            "repo",
            "-rha",
            "X-A",
        ],
    )
}

fn home() -> Home {
    Home::new().file("agent.py", "")
}

fn start(home: &Home) -> Terminal {
    let terminal = at_authorizer(home);
    terminal.answer("Dependency file [none]:", "");
    terminal
}

fn choose_jwt(terminal: &Terminal) {
    terminal.wait_for("> IAM");
    terminal.press(DOWN);
    terminal.take("JWT");
}

#[test]
#[expect(
    clippy::too_many_lines,
    reason = "one conversation, from its first question to its last"
)]
fn a_jwt_authorizer_is_asked_for_member_by_member() {
    let home = home();
    let terminal = start(&home);
    choose_jwt(&terminal);
    terminal.answer("Discovery URL:", URL);
    terminal.answer("Audiences [none]:", "a,b,  c");
    terminal.answer("Clients [none]:", "client 1 , client 2");
    terminal.answer("Scopes [none]:", "read:all,write:all");
    terminal.answer("Custom claim [none]:", "cognito:groups");
    terminal.wait_for("> is one text");
    terminal.press(DOWN);
    terminal.wait_for("> is a list that has one text in it");
    terminal.press(DOWN);
    terminal.take("is a list that has one of several in it");
    terminal.answer("Texts:", "admins,ops");
    terminal.answer("Another claim [none]:", "tier");
    terminal.take("is one text");
    terminal.answer("Text:", "gold");
    terminal.answer("Another claim [none]:", "");
    let ended = terminal.end_well();
    insta::assert_snapshot!(ended.screen, @"
    Enter takes what is in brackets; Ctrl-C leaves everything as it is
    Dependency file: none
    Authorizer: JWT: tokens of an identity provider
    Discovery URL: https://idp.example/.well-known/openid-configuration
    Name at least an audience, a client, a scope or a claim; commas separate several
    Audiences: a,b,  c
    Clients: client 1 , client 2
    Scopes: read:all,write:all
    Custom claim: cognito:groups
    `cognito:groups`: is a list that has one of several in it
    Texts: admins,ops
    Another claim: tier
    `tier`: is one text
    Text: gold
    Another claim: none
    hint: run it on this machine with `agentcore launch --local`
    ");
    insta::assert_snapshot!(home.read(".agentcore.yaml"), @"
    version: 1
    default_agent: a
    agents:
      a:
        entrypoint: agent.py
        authorizer:
          customJWTAuthorizer:
            discoveryUrl: https://idp.example/.well-known/openid-configuration
            allowedAudience:
            - a
            - b
            - c
            allowedClients:
            - client 1
            - client 2
            allowedScopes:
            - read:all
            - write:all
            customClaims:
            - inboundTokenClaimName: cognito:groups
              inboundTokenClaimValueType: STRING_ARRAY
              authorizingClaimMatchValue:
                claimMatchValue:
                  matchValueStringList:
                  - admins
                  - ops
                claimMatchOperator: CONTAINS_ANY
            - inboundTokenClaimName: tier
              inboundTokenClaimValueType: STRING
              authorizingClaimMatchValue:
                claimMatchValue:
                  matchValueString: gold
                claimMatchOperator: EQUALS
        request_headers:
        - X-A
        aws:
          execution_role: role
          ecr_repository: repo
    ");
}

#[test]
fn what_the_service_would_not_take_is_asked_again() {
    let home = home();
    let terminal = start(&home);
    choose_jwt(&terminal);
    for (wrong, reason) in [
        ("", "`discoveryUrl` must be a URL"),
        ("https://idp.example", "`discoveryUrl` must be a URL"),
    ] {
        terminal.answer("Discovery URL:", wrong);
        terminal.wait_for(reason);
    }
    terminal.answer("Discovery URL:", URL);
    for _ in 0..2 {
        terminal.answer("Audiences [none]:", "");
        terminal.answer("Clients [none]:", "");
        terminal.answer("Scopes [none]:", "");
        terminal.answer("Custom claim [none]:", "");
        terminal.wait_for("so any token of the identity provider would do");
    }
    terminal.answer("Audiences [none]:", " , ");
    terminal.wait_for("`allowedAudience` has 0 items");
    terminal.answer("Audiences [none]:", "");
    terminal.answer("Clients [none]:", "");
    terminal.answer("Scopes [none]:", "ok, not ok");
    terminal.wait_for("`allowedScopes[1]` must be a scope");
    terminal.answer("Scopes [none]:", "");
    terminal.answer("Custom claim [none]:", "a b");
    terminal.wait_for("must be the name of a claim");
    terminal.answer("Custom claim [none]:", "tier");
    terminal.take("is one text");
    for wrong in ["", "very good"] {
        terminal.answer("Text:", wrong);
        terminal.wait_for("matchValueString");
    }
    terminal.answer("Text:", "gold");
    terminal.answer("Another claim [none]:", "");
    let _ = terminal.end_well();
    let file = home.read(".agentcore.yaml");
    assert!(
        file.contains("matchValueString: gold") && !file.contains("allowed"),
        "{file}"
    );
}

#[test]
fn an_authorizer_that_is_there_is_the_default() {
    let home = home();
    let json = format!(
        r#"{{"customJWTAuthorizer": {{"discoveryUrl": "{URL}", "allowedClients": ["c", "d"], "advertisedScopeMapping": {{"r": "read"}}, "customClaims": [{{"inboundTokenClaimName": "tier", "inboundTokenClaimValueType": "STRING", "authorizingClaimMatchValue": {{"claimMatchValue": {{"matchValueString": "gold"}}, "claimMatchOperator": "EQUALS"}}}}]}}}}"#
    );
    home.run(&["configure", "-e", "agent.py", "-n", "a", "-ac", &json]);
    let before = home.read(".agentcore.yaml");
    let start = || {
        let terminal = Terminal::start(&home, &["configure"]);
        for question in [
            "Entrypoint [agent.py]:",
            "Agent name [a]:",
            "Dependency file [none]:",
            "Execution role [make one]:",
            "ECR repository [make one]:",
        ] {
            terminal.answer(question, "");
        }
        terminal.wait_for("> JWT");
        terminal
    };
    let finish = |terminal: Terminal| {
        terminal.answer("Request headers [none]:", "");
        let _ = terminal.end_well();
    };

    // Enter keeps it, with the members that are not asked for.
    let terminal = start();
    terminal.press(ENTER);
    terminal.answer(&format!("Discovery URL [{URL}]:"), "");
    terminal.answer("Audiences [none]:", "");
    terminal.answer("Clients (`-` for none) [c, d]:", "");
    terminal.answer("Scopes [none]:", "");
    terminal.answer("Custom claim (`-` for none) [tier]:", "");
    finish(terminal);
    assert_eq!(home.read(".agentcore.yaml"), before);

    // A list can be emptied, as long as another lets somebody in.
    let terminal = start();
    terminal.press(ENTER);
    terminal.answer(&format!("Discovery URL [{URL}]:"), "");
    terminal.answer("Audiences [none]:", "");
    terminal.answer("Clients (`-` for none) [c, d]:", "-");
    terminal.answer("Scopes [none]:", "");
    terminal.answer("Custom claim (`-` for none) [tier]:", "-");
    terminal.wait_for("so any token of the identity provider would do");
    terminal.answer("Audiences [none]:", "me");
    terminal.answer("Clients [none]:", "");
    terminal.answer("Scopes [none]:", "");
    terminal.answer("Custom claim [none]:", "");
    finish(terminal);
    insta::assert_snapshot!(home.read(".agentcore.yaml"), @"
    version: 1
    default_agent: a
    agents:
      a:
        entrypoint: agent.py
        authorizer:
          customJWTAuthorizer:
            discoveryUrl: https://idp.example/.well-known/openid-configuration
            advertisedScopeMapping:
              r: read
            allowedAudience:
            - me
    ");

    // And the whole can be given up.
    let terminal = start();
    terminal.press(DOWN);
    terminal.take("IAM");
    finish(terminal);
    let file = home.read(".agentcore.yaml");
    assert!(file.contains("authorizer: iam"), "{file}");
}
