//! What the engine tells during a build or a pull, made into steps, whole lines and download progress.
//!
//! The engine's stream has no structure of its own: a step is a line that begins with `Step`, the output of programs comes
//! in arbitrary pieces, and what programs write to standard error is coloured red.

use std::collections::{BTreeMap, VecDeque};

use bollard::models::{BuildInfo, ProgressDetail};

use super::error::{base_of, classify};
use super::{BuildError, BuildEvent, OnEvent};

/// How many of the last lines are kept to tell why a step failed.
const KEPT_LINES: usize = 20;

/// The longest line that is told in one piece.
const LONGEST_LINE: usize = 16 * 1024;

/// What a build has told so far.
#[derive(Default)]
pub(super) struct Transcript {
    pending: String,
    step: Option<(u32, String)>,
    last_lines: VecDeque<String>,
    download: Download,
    image_id: Option<String>,
    image_line: Option<String>,
}

impl Transcript {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Takes the next message in.
    pub(super) fn take(&mut self, info: BuildInfo, on_event: OnEvent<'_>) {
        if let Some(text) = info.stream {
            self.text(&text, on_event);
        }
        if let Some(status) = info.status {
            let image = self
                .step
                .as_ref()
                .and_then(|(_, text)| base_of(text))
                .unwrap_or_default()
                .to_owned();
            self.download
                .take(&status, info.id.as_deref(), info.progress_detail.as_ref());
            self.download.tell(&image, on_event);
        }
        if let Some(id) = info.aux.and_then(|aux| aux.id) {
            self.image_id = Some(id);
        }
    }

    /// Tells what is left of a line that was never ended.
    pub(super) fn flush(&mut self, on_event: OnEvent<'_>) {
        let rest = std::mem::take(&mut self.pending);
        self.line(&rest, on_event);
    }

    /// What the engine's last words mean at this point.
    pub(super) fn failure(&self, message: &str) -> BuildError {
        let step = self.step.as_ref().map(|(_, text)| text.as_str());
        classify(message, step, self.last_lines.iter().map(String::as_str))
    }

    /// The image that was built. Engines that do not name it in a field of its own print it.
    pub(super) fn into_image_id(self) -> Option<String> {
        self.image_id.or(self.image_line)
    }

    fn text(&mut self, text: &str, on_event: OnEvent<'_>) {
        self.pending.push_str(text);
        while let Some(end) = self.pending.find('\n') {
            let line: String = self.pending.drain(..=end).collect();
            self.line(&line, on_event);
        }
        if self.pending.len() > LONGEST_LINE {
            self.flush(on_event);
        }
    }

    fn line(&mut self, line: &str, on_event: OnEvent<'_>) {
        let line = plain(line);
        if line.is_empty() || self.step_line(&line, on_event) {
            return;
        }
        if let Some(id) = line.strip_prefix("Successfully built ") {
            self.image_line = Some(id.to_owned());
        }
        if self.last_lines.len() == KEPT_LINES {
            self.last_lines.pop_front();
        }
        self.last_lines.push_back(line.clone());
        on_event(BuildEvent::Output(line));
    }

    /// Whether `text` announces the next step. Steps only go up, so that a program which prints such a line can hardly pass
    /// for the engine.
    fn step_line(&mut self, text: &str, on_event: OnEvent<'_>) -> bool {
        let Some(step) = StepLine::parse(text) else {
            return false;
        };
        let expected = self.step.as_ref().map_or(1, |(number, _)| number + 1);
        if step.number != expected {
            return false;
        }
        self.last_lines.clear();
        self.download = Download::default();
        self.step = Some((step.number, step.text.to_owned()));
        on_event(BuildEvent::Step {
            number: step.number,
            total: step.total,
            text: step.text.to_owned(),
        });
        true
    }
}

/// `Step 2/5 : RUN pip install`, or `STEP 2/5: RUN pip install` as Podman writes it.
#[derive(Debug, PartialEq, Eq)]
struct StepLine<'a> {
    number: u32,
    total: Option<u32>,
    text: &'a str,
}

impl<'a> StepLine<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let rest = line
            .strip_prefix("Step ")
            .or_else(|| line.strip_prefix("STEP "))?;
        let (count, text) = rest.split_once(':')?;
        let count = count.trim_end();
        let (number, total) = match count.split_once('/') {
            Some((number, total)) => (number, Some(total.parse().ok()?)),
            None => (count, None),
        };
        Some(Self {
            number: number.parse().ok()?,
            total,
            text: text.trim(),
        })
    }
}

