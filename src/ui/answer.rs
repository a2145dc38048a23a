//! An agent's answer on stdout, alone: shown as it arrives, flushed after every piece.
//!
//! It turns bytes into bytes and never waits for more than the next event. Errors in a stream are returned, not shown.

use std::io::{self, Write};

use agentcore_protocol::error::StreamError;
use agentcore_protocol::sse;
use serde::Serialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::printer::SCHEMA_VERSION;

/// Why an answer was not shown to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AnswerError {
    /// Stdout does not take it.
    #[error("cannot write the answer")]
    Output(#[from] io::Error),
    /// The agent ended its stream with an error.
    #[error("the agent failed")]
    Agent(StreamError),
    /// The stream ended in the middle of an event.
    #[error("the stream was cut short")]
    CutShort,
}

/// Where answers go: stdout as it is, so that not a byte of an answer is changed on the way.
pub(crate) fn out() -> impl Write + Send {
    io::stdout()
}

/// Shows a stream of events as text: strings joined, everything else a JSON line.
#[derive(Debug)]
pub(crate) struct EventText<W> {
    out: W,
    decoder: sse::Decoder,
    /// What one piece of the stream adds, so that it is written at once.
    piece: Vec<u8>,
    /// Text has been written and its line has not ended.
    open: bool,
}

impl<W: Write> EventText<W> {
    /// Writes to `out`.
    pub(crate) fn new(out: W) -> Self {
        Self {
            out,
            decoder: sse::Decoder::new(),
            piece: Vec::new(),
            open: false,
        }
    }

    /// Shows every event that `bytes` completes.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<(), AnswerError> {
        self.decoder.push(bytes);
        let mut failure = None;
        while let Some(event) = self.decoder.next() {
            failure = StreamError::from_event(&event);
            if failure.is_some() {
                self.end_line();
                break;
            }
            self.add(&event.data);
        }
        self.write_out()?;
        failure.map_or(Ok(()), |error| Err(AnswerError::Agent(error)))
    }

    /// Ends the answer. An event that was not completed is an error.
    pub(crate) fn finish(mut self) -> Result<(), AnswerError> {
        let unfinished = std::mem::take(&mut self.decoder).finish();
        self.break_off()?;
        unfinished.map_or(Ok(()), |_| Err(AnswerError::CutShort))
    }

    /// Ends the line that stands open, so that what the terminal shows next begins on its own.
    pub(crate) fn break_off(&mut self) -> io::Result<()> {
        self.end_line();
        self.write_out()
    }

    fn add(&mut self, data: &str) {
        if let Some(text) = as_json_string(data) {
            self.piece.extend_from_slice(text.as_bytes());
            if let Some(last) = text.bytes().last() {
                self.open = last != b'\n';
            }
            return;
        }
        self.end_line();
        self.piece.extend_from_slice(compact(data).as_bytes());
        self.piece.push(b'\n');
    }

    fn end_line(&mut self) {
        if std::mem::take(&mut self.open) {
            self.piece.push(b'\n');
        }
    }

    fn write_out(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        self.out.write_all(&self.piece)?;
        self.piece.clear();
        self.out.flush()
    }
}

/// Shows a stream of events as JSON lines, for programs.
#[derive(Debug)]
pub(crate) struct EventLines<W> {
    out: W,
    decoder: sse::Decoder,
    events: u64,
}

/// One line of [`EventLines`].
#[derive(Serialize)]
struct Line<'a> {
    schema_version: u32,
    command: &'static str,
    #[serde(flatten)]
    content: Content<'a>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Content<'a> {
    Event {
        data: Data<'a>,
        #[serde(skip_serializing_if = "Option::is_none")]
        event: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a str>,
    },
    End {
        session_id: &'a str,
        events: u64,
    },
}

/// JSON as the agent wrote it, or text where it is not JSON.
#[derive(Serialize)]
#[serde(untagged)]
enum Data<'a> {
    Json(&'a RawValue),
    Text(&'a str),
}

impl<W: Write> EventLines<W> {
    /// Writes to `out`.
    pub(crate) fn new(out: W) -> Self {
        Self {
            out,
            decoder: sse::Decoder::new(),
            events: 0,
        }
    }

    /// Shows every event that `bytes` completes.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<(), AnswerError> {
        self.decoder.push(bytes);
        while let Some(event) = self.decoder.next() {
            if let Some(error) = StreamError::from_event(&event) {
                return Err(AnswerError::Agent(error));
            }
            self.events += 1;
            let data = compact(&event.data);
            self.write(Content::Event {
                data: as_data(&data),
                event: event.event.as_deref(),
                id: event.id.as_deref(),
            })?;
        }
        Ok(self.out.flush()?)
    }

    /// Ends the answer of `session`. An event that was not completed is an error.
    pub(crate) fn finish(mut self, session: &str) -> Result<(), AnswerError> {
        if std::mem::take(&mut self.decoder).finish().is_some() {
            return Err(AnswerError::CutShort);
        }
        let events = self.events;
        self.write(Content::End {
            session_id: session,
            events,
        })?;
        Ok(self.out.flush()?)
    }

    fn write(&mut self, content: Content<'_>) -> io::Result<()> {
        let line = Line {
            schema_version: SCHEMA_VERSION,
            command: "invoke",
            content,
        };
        let mut text = serde_json::to_vec(&line)?;
        text.push(b'\n');
        self.out.write_all(&text)
    }
}

