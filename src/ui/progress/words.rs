//! What a long step says, in words: the changing headline of a terminal, and the lasting lines of a pipe.
//!
//! Values in, text out; nothing here is printed.

use indicatif::HumanBytes;

use super::Told;

/// What is being done and how far it is, in one line.
#[derive(Debug)]
pub(super) struct Headline {
    what: String,
    detail: Option<String>,
}

impl Headline {
    pub(super) fn new(what: &str) -> Self {
        Self {
            what: what.to_owned(),
            detail: None,
        }
    }

    /// Learns what happens; tells whether that changed the text.
    pub(super) fn take(&mut self, told: Told<'_>) -> bool {
        let detail = match told {
            Told::Sent(bytes) => format!("{} sent", HumanBytes(bytes)),
            Told::Step {
                number,
                total,
                text,
            } => step(number, total, text),
            Told::Pull {
                image,
                current,
                total,
            } => pull(image, current, total),
            Told::Output(_) => return false,
        };
        let changed = self.detail.as_ref() != Some(&detail);
        self.detail = Some(detail);
        changed
    }

    pub(super) fn text(&self) -> String {
        let Self { what, detail } = self;
        match detail {
            Some(detail) => format!("{what}: {detail}"),
            None => what.clone(),
        }
    }
}

/// What was said already, so that each step is one line.
#[derive(Debug, Default)]
pub(super) struct Steps {
    /// How much was sent, as long as that has not been said.
    sent: Option<u64>,
    /// The image that is being fetched.
    pulling: Option<String>,
}

impl Steps {
    /// Learns what happens and returns the lines that it is worth.
    pub(super) fn take(&mut self, told: Told<'_>) -> Vec<String> {
        if let Told::Sent(bytes) = told {
            self.sent = Some(bytes);
            return Vec::new();
        }
        let mut lines = self.rest();
        match told {
            Told::Step {
                number,
                total,
                text,
            } => lines.push(step(number, total, text)),
            Told::Pull { image, .. } if self.pulling.as_deref() != Some(image) => {
                self.pulling = Some(image.to_owned());
                lines.push(format!("Pulling {}", plain(image)));
            }
            Told::Pull { .. } | Told::Output(_) | Told::Sent(_) => {}
        }
        lines
    }

    /// What is left to say before something else is said.
    pub(super) fn rest(&mut self) -> Vec<String> {
        let sent = self.sent.take();
        sent.map(|bytes| format!("Sent the build context, {}", HumanBytes(bytes)))
            .into_iter()
            .collect()
    }
}

fn step(number: u32, total: Option<u32>, text: &str) -> String {
    let text = plain(text);
    match total {
        Some(total) => format!("Step {number}/{total}: {text}"),
        None => format!("Step {number}: {text}"),
    }
}

fn pull(image: &str, current: u64, total: u64) -> String {
    let image = plain(image);
    let current = HumanBytes(current);
    if total == 0 {
        format!("pulling {image}, {current}")
    } else {
        format!("pulling {image}, {current} of {}", HumanBytes(total))
    }
}

/// A line as it looks on a terminal that has just written it: without escape sequences and other control characters, and
/// of parts that were written over each other only the last.
pub(crate) fn plain(line: &str) -> String {
    let stripped = anstream::adapter::strip_str(line).to_string();
    let lasting = stripped.trim_end().rsplit('\r').next().unwrap_or_default();
    lasting
        .chars()
        .map(|it| if it.is_control() { ' ' } else { it })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: Told<'_> = Told::Step {
        number: 3,
        total: Some(9),
        text: "RUN pip install -r requirements.txt",
    };

    fn pulled(current: u64) -> Told<'static> {
        Told::Pull {
            image: "python:3.13-slim",
            current,
            total: 4096,
        }
    }

    #[test]
    fn a_pipe_gets_one_line_a_step() {
        let mut steps = Steps::default();
        let told = [
            Told::Sent(10),
            Told::Sent(2048),
            pulled(0),
            pulled(2048),
            RUN,
            Told::Output("Collecting flask"),
        ];
        let lines: Vec<String> = told.into_iter().flat_map(|it| steps.take(it)).collect();
        assert_eq!(
            lines,
            [
                "Sent the build context, 2.00 KiB",
                "Pulling python:3.13-slim",
                "Step 3/9: RUN pip install -r requirements.txt",
            ]
        );
        assert!(steps.rest().is_empty());
    }

    #[test]
    fn what_was_sent_is_said_even_if_nothing_follows() {
        let mut steps = Steps::default();
        assert!(steps.take(Told::Sent(1)).is_empty());
        assert_eq!(steps.rest(), ["Sent the build context, 1 B"]);
        assert!(steps.rest().is_empty());
    }

    #[test]
    fn the_headline_tells_how_far_it_is() {
        let mut headline = Headline::new("Building the image of `a`");
        assert_eq!(headline.text(), "Building the image of `a`");
        assert!(headline.take(Told::Sent(2048)));
        assert_eq!(headline.text(), "Building the image of `a`: 2.00 KiB sent");
        assert!(headline.take(pulled(1024)));
        assert_eq!(
            headline.text(),
            "Building the image of `a`: pulling python:3.13-slim, 1.00 KiB of 4.00 KiB"
        );
        assert!(headline.take(RUN) && !headline.take(RUN));
        assert!(!headline.take(Told::Output("x")));
        assert_eq!(
            headline.text(),
            "Building the image of `a`: Step 3/9: RUN pip install -r requirements.txt"
        );
    }

    #[test]
    fn no_control_character_reaches_a_line() {
        assert_eq!(plain("\u{1b}[1;31mred\u{1b}[0m"), "red");
        assert_eq!(plain("10%\r 50%\r100%\r\n"), "100%");
        assert_eq!(plain("a\tb\u{7}c\u{1b}]0;title\u{7}d"), "a bcd");
        let step = step(1, None, "RUN echo \u{1b}[2J\n  && x");
        assert_eq!(step, "Step 1: RUN echo    && x");
    }
}
