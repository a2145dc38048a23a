//! What `launch` shows while it takes its time: a live display on a terminal that is gone afterwards, and nothing of it
//! anywhere else.

use crate::live::agents::COUNTING;
use crate::live::{Project, until};
use crate::support::terminal::{CTRL_C, Ended, Setup, Terminal};

const WAITING: &str = "Starting the first sandbox of `my_agent`";

/// Prints a line and never comes to serve.
const SLOW: &str =
    "import time\nprint('loading the model of the agent', flush=True)\ntime.sleep(600)\n";

/// The program at a terminal, in the surroundings of the project.
fn at(setup: Setup, project: &Project, args: &[&str]) -> Terminal {
    let launch = ["launch", "--local", "--port", "0", "--sandbox", "process"];
    Terminal::start_on(setup, project.home(), &[args, &launch].concat())
}

/// Waits until the agent has printed its line, and asks for the end.
fn interrupt(project: &Project, terminal: Terminal) -> Ended {
    until("the agent loads", || {
        project
            .run(&["logs", "--local"])
            .stdout
            .contains("loading the model")
    });
    terminal.press(CTRL_C);
    let ended = terminal.end();
    assert_eq!(ended.code, Some(130), "{}", ended.screen);
    assert!(ended.is_restored, "{}", ended.screen);
    ended
}

#[test]
fn a_terminal_shows_what_is_waited_for_until_it_is_there() {
    let project = Project::python(SLOW);
    let terminal = at(Setup::default(), &project, &["--output", "json"]);
    terminal.wait_for(WAITING);
    // The agent's lines stand above the display and do not tear it.
    terminal.wait_for("[1] loading the model of the agent");
    terminal.wait_for(&format!("{WAITING}  "));
    let ended = interrupt(&project, terminal);
    assert!(!ended.screen.contains(WAITING), "{}", ended.screen);
    let line = "[1] loading the model of the agent";
    let is_whole = ended.screen.lines().any(|it| it.trim_end() == line);
    assert!(is_whole, "{}", ended.screen);
    assert_eq!(
        ended.stdout, "",
        "the display is no part of what programs read"
    );
}

#[test]
fn a_launch_in_the_background_is_waited_for_in_sight() {
    let project = Project::python(COUNTING);
    let terminal = at(Setup::default(), &project, &[]);
    terminal.wait_for("ready after");
    terminal.press(CTRL_C);
    let ended = terminal.end();
    assert!(
        ended.stdout.starts_with("my_agent is ready"),
        "{}",
        ended.stdout
    );
    assert!(!ended.screen.contains(WAITING), "{}", ended.screen);

    let args = ["launch", "--local", "--detach", "--port", "0"];
    let slow = Project::python(SLOW);
    let terminal = Terminal::start(slow.home(), &args);
    terminal.wait_for(WAITING);
    let ended = interrupt(&slow, terminal);
    assert!(!ended.screen.contains(WAITING), "{}", ended.screen);
    assert_eq!(slow.status()["state"], "not_running");
}

#[test]
fn a_narrow_terminal_gets_a_display_that_fits() {
    let project = Project::python(SLOW);
    let narrow = Setup {
        columns: 24,
        ..Setup::default()
    };
    let terminal = at(narrow, &project, &["--quiet"]);
    // With `--quiet` there is none, however wide.
    let ended = interrupt(&project, terminal);
    assert_eq!(ended.screen.trim(), "^C");

    let terminal = at(narrow, &project, &[]);
    // The display goes away for each line that is printed above it: both are there, and it only once.
    terminal.wait_until("the line above one row of the display", |seen| {
        let rows = seen.lines().filter(|it| it.contains("Starting the "));
        seen.contains("loading the model") && rows.count() == 1
    });
    let ended = interrupt(&project, terminal);
    assert!(!ended.screen.contains("Starting"), "{}", ended.screen);
}

#[test]
fn no_display_where_it_cannot_be_drawn_or_nobody_watches() {
    for (setup, variable) in [
        (
            Setup {
                kind: "dumb",
                ..Setup::default()
            },
            ("NOTHING", "1"),
        ),
        (
            Setup {
                has_screen: false,
                ..Setup::default()
            },
            ("NOTHING", "1"),
        ),
        (Setup::default(), ("CI", "true")),
    ] {
        let project = Project::python(SLOW).with_variable(variable.0, variable.1);
        let ended = interrupt(&project, at(setup, &project, &[]));
        let all = ended.raw + &ended.stderr;
        assert!(!all.contains("Starting the"), "{all}");
        assert!(all.contains("[1] loading the model of the agent"), "{all}");
        assert!(!all.contains("\u{1b}[1A"), "no moving cursor: {all:?}");
    }
}

#[test]
fn a_display_without_colours_is_still_a_display() {
    let project = Project::python(SLOW).with_variable("NO_COLOR", "1");
    let terminal = at(Setup::default(), &project, &[]);
    terminal.wait_for(WAITING);
    let ended = interrupt(&project, terminal);
    assert!(!ended.raw.contains("\u{1b}[3"), "{:?}", ended.raw);
}
