//! What the questions of `agentcore configure` do to a terminal: how they look on a narrow or simple one, what keys and
//! signals do, and that everything is as before when they end.

use rustix::process::Signal;

use crate::support::Home;
use crate::support::terminal::{CTRL_C, CTRL_D, DOWN, ENTER, Ended, Setup, Terminal};

const FILE: &str =
    "# mine\nversion: 1\nagents: {a: {entrypoint: agent.py, aws: {execution_role: my-role}}}\n";

/// A project that is configured already, so that there is something to damage.
fn home() -> Home {
    Home::new()
        .file("agent.py", "")
        .file(".agentcore.yaml", FILE)
}

/// One way through all questions, menus among them.
const WAY: [(&str, &str); 12] = [
    ("Entrypoint [agent.py]:", ENTER),
    ("Agent name [a]:", ENTER),
    ("Dependency file [none]:", ENTER),
    ("Execution role [my-role]:", "other-role\r"),
    ("ECR repository [make one]:", "repo\r"),
    ("> IAM", "\x1b[B\r"),
    (
        "Discovery URL:",
        "https://idp/.well-known/openid-configuration\r",
    ),
    ("Audiences [none]:", "a\r"),
    ("Clients [none]:", ENTER),
    ("Scopes [none]:", ENTER),
    ("Custom claim [none]:", "tier\r"),
    ("> is one text", ENTER),
];

/// Answers the first `count` questions and waits for the next one.
fn go(terminal: &Terminal, count: usize) {
    for (question, keys) in &WAY[..count] {
        wait(terminal, question);
        terminal.press(keys);
    }
    wait(terminal, WAY.get(count).map_or("Text:", |it| it.0));
}

fn wait(terminal: &Terminal, question: &str) {
    if question.starts_with('>') {
        terminal.wait_for(question);
    } else {
        terminal.wait_at(question);
    }
}

/// Nothing is changed: not the file, not its folder, not the terminal.
fn assert_left_alone(home: &Home, ended: &Ended, what: &str) {
    assert_eq!(ended.code, Some(130), "{what}: {}", ended.screen);
    assert!(ended.is_restored, "{what}: {}", ended.screen);
    assert_eq!(ended.stdout, "", "{what}");
    assert!(
        ended
            .screen
            .ends_with("\nerror: interrupted; nothing was written"),
        "{what}: {}",
        ended.screen
    );
    assert_eq!(home.read(".agentcore.yaml"), FILE, "{what}");
    let entries = std::fs::read_dir(home.project()).unwrap();
    let mut names: Vec<_> = entries
        .map(|it| it.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, [".agentcore.yaml", "agent.py"], "{what}");
}

#[test]
fn ctrl_c_at_any_question_leaves_everything_as_it_was() {
    for count in 0..=WAY.len() {
        let home = home();
        let terminal = Terminal::start(&home, &["configure"]);
        go(&terminal, count);
        terminal.press(CTRL_C);
        assert_left_alone(&home, &terminal.end(), &format!("after {count} answers"));
    }
}

#[test]
fn ctrl_c_in_the_middle_of_a_line_is_no_other() {
    let home = home();
    let terminal = Terminal::start(&home, &["configure"]);
    terminal.wait_at("Entrypoint [agent.py]:");
    // What comes after it is no answer, and no command for the shell.
    terminal.press("half a line\x03rm -rf x\r");
    assert_left_alone(&home, &terminal.end(), "typed ahead");
}

#[test]
fn ctrl_d_on_an_empty_line_is_the_end_of_the_input() {
    let is_menu = |question: &str| question.starts_with('>');
    for count in (0..=WAY.len()).filter(|it| !WAY.get(*it).is_some_and(|it| is_menu(it.0))) {
        let home = home();
        let terminal = Terminal::start(&home, &["configure"]);
        go(&terminal, count);
        terminal.press(CTRL_D);
        assert_left_alone(&home, &terminal.end(), &format!("after {count} answers"));
    }
    // In a line it deletes, and a menu has no line to end.
    let home = home();
    let terminal = Terminal::start(&home, &["configure"]);
    terminal.wait_at("Entrypoint [agent.py]:");
    terminal.press("xagent.py\x01\x04\r");
    terminal.answer("Agent name [a]:", "");
    terminal.answer("Dependency file [none]:", "");
    terminal.answer("Execution role [my-role]:", "");
    terminal.answer("ECR repository [make one]:", "");
    terminal.wait_for("> IAM");
    terminal.press(CTRL_D);
    terminal.press(DOWN);
    terminal.wait_for("> JWT");
    terminal.press(CTRL_C);
    assert_left_alone(&home, &terminal.end(), "menu");
}

