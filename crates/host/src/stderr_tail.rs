//! What a child process wrote last to stderr, while all of it is passed through.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How much is kept: a traceback's end.
const KEPT: usize = 16 * 1024;

/// How a traceback begins; what went wrong is on its last line.
const TRACEBACK: &str = "Traceback (most recent call last):";

/// How long to wait for the rest after the process has ended. Its children may hold the pipe open for ever.
const REST: Duration = Duration::from_millis(500);

/// The end of a process's stderr.
#[derive(Debug)]
pub(crate) struct StderrTail {
    bytes: Arc<Mutex<VecDeque<u8>>>,
    thread: JoinHandle<()>,
}

impl StderrTail {
    /// Reads `pipe` to its end, on a thread of its own: a terminal that stands still must not stop the server.
    pub(crate) fn follow(pipe: OwnedFd) -> Self {
        let bytes = Arc::new(Mutex::new(VecDeque::with_capacity(KEPT)));
        let kept = Arc::clone(&bytes);
        let thread = thread::spawn(move || copy(std::fs::File::from(pipe), &kept));
        Self { bytes, thread }
    }

    /// Returns why the process ended, once it has: the last line of its traceback or, if there is none, `cause` and what
    /// it said last.
    pub(crate) async fn reason(self, cause: String) -> String {
        let deadline = Instant::now() + REST;
        while !self.thread.is_finished() && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let mut bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(bytes.make_contiguous());
        match text.lines().map(str::trim).rfind(|line| !line.is_empty()) {
            Some(last) if text.contains(TRACEBACK) => last.to_owned(),
            Some(last) => format!("{cause} ({last})"),
            None => cause,
        }
    }
}

fn copy(mut pipe: std::fs::File, kept: &Mutex<VecDeque<u8>>) {
    let mut chunk = [0; 8 * 1024];
    loop {
        let read = match pipe.read(&mut chunk) {
            Ok(0) => return,
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(_) => return,
        };
        // Nobody may be reading our stderr; the child must not notice.
        let _ = std::io::stderr().lock().write_all(&chunk[..read]);
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend(&chunk[..read]);
        let surplus = kept.len().saturating_sub(KEPT);
        kept.drain(..surplus);
    }
}
