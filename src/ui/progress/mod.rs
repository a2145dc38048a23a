//! What a long step is doing, on stderr: a live display on a terminal, one line a step in a pipe, nothing with `--quiet`.
//!
//! The display is gone when its activity is dropped, so that what is printed afterwards stands alone. It tells what it is
//! told; what is worth keeping is somebody else's matter.

mod screen;
mod words;

use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use self::screen::Screen;
use self::words::{Headline, Steps};
use super::printer::Printer;
pub(crate) use words::plain;

/// How often the display moves while nothing is told.
const TICK: Duration = Duration::from_millis(120);

/// How often it is drawn in a second, at most.
const FRAMES: u8 = 20;

/// Where long steps are shown. Copies share the terminal.
#[derive(Debug, Clone)]
pub(crate) struct Progress {
    printer: Printer,
    live: Option<MultiProgress>,
}

/// Something that happens in a long step.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Told<'a> {
    /// So many bytes were sent.
    Sent(u64),
    /// The next step begins.
    Step {
        /// Its number, from 1.
        number: u32,
        /// How many there are, if that is known.
        total: Option<u32>,
        /// What it does.
        text: &'a str,
    },
    /// Somebody wrote a line.
    Output(&'a str),
    /// An image is being fetched.
    Pull {
        /// Its name.
        image: &'a str,
        /// How many bytes are here.
        current: u64,
        /// How many there will be, as far as is known.
        total: u64,
    },
}

/// One long step, shown until this is dropped.
#[derive(Debug)]
pub(crate) struct Activity {
    printer: Printer,
    shown: Shown,
}

#[derive(Debug)]
enum Shown {
    Live {
        headline: Headline,
        /// What is done, and for how long.
        head: ProgressBar,
        /// The line that was written last.
        tail: ProgressBar,
    },
    Lines(Steps),
}

impl Progress {
    /// A live display if stderr is a terminal that somebody watches, and lines otherwise.
    pub(crate) fn new(printer: Printer, watched: bool) -> Self {
        // Hidden is a target that is no terminal, or one that cannot move its cursor.
        let can_draw = || !ProgressDrawTarget::stderr().is_hidden();
        let live = watched && !printer.is_quiet() && can_draw();
        Self {
            printer,
            live: live.then(|| MultiProgress::with_draw_target(target())),
        }
    }

    /// Begins a long step: `what` is a sentence without its full stop.
    pub(crate) fn begin(&self, what: &str) -> Activity {
        if self.live.is_none() {
            self.printer.status(&format!("{what}."));
        }
        self.watch(what)
    }

    /// The same for a step that tells of itself in lines already: only a terminal shows that it goes on.
    pub(crate) fn watch(&self, what: &str) -> Activity {
        let shown = match &self.live {
            Some(display) => live(display, what),
            None => Shown::Lines(Steps::default()),
        };
        Activity {
            printer: self.printer,
            shown,
        }
    }

    /// Lets `print` write to the terminal without tearing the display.
    pub(crate) fn above<R>(&self, print: impl FnOnce() -> R) -> R {
        match &self.live {
            Some(display) => display.suspend(print),
            None => print(),
        }
    }
}

fn target() -> ProgressDrawTarget {
    ProgressDrawTarget::term_like_with_hz(Box::new(Screen::default()), FRAMES)
}

fn live(display: &MultiProgress, what: &str) -> Shown {
    let bar = |template: &str| {
        let style = ProgressStyle::with_template(template).expect("the template is well formed");
        let bar = display.add(ProgressBar::new_spinner());
        bar.set_style(style);
        bar
    };
    // No colour anywhere. `wide_msg` is cut to the width that the terminal has at the moment.
    let head = bar("{spinner} {wide_msg} {elapsed:>4}");
    let tail = bar("  {wide_msg}");
    let headline = Headline::new(what);
    head.set_message(headline.text());
    head.enable_steady_tick(TICK);
    Shown::Live {
        headline,
        head,
        tail,
    }
}

impl Activity {
    /// Shows what happens.
    pub(crate) fn tell(&mut self, told: Told<'_>) {
        match &mut self.shown {
            Shown::Live {
                headline,
                head,
                tail,
            } => {
                if headline.take(told) {
                    head.set_message(headline.text());
                }
                if let Told::Output(line) = told {
                    tail.set_message(plain(line));
                }
            }
            Shown::Lines(steps) => {
                for line in steps.take(told) {
                    self.printer.status(&line);
                }
            }
        }
    }
}

impl Drop for Activity {
    // In `drop`, so that an error or a signal finds the terminal as it was.
    fn drop(&mut self) {
        match &mut self.shown {
            Shown::Live { head, tail, .. } => {
                tail.finish_and_clear();
                head.finish_and_clear();
            }
            Shown::Lines(steps) => {
                for line in steps.rest() {
                    self.printer.status(&line);
                }
            }
        }
    }
}
