//! A terminal for one run of the program: a real pseudo-terminal with a screen that can be read and a keyboard.
//!
//! What the program writes is shown on a terminal emulator, so a test sees what a person would see. Every wait has an
//! end, and a test that waited in vain shows the screen.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use pty_process::Size;
use pty_process::blocking::{Pts, Pty, open};
use rustix::process::{Pid, Signal};
use rustix::termios::{Termios, tcgetattr};

use super::Home;

/// The keys that have no letter.
pub(crate) const ENTER: &str = "\r";
pub(crate) const DOWN: &str = "\x1b[B";
pub(crate) const CTRL_C: &str = "\x03";
pub(crate) const CTRL_D: &str = "\x04";

/// High enough that nothing scrolls away.
const ROWS: u16 = 100;
/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(30);

/// How a terminal is, before the program starts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setup {
    pub(crate) columns: u16,
    pub(crate) kind: &'static str,
    /// Whether stdin is the terminal; if not, it is empty.
    pub(crate) has_keyboard: bool,
    /// Whether stderr is the terminal; if not, it is a file.
    pub(crate) has_screen: bool,
    /// Whether stdout is the terminal too; if not, it is a file.
    pub(crate) shows_results: bool,
}

/// A terminal at which the program runs.
pub(crate) struct Terminal {
    keyboard: Arc<Pty>,
    /// The program's side, held open so that its settings can still be read when the program has ended.
    side: Option<Pts>,
    settings: Termios,
    child: Child,
    screen: Arc<Screen>,
    reader: Option<JoinHandle<()>>,
    /// Where what does not go to the terminal is.
    files: PathBuf,
}

/// What is left when the program has ended.
pub(crate) struct Ended {
    /// The exit code; none if a signal ended the program.
    pub(crate) code: Option<i32>,
    /// What went to stdout, which is not the terminal.
    pub(crate) stdout: String,
    /// What went to stderr, where that is not the terminal.
    pub(crate) stderr: String,
    /// The screen, as a person sees it.
    pub(crate) screen: String,
    /// All that was written to the terminal.
    pub(crate) raw: String,
    /// Whether the terminal's settings are those from before, and its cursor is visible.
    pub(crate) is_restored: bool,
}

/// The screen, and who waits for it to change.
struct Screen {
    shown: Mutex<Shown>,
    changed: Condvar,
}

struct Shown {
    parser: vt100::Parser,
    raw: Vec<u8>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            columns: 100,
            kind: "xterm-256color",
            has_keyboard: true,
            has_screen: true,
            shows_results: false,
        }
    }
}

impl Terminal {
    /// Starts the program in the project folder of `home`; its stdout is a file.
    pub(crate) fn start(home: &Home, args: &[&str]) -> Self {
        Self::start_on(Setup::default(), home, args)
    }

    /// The same on a terminal of another kind.
    pub(crate) fn start_on(setup: Setup, home: &Home, args: &[&str]) -> Self {
        let Setup {
            columns,
            kind,
            has_keyboard,
            has_screen,
            shows_results,
        } = setup;
        let (pty, pts) = open().unwrap();
        pty.resize(Size::new(ROWS, columns)).unwrap();
        let settings = tcgetattr(&pts).unwrap();
        let files = home.project().with_file_name("tmp");
        let file = |name: &str| File::create(files.join(name)).unwrap();
        let plain = home.command(args);
        let variables = plain.get_envs().filter_map(|(name, it)| Some((name, it?)));
        let mut command = pty_process::blocking::Command::new(plain.get_program())
            .args(plain.get_args())
            .current_dir(plain.get_current_dir().unwrap())
            .env_clear()
            .envs(variables)
            .env("TERM", kind);
        let (stdout, stderr) = (file("stdout"), file("stderr"));
        if !shows_results {
            command = command.stdout(stdout);
        }
        if !has_keyboard {
            command = command.stdin(Stdio::null());
        }
        if !has_screen {
            command = command.stderr(stderr);
        }
        let child = command.spawn_borrowed(&pts).unwrap();
        let keyboard = Arc::new(pty);
        let screen = Arc::new(Screen::new(columns));
        let reader = std::thread::spawn({
            let (pty, screen) = (Arc::clone(&keyboard), Arc::clone(&screen));
            move || screen.show(&pty)
        });
        Self {
            keyboard,
            side: Some(pts),
            settings,
            child,
            screen,
            reader: Some(reader),
            files,
        }
    }

    /// Waits until the screen shows `text`.
    pub(crate) fn wait_for(&self, text: &str) {
        self.screen
            .wait(text, |screen| screen.contents().contains(text));
    }

    /// Waits until `holds` is true of the screen; `what` names it.
    pub(crate) fn wait_until(&self, what: &str, holds: impl Fn(&str) -> bool) {
        self.screen.wait(what, |screen| holds(&contents(screen)));
    }

