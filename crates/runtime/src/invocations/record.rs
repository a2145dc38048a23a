//! The line in the log about one invocation, in the words of the reference SDK.
//!
//! It is written when the answer begins, or when there will be none, and names no payload, result or header.

use std::fmt;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Span;

use super::Settled;
use crate::debug_actions;
use crate::failure::Failure;
use crate::log::LOGGER;
use crate::payload::{INVALID_ENCODING, INVALID_JSON};

/// What the log will say about one invocation.
pub(super) struct Record<'a> {
    span: &'a Span,
    started: Instant,
    /// Cancelled when the server can wait no longer.
    cut: &'a CancellationToken,
    progress: Progress,
}

/// How far an invocation has come.
#[derive(PartialEq)]
enum Progress {
    Arriving,
    Asked,
    Told,
}

impl<'a> Record<'a> {
    /// Begins to take note of an invocation that has arrived at `started`.
    pub(super) fn begin(span: &'a Span, started: Instant, cut: &'a CancellationToken) -> Self {
        Self {
            span,
            started,
            cut,
            progress: Progress::Arriving,
        }
    }

    /// Says that the request was read whole, and the agent is asked from now on.
    pub(super) fn is_read(&mut self) {
        self.progress = Progress::Asked;
    }

    /// Tells of an invocation that the agent was not asked about.
    pub(super) fn fail(mut self, failure: &Failure) {
        self.progress = Progress::Told;
        log_failure(failure, self.took(), self.span);
    }

    /// Tells of an invocation whose answer begins; the agent may have done so itself.
    pub(super) fn end(mut self, settled: &Settled, agent_logs: bool) {
        self.progress = Progress::Told;
        let took = self.took();
        match settled {
            Settled::Failed(failure) if failure.is_logged() => {}
            Settled::Failed(failure) => log_failure(failure, took, self.span),
            Settled::Json(_) | Settled::Events(..) | Settled::Response(..) if agent_logs => {}
            Settled::Events(..) => tracing::info!(
                target: LOGGER, parent: self.span,
                "Returning streaming response (generator) ({took})"
            ),
            Settled::Response(response, _) if debug_actions::is_answer(response) => tracing::info!(
                target: LOGGER, parent: self.span,
                "Debug action completed ({took})"
            ),
            Settled::Response(response, _) if response.status().as_u16() >= 400 => tracing::warn!(
                target: LOGGER, parent: self.span,
                "Invocation returned HTTP {} ({took})",
                response.status().as_u16()
            ),
            // A text, because that costs half of what is formatted, and most lines are these.
            Settled::Json(_) | Settled::Response(..) => {
                let message = took.said_after("Invocation completed successfully");
                tracing::info!(target: LOGGER, parent: self.span, message);
            }
        }
    }

    fn took(&self) -> Took {
        Took(self.started.elapsed())
    }
}

impl Drop for Record<'_> {
    fn drop(&mut self) {
        if self.progress == Progress::Told {
            return;
        }
        let (took, span) = (self.took(), self.span);
        match self.progress {
            _ if self.cut.is_cancelled() => tracing::warn!(
                target: LOGGER, parent: span,
                "Invocation cut by the end of the server ({took})"
            ),
            Progress::Arriving => tracing::debug!(
                target: LOGGER, parent: span,
                "Client disconnected before its request was read ({took})"
            ),
            Progress::Asked | Progress::Told => {
                tracing::info!(target: LOGGER, parent: span, "Client disconnected ({took})");
            }
        }
    }
}

/// A duration as the log has it, `0.123s`.
#[derive(Clone, Copy)]
struct Took(Duration);

impl Took {
    /// Returns `what (0.123s)`, without the price of a format.
    fn said_after(self, what: &str) -> String {
        let (seconds, millis) = self.parts();
        let mut digits = itoa::Buffer::new();
        let mut text = String::with_capacity(what.len() + 24);
        text.push_str(what);
        text.push_str(" (");
        text.push_str(digits.format(seconds));
        text.push('.');
        // With a digit in front that keeps the zeros, and goes.
        text.push_str(&digits.format(1000 + millis)[1..]);
        text.push_str("s)");
        text
    }

    fn parts(self) -> (u64, u32) {
        let rounded = self.0.saturating_add(Duration::from_micros(500));
        (rounded.as_secs(), rounded.subsec_millis())
    }
}

impl fmt::Display for Took {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, millis) = self.parts();
        write!(f, "{seconds}.{millis:03}s")
    }
}

fn log_failure(failure: &Failure, took: Took, span: &Span) {
    let status = failure.status().as_u16();
    match failure.to_string() {
        // These details are positions; those of other failures may quote the payload.
        error if error == INVALID_JSON || error == INVALID_ENCODING => tracing::warn!(
            target: LOGGER, parent: span,
            "{error} in request ({took}): {}",
            failure.details().unwrap_or_default()
        ),
        error if status == 500 => tracing::error!(
            target: LOGGER, parent: span,
            errorType = failure.error_type(),
            errorMessage = error,
            cause = failure.cause(),
            "Invocation failed ({took})"
        ),
        error if status > 500 => {
            tracing::error!(target: LOGGER, parent: span, "HTTP {status} ({took}): {error}");
        }
        error => tracing::warn!(target: LOGGER, parent: span, "HTTP {status} ({took}): {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_rounded_to_milliseconds() {
        for (micros, text) in [
            (0, "0.000s"),
            (499, "0.000s"),
            (500, "0.001s"),
            (12_034_600, "12.035s"),
            (59_999_999, "60.000s"),
        ] {
            let took = Took(Duration::from_micros(micros));
            assert_eq!(took.to_string(), text);
            assert_eq!(took.said_after("Done"), format!("Done ({text})"));
        }
    }
}
