//! What a container prints, as it comes, its two streams told apart.

use bollard::container::LogOutput;
use bollard::query_parameters::LogsOptions;
use bytes::Bytes;
use futures_core::Stream;
use futures_util::StreamExt;

use super::Container;
use crate::EngineError;

/// Which of its two streams a container wrote to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StdStream {
    /// Its standard output.
    Stdout,
    /// Its standard error.
    Stderr,
}

/// How a frame begins in which the engine tells a failure of its own (after standard input, output and error).
const ENGINE_FRAME: &[u8] = &[3, 0, 0, 0];

/// The length of a frame's head: the stream, three zeros, the length.
const FRAME_HEAD: usize = 8;

impl Container {
    /// All that it has printed since its start; with `follow`, also what is to come until it ends.
    ///
    /// The parts are as the container wrote them, not lines. An engine that goes away is an error, not an end.
    pub fn logs(
        &self,
        follow: bool,
    ) -> impl Stream<Item = Result<(StdStream, Bytes), EngineError>> + Send + use<> {
        let options = LogsOptions {
            follow,
            stdout: true,
            stderr: true,
            tail: "all".to_owned(),
            ..LogsOptions::default()
        };
        let container = self.clone();
        let parts = self.engine().patient().logs(self.id(), Some(options));
        parts.map(move |part| match part {
            Ok(part) => container.part(part),
            Err(error) => Err(container.error("read the log of", error)),
        })
    }

    pub(super) fn part(&self, part: LogOutput) -> Result<(StdStream, Bytes), EngineError> {
        match part {
            LogOutput::StdErr { message } => Ok((StdStream::Stderr, message)),
            LogOutput::Console { message } if message.starts_with(ENGINE_FRAME) => {
                let text = String::from_utf8_lossy(message.get(FRAME_HEAD..).unwrap_or_default());
                Err(EngineError::answered(
                    self.action("read the log of"),
                    0,
                    &text,
                ))
            }
            LogOutput::StdOut { message }
            | LogOutput::StdIn { message }
            | LogOutput::Console { message } => Ok((StdStream::Stdout, message)),
        }
    }
}