/// How far the layers of an image have come.
#[derive(Default)]
pub(super) struct Download {
    layers: BTreeMap<String, (u64, u64)>,
    told: (u64, u64),
}

impl Download {
    /// Takes a message on one layer in.
    pub(super) fn take(
        &mut self,
        status: &str,
        layer: Option<&str>,
        progress: Option<&ProgressDetail>,
    ) {
        let Some(layer) = layer else { return };
        match status {
            "Downloading" => {
                let number = |value: Option<i64>| {
                    value
                        .and_then(|bytes| u64::try_from(bytes).ok())
                        .unwrap_or_default()
                };
                let (current, total) =
                    progress.map_or((0, 0), |it| (number(it.current), number(it.total)));
                self.layers
                    .insert(layer.to_owned(), (current, total.max(current)));
            }
            "Download complete" | "Verifying Checksum" | "Extracting" | "Pull complete" => {
                if let Some((current, total)) = self.layers.get_mut(layer) {
                    *current = *total;
                }
            }
            _ => {}
        }
    }

    /// Tells the sum, if it has changed.
    pub(super) fn tell(&mut self, image: &str, on_event: OnEvent<'_>) {
        let sum = self
            .layers
            .values()
            .fold((0, 0), |(current, total), layer| {
                (current + layer.0, total + layer.1)
            });
        if sum != self.told {
            self.told = sum;
            let (current, total) = sum;
            on_event(BuildEvent::Pull {
                image: image.to_owned(),
                current,
                total,
            });
        }
    }
}

