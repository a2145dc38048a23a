//! What a container writes, from its first byte to its last, whatever happens to the engine meanwhile.
//!
//! It is heard live; the log that the engine keeps only fills the gap that a broken connection leaves.

use std::time::Duration;

use agentcore_docker::{Container, EngineError, StdStream};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use tokio::time::sleep;

use crate::event::OutputStream;
use crate::sandbox::output::Lines;
use crate::sandbox::process::LineSink;

/// How often an engine is asked again that does not answer.
const PAUSE: Duration = Duration::from_millis(300);

/// What was read of one stream.
struct Read {
    lines: Lines,
    bytes: u64,
    /// Of what comes next, this much was read before.
    known: u64,
}

/// Tells every line of `container` until it has ended. `live` is what it writes, heard since before its start.
pub(super) async fn follow(
    container: Container,
    live: impl Stream<Item = Part> + Send,
    lines: LineSink,
) {
    let mut streams = [OutputStream::Stdout, OutputStream::Stderr].map(Read::new);
    let mut heard = read(live, &mut streams, &lines).await;
    loop {
        match (heard, container.state().await) {
            // Nothing was missed.
            (Ok(()), Ok(state)) if !state.running => break,
            (_, Ok(_)) => {}
            // The log is still there when the engine is.
            (_, Err(error)) if error.is_away() => {
                sleep(PAUSE).await;
                heard = Err(error);
                continue;
            }
            (_, Err(error)) => {
                tracing::debug!(%error, "cannot follow a container any further");
                break;
            }
        }
        for stream in &mut streams {
            stream.known = stream.bytes;
        }
        heard = read(container.logs(true), &mut streams, &lines).await;
        // A log that ends at once for a container that runs must not be asked for all the time.
        sleep(PAUSE).await;
    }
    for stream in &mut streams {
        stream.finish(&lines);
    }
}

type Part = Result<(StdStream, Bytes), EngineError>;

/// Reads to the end; what was read before is passed over.
async fn read(
    parts: impl Stream<Item = Part>,
    streams: &mut [Read; 2],
    lines: &LineSink,
) -> Result<(), EngineError> {
    let mut parts = std::pin::pin!(parts);
    while let Some(part) = parts.next().await {
        let (name, data) = part?;
        let [stdout, stderr] = &mut *streams;
        match name {
            StdStream::Stdout => stdout.push(data, lines),
            StdStream::Stderr => stderr.push(data, lines),
        }
    }
    Ok(())
}

impl Read {
    fn new(name: OutputStream) -> Self {
        Self {
            lines: Lines::new(name),
            bytes: 0,
            known: 0,
        }
    }

    fn push(&mut self, mut data: Bytes, lines: &LineSink) {
        let length = u64::try_from(data.len()).unwrap_or(u64::MAX);
        let passed_over = length.min(self.known);
        self.known -= passed_over;
        let new = data.split_off(usize::try_from(passed_over).unwrap_or(data.len()));
        self.bytes += length - passed_over;
        self.lines.push(&new, &mut |name, line| lines(name, line));
    }

    fn finish(&mut self, lines: &LineSink) {
        self.lines.finish(&mut |name, line| lines(name, line));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[test]
    fn what_is_read_a_second_time_is_told_once() {
        let told: Arc<Mutex<Vec<String>>> = Arc::default();
        let heard = Arc::clone(&told);
        let lines: LineSink = Arc::new(move |_, line| heard.lock().unwrap().push(line));
        let mut read = Read::new(OutputStream::Stdout);
        read.push("one\ntw".into(), &lines);
        // The connection broke; the log begins anew, cut elsewhere.
        read.known = read.bytes;
        read.push("one".into(), &lines);
        read.push("\ntwo\nth".into(), &lines);
        read.push("ree".into(), &lines);
        read.finish(&lines);
        assert_eq!(*told.lock().unwrap(), ["one", "two", "three"]);
    }
}
