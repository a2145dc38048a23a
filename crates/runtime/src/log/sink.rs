//! Where log lines go: a buffer, and a thread that writes it out.
//!
//! A server must not wait for whoever reads its log: if stderr is a pipe that nobody empties, a thread that writes to it
//! stands still, and `/ping` with it. So lines are handed over, written together, and dropped, with a note, when too
//! many wait.

use std::io::{self, Write};
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::line::Style;

/// Bytes that may wait for a reader; what comes on top is dropped.
const CAPACITY: usize = 1024 * 1024;
/// How long lines are gathered before they are written: one wake-up and one call then do for all.
const GATHERING: Duration = Duration::from_millis(5);
/// How long the end of a program may wait for its last lines.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The end of the buffer that takes lines.
#[derive(Clone)]
pub(super) struct Sink {
    shared: Arc<Shared>,
}

struct Shared {
    /// How the note about dropped lines looks.
    style: Style,
    state: Mutex<State>,
    /// There are lines, where there were none.
    filled: Condvar,
    /// There are none, and none being written.
    emptied: Condvar,
}

#[derive(Default)]
struct State {
    lines: Vec<u8>,
    dropped: u64,
    writing: bool,
}

impl Sink {
    /// Starts the thread that writes to `out`.
    pub(super) fn start(out: impl Write + Send + 'static, style: Style) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            style,
            state: Mutex::default(),
            filled: Condvar::new(),
            emptied: Condvar::new(),
        });
        let writer = Arc::clone(&shared);
        thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || writer.write_to(out))?;
        Ok(Self { shared })
    }

    /// Hands over one line, and never waits for it to be written.
    pub(super) fn line(&self, line: &[u8]) {
        let mut state = self.shared.lock();
        if state.lines.len() + line.len() > CAPACITY {
            state.dropped += 1;
            return;
        }
        let was_empty = state.lines.is_empty();
        state.lines.extend_from_slice(line);
        drop(state);
        if was_empty {
            self.shared.filled.notify_one();
        }
    }

    /// Waits until every line is written, but not for ever.
    pub(super) fn flush(&self) {
        let waits = |state: &mut State| state.writing || !state.lines.is_empty();
        let state = self.shared.lock();
        let _ = self
            .shared
            .emptied
            .wait_timeout_while(state, LAST_WORDS, waits);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Whatever state a panic may leave, it is a log that can go on.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_to(&self, mut out: impl Write) {
        let mut batch = Vec::new();
        loop {
            let state = self
                .filled
                .wait_while(self.lock(), |state| state.lines.is_empty());
            drop(state);
            thread::sleep(GATHERING);
            let mut state = self.lock();
            mem::swap(&mut state.lines, &mut batch);
            let dropped = mem::take(&mut state.dropped);
            state.writing = true;
            drop(state);
            if dropped > 0 {
                batch.extend_from_slice(&super::dropped_line(dropped, self.style));
            }
            // A log that cannot be written has no place to say so, and is no reason to end an agent.
            let _ = out.write_all(&batch);
            batch.clear();
            let mut state = self.lock();
            state.writing = false;
            if state.lines.is_empty() {
                self.emptied.notify_all();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// A reader that takes what is written only when the test lets it.
    struct Pipe {
        open: mpsc::Receiver<()>,
        written: mpsc::Sender<Vec<u8>>,
    }

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.open.recv().map_err(io::Error::other)?;
            self.written
                .send(bytes.to_vec())
                .map_err(io::Error::other)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_who_stalls_costs_lines_and_no_time() {
        let (open, opened) = mpsc::channel();
        let (written, reader) = mpsc::channel();
        let pipe = Pipe {
            open: opened,
            written,
        };
        let sink = Sink::start(pipe, Style::Json).unwrap();
        let line = format!("{}\n", "x".repeat(CAPACITY / 4 - 1));
        // The pipe is shut, so at most two buffers fill: the one being written, and the one that waits.
        for _ in 0..100 {
            sink.line(line.as_bytes());
        }
        for _ in 0..10 {
            open.send(()).unwrap();
        }
        sink.flush();
        let text: Vec<u8> = reader.try_iter().flatten().collect();
        let text = String::from_utf8(text).unwrap();
        let (kept, notes): (Vec<&str>, Vec<&str>) =
            text.lines().partition(|line| line.starts_with('x'));
        assert!((4..=8).contains(&kept.len()), "{} lines kept", kept.len());
        let dropped: usize = notes
            .iter()
            .map(|note| {
                let (count, _) = note.split_once(" log lines were dropped").unwrap();
                count.rsplit_once('"').unwrap().1.parse::<usize>().unwrap()
            })
            .sum();
        assert_eq!(kept.len() + dropped, 100, "{notes:?}");
    }

    #[test]
    fn flushing_waits_for_the_last_line() {
        let (open, opened) = mpsc::channel();
        let (written, reader) = mpsc::channel();
        let pipe = Pipe {
            open: opened,
            written,
        };
        let sink = Sink::start(pipe, Style::Json).unwrap();
        open.send(()).unwrap();
        sink.line(b"one\n");
        sink.line(b"two\n");
        open.send(()).unwrap();
        sink.flush();
        let text: Vec<u8> = reader.try_iter().flatten().collect();
        assert_eq!(text, b"one\ntwo\n");
    }
}