/// A line without its end, without colours, and of a line that was written over itself only what remained.
fn plain(line: &str) -> String {
    let line = line.trim_end_matches(['\n', '\r']);
    let line = line.rsplit('\r').next().unwrap_or(line);
    let mut plain = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("\x1b[") {
        plain.push_str(before);
        let end = after.find(|letter: char| ('\x40'..='\x7e').contains(&letter));
        rest = end.map_or("", |end| &after[end + 1..]);
    }
    plain.push_str(rest);
    plain.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn told(messages: &[Value]) -> (Transcript, Vec<BuildEvent>) {
        let (mut transcript, mut events) = (Transcript::new(), Vec::new());
        for message in messages {
            let info = serde_json::from_value(message.clone()).unwrap();
            transcript.take(info, &mut |event| events.push(event));
        }
        transcript.flush(&mut |event| events.push(event));
        (transcript, events)
    }

    fn step(number: u32, total: u32, text: &str) -> BuildEvent {
        BuildEvent::Step {
            number,
            total: Some(total),
            text: text.to_owned(),
        }
    }

    fn line(text: &str) -> BuildEvent {
        BuildEvent::Output(text.to_owned())
    }

    #[test]
    fn the_words_of_docker_become_events() {
        let (transcript, events) = told(&[
            json!({ "stream": "Step 1/2 : FROM scratch" }),
            json!({ "stream": "\n" }),
            json!({ "stream": " ---> \n" }),
            json!({ "stream": "Step 2/2 : RUN pip install \"a b\"" }),
            json!({ "stream": "\n" }),
            json!({ "stream": " ---> Running in 3dfcf8f78b1c\n" }),
            json!({ "stream": "Collecting a\nInstall" }),
            json!({ "stream": "ing\u{1b}[91mwarning: " }),
            json!({ "stream": "\u{1b}[0m\u{1b}[91mb\n\u{1b}[0m" }),
            json!({ "stream": "10%\r50%\r100%\r\n" }),
            json!({ "aux": { "ID": "sha256:3e64" } }),
            json!({ "stream": "Successfully built 3e646b31b370\n" }),
            json!({ "stream": "no end" }),
        ]);
        let expected = [
            step(1, 2, "FROM scratch"),
            line(" --->"),
            step(2, 2, "RUN pip install \"a b\""),
            line(" ---> Running in 3dfcf8f78b1c"),
            line("Collecting a"),
            line("Installingwarning: b"),
            line("100%"),
            line("Successfully built 3e646b31b370"),
            line("no end"),
        ];
        assert_eq!(events, expected);
        assert_eq!(transcript.into_image_id().as_deref(), Some("sha256:3e64"));
    }

    #[test]
    fn the_words_of_podman_become_events() {
        let (transcript, events) = told(&[
            json!({ "stream": "STEP 1/2: FROM scratch\n" }),
            json!({ "stream": "STEP 2/2: COPY a /a\nCOMMIT x\n--> 5dd1\n" }),
            json!({ "stream": "Successfully built 5dd1a2b3c4d5\n" }),
        ]);
        assert_eq!(
            events[..2],
            [step(1, 2, "FROM scratch"), step(2, 2, "COPY a /a")]
        );
        assert_eq!(transcript.into_image_id().as_deref(), Some("5dd1a2b3c4d5"));
    }

    #[test]
    fn a_program_cannot_pass_for_the_engine_by_jumping_to_a_step() {
        let (transcript, events) = told(&[
            json!({ "stream": "Step 1/2 : RUN sh evil.sh\n" }),
            json!({ "stream": "Step 9/9 : FROM not/pulled\nStep 1/2 : FROM x\n" }),
        ]);
        assert_eq!(
            events[1..],
            [
                line("Step 9/9 : FROM not/pulled"),
                line("Step 1/2 : FROM x")
            ]
        );
        assert!(
            matches!(transcript.failure("broken"), BuildError::Step { step: Some(step), .. } if step == "RUN sh evil.sh")
        );
    }

    #[test]
    fn downloads_are_summed_over_the_layers() {
        let layer = |status: &str, id: &str, current: i64, total: i64| json!({ "status": status, "id": id, "progressDetail": { "current": current, "total": total } });
        let (_, events) = told(&[
            json!({ "stream": "Step 1/1 : FROM python:3.13-slim\n" }),
            json!({ "status": "Pulling from library/python", "id": "3.13-slim" }),
            json!({ "status": "Pulling fs layer", "progressDetail": {}, "id": "a" }),
            layer("Downloading", "a", 10, 100),
            layer("Downloading", "b", 5, 50),
            layer("Downloading", "b", 5, 50),
            layer("Extracting", "b", 1, 50),
            json!({ "status": "Download complete", "progressDetail": {}, "id": "a" }),
            json!({ "status": "Pull complete", "progressDetail": {}, "id": "a" }),
            json!({ "status": "Already exists", "progressDetail": {}, "id": "c" }),
        ]);
        let pulls: Vec<_> = events
            .iter()
            .filter_map(|event| match event {
                BuildEvent::Pull {
                    image,
                    current,
                    total,
                } => Some((image.as_str(), *current, *total)),
                _ => None,
            })
            .collect();
        let image = "python:3.13-slim";
        assert_eq!(
            pulls,
            [
                (image, 10, 100),
                (image, 15, 150),
                (image, 60, 150),
                (image, 150, 150)
            ]
        );
    }

    #[test]
    fn steps_are_read_in_both_spellings() {
        let read = |line| StepLine::parse(line).map(|it| (it.number, it.total, it.text));
        assert_eq!(read("Step 3/12 : RUN a:b"), Some((3, Some(12), "RUN a:b")));
        assert_eq!(read("STEP 3: RUN x"), Some((3, None, "RUN x")));
        for line in [
            "Step x/2 : RUN",
            "Step 1/x : RUN",
            "Step 1/2",
            "Stepping : x",
            "step 1/2 : x",
            "",
        ] {
            assert_eq!(read(line), None, "{line}");
        }
    }

    proptest! {
        #[test]
        fn output_is_the_same_however_it_is_cut(text in "([a-z\u{e4} ]{0,6}(\n|\r|\u{1b}\\[91m|\u{1b}\\[0m)?){0,12}", cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6)) {
            let whole = told(&[json!({ "stream": text })]).1;
            let mut places: Vec<_> = cuts.iter().map(|cut| cut.index(text.len() + 1)).filter(|&at| text.is_char_boundary(at)).collect();
            places.extend([0, text.len()]);
            places.sort_unstable();
            let parts: Vec<_> = places.windows(2).map(|pair| json!({ "stream": &text[pair[0]..pair[1]] })).collect();
            prop_assert_eq!(told(&parts).1, whole);
        }

        #[test]
        fn any_message_can_be_read(parts in prop::collection::vec("\\PC{0,20}\n?|\u{1b}\\[[0-9;]{0,4}[a-zA-Z]?", 0..8)) {
            let messages: Vec<_> = parts.iter().map(|part| json!({ "stream": part })).collect();
            for event in told(&messages).1 {
                let is_plain = !matches!(event, BuildEvent::Output(line) if line.contains(['\n', '\r']) || line.is_empty());
                prop_assert!(is_plain);
            }
        }
    }
}