#[test]
fn a_signal_is_no_worse_than_ctrl_c() {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        for count in [0, 5] {
            let home = home();
            let terminal = Terminal::start(&home, &["configure"]);
            go(&terminal, count);
            terminal.signal(signal);
            assert_left_alone(&home, &terminal.end(), &format!("{signal:?} after {count}"));
        }
    }
}

#[test]
fn a_narrow_terminal_shows_everything() {
    let home = home();
    let narrow = Setup {
        columns: 20,
        ..Setup::default()
    };
    let terminal = Terminal::start_on(narrow, &home, &["configure"]);
    terminal.wait_at("> ");
    terminal.press("a-file-that-is-longer-than-a-row.py");
    terminal.wait_at("> ger-than-a-row.py");
    // To its beginning, and back to its end.
    terminal.press("\x01");
    terminal.wait_at("> a-file-that-is-lo");
    terminal.press("\x05\x15");
    terminal.press("no.py\r");
    terminal.wait_for("hint:");
    for _ in 0..5 {
        terminal.wait_at("> ");
        terminal.press(ENTER);
    }
    terminal.take("IAM: requests si…");
    terminal.wait_for("Request headers");
    terminal.wait_at("> ");
    terminal.press(ENTER);
    let ended = terminal.end_well();
    insta::assert_snapshot!(ended.screen, @"
    Enter takes what is
    in brackets; Ctrl-C
    leaves everything as
     it is
    Entrypoint [agent.py
    ]:
    > no.py
    error: there is no `
    no.py`
    hint: check the path
    ; it is relative to
    the folder in which
    the command runs
    Entrypoint [agent.py
    ]:
    > agent.py
    Agent name [a]:
    > a
    Dependency file [non
    e]:
    > none
    Execution role [my-r
    ole]:
    > my-role
    ECR repository [make
     one]:
    > make one
    Authorizer: IAM: req
    uests signed with AW
    S credentials
    Request headers [non
    e]:
    > none
    warning: the comment
    s of .agentcore.yaml
     are not kept; .agen
    tcore.yaml.bak is th
    e file as it was
    ");
}

#[test]
fn a_terminal_of_one_column_is_no_reason_to_fail() {
    let home = home();
    let tiny = Setup {
        columns: 1,
        ..Setup::default()
    };
    let terminal = Terminal::start_on(tiny, &home, &["configure"]);
    terminal.wait_for("]");
    terminal.press("agent.py\r");
    terminal.press(CTRL_C);
    let ended = terminal.end();
    assert_eq!((ended.code, ended.is_restored), (Some(130), true));
    assert_eq!(home.read(".agentcore.yaml"), FILE);
}

#[test]
fn a_terminal_may_change_its_size_while_one_types() {
    let home = home();
    let terminal = Terminal::start(&home, &["configure"]);
    terminal.wait_at("Entrypoint [agent.py]:");
    terminal.press("agent.py:the_app_");
    terminal.wait_at("Entrypoint [agent.py]: agent.py:the_app_");
    terminal.resize(32);
    terminal.press("x");
    terminal.wait_at("Entrypoint [agent.py]: he_app_x");
    terminal.resize(100);
    terminal.press("y");
    terminal.wait_at("Entrypoint [agent.py]: agent.py:the_app_xy");
    terminal.press("\r");
    terminal.wait_for("Entrypoint: agent.py:the_app_xy");
    terminal.wait_at("Agent name");
    terminal.press(CTRL_C);
    assert_left_alone(&home, &terminal.end(), "resized");
}

#[test]
fn letters_of_any_script_can_be_typed_and_erased() {
    let home = Home::new().file("日本語.py", "").file("é.py", "");
    let terminal = Terminal::start(&home, &["configure", "-q"]);
    terminal.wait_for("> é.py");
    terminal.press(DOWN);
    terminal.take("日本語.py");
    // No name can be made of it.
    terminal.wait_at("Agent name:");
    terminal.press("エージェント");
    terminal.wait_at("Agent name: エージェント");
    terminal.press("\x7f\x7f\x1b[D\x1b[D\x7fx");
    terminal.wait_at("Agent name: エxジェ");
    terminal.press(ENTER);
    terminal.wait_for("`エxジェ` is not an agent name");
    terminal.answer("Agent name:", "agent");
    for question in ["Dependency file", "Execution role", "ECR repository"] {
        terminal.answer(question, "");
    }
    terminal.take("IAM");
    terminal.answer("Request headers", "");
    let _ = terminal.end_well();
    assert!(
        home.read(".agentcore.yaml")
            .contains("entrypoint: 日本語.py\n")
    );
}

#[test]
fn a_long_paste_arrives_whole() {
    let home = home();
    let terminal = Terminal::start(&home, &["configure"]);
    go(&terminal, 3);
    // Longer than what a terminal holds for a program that reads lines.
    let path = "p/".repeat(4000);
    terminal.press(&format!("arn:aws:iam::123456789012:role/{path}x\r"));
    terminal.wait_for("is neither the ARN nor the name of an IAM role");
    let role = format!("arn:aws:iam::123456789012:role/{}x", "p/".repeat(900));
    terminal.answer("Execution role [my-role]:", &role);
    // Answers to the next questions may be pasted too.
    terminal.press("repo\r\rX-A\r");
    let _ = terminal.end_well();
    let file = home.read(".agentcore.yaml");
    assert!(
        file.contains(&format!("execution_role: {role}\n")),
        "{file}"
    );
    assert!(
        file.contains("ecr_repository: repo\n") && file.contains("- X-A\n"),
        "{file}"
    );
}

#[test]
fn a_terminal_that_cannot_move_its_cursor_is_asked_by_lines_and_numbers() {
    let dumb = Setup {
        kind: "dumb",
        ..Setup::default()
    };
    let home = home();
    home.write("svc/agent.py", "");
    home.write("svc/main.py", "");
    std::fs::remove_file(home.project().join(".agentcore.yaml")).unwrap();
    let terminal = Terminal::start_on(dumb, &home, &["configure"]);
    terminal.answer("Entrypoint [agent.py]:", "no.py");
    terminal.wait_for("there is no `no.py`");
    terminal.answer("Entrypoint [agent.py]:", "");
    for question in [
        "Agent name",
        "Dependency file",
        "Execution role",
        "ECR repository",
    ] {
        terminal.answer(question, "");
    }
    for wrong in ["0", "3", "JWT"] {
        terminal.answer("Authorizer [1]:", wrong);
        terminal.wait_for(&format!("`{wrong}` is not a number of the list"));
    }
    terminal.answer("Authorizer [1]:", "");
    terminal.answer("Request headers [none]:", "X-A");
    let ended = terminal.end_well();
    assert!(!ended.raw.contains('\x1b'), "{:?}", ended.raw);
    insta::assert_snapshot!(ended.screen, @"
    Enter takes what is in brackets; Ctrl-C leaves everything as it is
    Entrypoint [agent.py]: no.py
    error: there is no `no.py`
    hint: check the path; it is relative to the folder in which the command runs
    Entrypoint [agent.py]:
    Agent name [agent]:
    Dependency file [none]:
    Execution role [make one]:
    ECR repository [make one]:
      1 IAM: requests signed with AWS credentials
      2 JWT: tokens of an identity provider
    Authorizer [1]: 0
    error: `0` is not a number of the list
    hint: type a number from 1 to 2
    Authorizer [1]: 3
    error: `3` is not a number of the list
    hint: type a number from 1 to 2
    Authorizer [1]: JWT
    error: `JWT` is not a number of the list
    hint: type a number from 1 to 2
    Authorizer [1]:
    Request headers [none]: X-A
    hint: run it on this machine with `agentcore launch --local`
    ");
    for keys in [CTRL_C, CTRL_D] {
        let home = self::home();
        let terminal = Terminal::start_on(dumb, &home, &["configure"]);
        terminal.answer("Entrypoint [agent.py]:", "");
        terminal.wait_at("Agent name [a]:");
        terminal.press(keys);
        assert_left_alone(&home, &terminal.end(), &format!("{keys:?}"));
    }
}

#[test]
fn colours_are_left_out_on_request() {
    let colours = |home: &Home| {
        let terminal = Terminal::start(home, &["configure"]);
        terminal.answer("Entrypoint [agent.py]:", "");
        terminal.wait_at("Agent name [a]:");
        terminal.press(CTRL_C);
        let ended = terminal.end();
        let codes = ended.raw.split("\x1b[").skip(1);
        codes
            .filter(|it| {
                it.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';')
                    .starts_with('m')
            })
            .count()
    };
    assert!(colours(&home()) > 0);
    assert_eq!(colours(&home().env("NO_COLOR", "1")), 0);
}