    /// Waits until the cursor stands on a row that begins with `text`.
    pub(crate) fn wait_at(&self, text: &str) {
        self.screen.wait(text, |screen| {
            let (row, _) = screen.cursor_position();
            row_text(screen, row).starts_with(text)
        });
    }

    /// Types `keys`.
    pub(crate) fn press(&self, keys: &str) {
        (&*self.keyboard).write_all(keys.as_bytes()).unwrap();
    }

    /// Waits for the question `question`, types `text` and Enter.
    pub(crate) fn answer(&self, question: &str, text: &str) {
        self.wait_at(question);
        self.press(text);
        self.press(ENTER);
    }

    /// Answers questions by Enter.
    pub(crate) fn skip(&self, questions: &[&str]) {
        for question in questions {
            self.answer(question, "");
        }
    }

    /// Waits for the choice `item` to be the marked one, and takes it.
    pub(crate) fn take(&self, item: &str) {
        self.wait_for(&format!("> {item}"));
        self.press(ENTER);
    }

    /// Makes the terminal narrower or wider.
    pub(crate) fn resize(&self, columns: u16) {
        self.keyboard.resize(Size::new(ROWS, columns)).unwrap();
        let mut shown = self.screen.shown.lock().unwrap();
        shown.parser.set_size(size(ROWS), size(columns));
    }

    /// Sends the program a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        rustix::process::kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// What the screen shows now.
    pub(crate) fn screen(&self) -> String {
        contents(self.screen.shown.lock().unwrap().parser.screen())
    }

    /// Waits until the program has ended, which it must do without a failure.
    pub(crate) fn end_well(self) -> Ended {
        let ended = self.end();
        assert_eq!(ended.code, Some(0), "{}", ended.screen);
        assert!(ended.is_restored, "{}", ended.screen);
        ended
    }

    /// Waits until the program has ended.
    pub(crate) fn end(mut self) -> Ended {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            let screen = self.screen();
            assert!(Instant::now() < deadline, "it does not end:\n{screen}");
            std::thread::sleep(Duration::from_millis(5));
        };
        let side = self.side.take().unwrap();
        let settings = tcgetattr(&side).unwrap();
        // Without a program's side, the reader comes to an end.
        drop(side);
        self.reader.take().unwrap().join().unwrap();
        let shown = self.screen.shown.lock().unwrap();
        Ended {
            code: status.code(),
            stdout: fs::read_to_string(self.files.join("stdout")).unwrap(),
            stderr: fs::read_to_string(self.files.join("stderr")).unwrap(),
            screen: contents(shown.parser.screen()),
            raw: String::from_utf8_lossy(&shown.raw).into_owned(),
            is_restored: !shown.parser.screen().hide_cursor() && same(&settings, &self.settings),
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // A test that failed leaves nothing behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Screen {
    fn new(columns: u16) -> Self {
        Self {
            shown: Mutex::new(Shown {
                parser: vt100::Parser::new(size(ROWS), size(columns), 0),
                raw: Vec::new(),
            }),
            changed: Condvar::new(),
        }
    }

    /// Shows what the program writes, until nobody can write any more.
    fn show(&self, mut pty: &Pty) {
        let mut buffer = [0; 4096];
        // An error is how Linux says that the other side is closed.
        while let Ok(len @ 1..) = pty.read(&mut buffer) {
            let mut shown = self.shown.lock().unwrap();
            shown.parser.process(&buffer[..len]);
            shown.raw.extend_from_slice(&buffer[..len]);
            self.changed.notify_all();
        }
    }

    fn wait(&self, what: &str, is_there: impl Fn(&vt100::Screen) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        let mut shown = self.shown.lock().unwrap();
        while !is_there(shown.parser.screen()) {
            let left = deadline.saturating_duration_since(Instant::now());
            let screen = contents(shown.parser.screen());
            assert!(
                !left.is_zero(),
                "`{what}` never came; the screen:\n{screen}"
            );
            shown = self.changed.wait_timeout(shown, left).unwrap().0;
        }
    }
}

fn row_text(screen: &vt100::Screen, row: u16) -> String {
    let (_, columns) = screen.size();
    let mut rows = screen.rows(0, columns.get());
    rows.nth(row.into()).unwrap_or_default()
}

/// The rows without the blanks at their ends.
fn contents(screen: &vt100::Screen) -> String {
    let (_, columns) = screen.size();
    let rows: Vec<_> = screen
        .rows(0, columns.get())
        .map(|it| it.trim_end().to_owned())
        .collect();
    rows.join("\n").trim_end().to_owned()
}

fn size(cells: u16) -> NonZeroU16 {
    NonZeroU16::new(cells).unwrap()
}

/// Whether the modes and the special keys are the same.
fn same(a: &Termios, b: &Termios) -> bool {
    format!("{a:?}") == format!("{b:?}")
}