/// Shows a body that is not a stream of events.
#[derive(Debug)]
pub(crate) struct BodyText<W> {
    out: W,
    form: Form,
    /// Something has been written and its line has not ended.
    open: bool,
    /// A JSON string, kept until it is whole: it is shown as plain text.
    string: Option<Vec<u8>>,
    /// More than white space has come.
    begun: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Json,
    Text,
    Bytes,
}

impl<W: Write> BodyText<W> {
    /// A JSON body: passed on as received, a newline added if it has none, a top-level string as plain text.
    pub(crate) fn json(out: W) -> Self {
        Self::new(out, Form::Json)
    }

    /// A text: passed on as received, a newline added if it has none.
    pub(crate) fn text(out: W) -> Self {
        Self::new(out, Form::Text)
    }

    /// Bytes of any kind: passed on as received, to the last byte.
    pub(crate) fn bytes(out: W) -> Self {
        Self::new(out, Form::Bytes)
    }

    fn new(out: W, form: Form) -> Self {
        Self {
            out,
            form,
            open: false,
            string: None,
            begun: false,
        }
    }

    /// Shows `bytes`.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<(), AnswerError> {
        if !self.begun && self.form == Form::Json {
            let Some(&first) = bytes.trim_ascii_start().first() else {
                return self.pass(bytes);
            };
            self.string = (first == b'"').then(Vec::new);
        }
        self.begun |= !bytes.trim_ascii_start().is_empty();
        match &mut self.string {
            Some(string) => {
                string.extend_from_slice(bytes);
                Ok(())
            }
            None => self.pass(bytes),
        }
    }

    /// Ends the answer.
    pub(crate) fn finish(mut self) -> Result<(), AnswerError> {
        if let Some(string) = self.string.take() {
            match serde_json::from_slice::<String>(&string) {
                Ok(text) => self.pass(text.as_bytes())?,
                Err(_) => self.pass(&string)?,
            }
        }
        Ok(self.break_off()?)
    }

    /// Ends the line that stands open, if this is text.
    pub(crate) fn break_off(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.open) && self.form != Form::Bytes {
            self.out.write_all(b"\n")?;
        }
        self.out.flush()
    }

    fn pass(&mut self, bytes: &[u8]) -> Result<(), AnswerError> {
        if let Some(&last) = bytes.last() {
            self.open = last != b'\n';
        }
        self.out.write_all(bytes)?;
        Ok(self.out.flush()?)
    }
}

/// The body of an answer as a value in JSON: as the agent wrote it, or as a string where it is not JSON.
pub(crate) fn body_as_json(body: &[u8]) -> Box<RawValue> {
    let text = String::from_utf8_lossy(body);
    let compact = compact(&text);
    RawValue::from_string(compact).unwrap_or_else(|_| {
        serde_json::value::to_raw_value(&*text).expect("every string has a JSON form")
    })
}

/// The text of `data` if it is a JSON string.
fn as_json_string(data: &str) -> Option<std::borrow::Cow<'_, str>> {
    if !data.trim_ascii_start().starts_with('"') {
        return None;
    }
    // A borrowed string is not copied; one with escapes needs a second, owning attempt.
    if let Ok(text) = serde_json::from_str::<&str>(data) {
        return Some(text.into());
    }
    serde_json::from_str::<String>(data).ok().map(Into::into)
}

/// `data` on one line: JSON loses the white space between its tokens and nothing else, not even digits.
fn compact(data: &str) -> String {
    if serde_json::from_str::<IgnoredAny>(data).is_err() {
        return data.to_owned();
    }
    let mut in_string = false;
    let mut escaped = false;
    let keep = |byte: &u8| {
        if in_string {
            in_string = escaped || *byte != b'"';
            escaped = !escaped && *byte == b'\\';
            return true;
        }
        in_string = *byte == b'"';
        !matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
    };
    let bytes = data.bytes().filter(keep).collect();
    String::from_utf8(bytes).expect("only ASCII was left out")
}

fn as_data(text: &str) -> Data<'_> {
    serde_json::from_str::<&RawValue>(text).map_or(Data::Text(text), Data::Json)
}

#[cfg(test)]
mod tests;
