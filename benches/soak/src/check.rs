//! What an answer has to say: nothing lost, nothing of another request, nothing of another session.

use bytes::{Buf, BytesMut};
use memchr::memmem;
use serde_json::{Value, json};

use crate::Failure;
use crate::client::Head;
use crate::plan::{Ask, End, Work};
use crate::tally::Tally;

/// Checks an answer that came whole.
pub(crate) fn answer(ask: &Ask, head: &Head, body: &[u8], tally: &Tally) -> Result<(), Failure> {
    let wrong = |what: &str| {
        let body: String = String::from_utf8_lossy(body).chars().take(300).collect();
        Failure::from(format!("{what}: {} {body}", head.status))
    };
    if head.content_type != "application/json" {
        return Err(wrong(&format!("the content type is {}", head.content_type)));
    }
    let mut value: Value = serde_json::from_slice(body).map_err(|_| wrong("not JSON"))?;
    let mut status = 200;
    let mut expected = about(ask);
    match &ask.work {
        Work::Echo(text) => expected["text"] = text.as_str().into(),
        Work::Remember => {
            let state = value.as_object_mut().and_then(|it| it.remove("state"));
            visited(ask, &state.unwrap_or_default(), tally)?;
        }
        Work::Fail => {
            status = 409;
            expected = json!({ "error": expected, "error_type": "Soak" });
        }
        Work::Panic => {
            status = 500;
            value["error"] = panicked(&value);
            expected = json!({ "error": expected, "error_type": "Panic" });
        }
        _ => {}
    }
    if (head.status, &value) == (status, &expected) {
        Ok(())
    } else {
        Err(wrong(&format!("not {status} {expected}")))
    }
}

/// What every answer says of its request.
fn about(ask: &Ask) -> Value {
    json!({ "nonce": ask.nonce, "request": format!("request-{}", ask.nonce), "session": ask.session })
}

/// What the panic said, which is JSON.
fn panicked(value: &Value) -> Value {
    let text = value["error"].as_str().unwrap_or_default();
    let said = text.strip_prefix("the agent panicked: ");
    said.and_then(|it| serde_json::from_str(it).ok())
        .unwrap_or_default()
}

/// Checks the state of a session: its own, and no visit is counted twice.
fn visited(ask: &Ask, state: &Value, tally: &Tally) -> Result<(), Failure> {
    let (Some(born), Some(visit)) = (state["born"].as_u64(), state["visit"].as_u64()) else {
        return Err("an answer has no state".into());
    };
    if state["owner"].as_str() != ask.session.as_deref() {
        return Err(format!("{:?} got the state of {}", ask.session, state["owner"]).into());
    }
    if tally.visit(born, visit) {
        Ok(())
    } else {
        Err(format!("visit {visit} of state {born} was told twice").into())
    }
}

/// The events of a stream as they come.
pub(crate) struct Events {
    about: Value,
    expected: u64,
    end: End,
    count: u64,
    ended: bool,
    unread: BytesMut,
}

impl Events {
    /// Checks the head, and expects what the request asked for.
    pub(crate) fn new(ask: &Ask, head: &Head, events: u64, end: End) -> Result<Self, Failure> {
        // A stream that fails before its first event may still choose the status; these do not say whether they will.
        if (head.status, &*head.content_type) != (200, "text/event-stream; charset=utf-8") {
            return Err(format!("a stream begins with {head:?}").into());
        }
        Ok(Self {
            about: about(ask),
            expected: events,
            end,
            count: 0,
            ended: false,
            unread: BytesMut::new(),
        })
    }

    /// How many events were read, without the one that tells a failure.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Takes bytes that came.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.unread.extend_from_slice(bytes);
    }

    /// Checks the next event, and says whether there was a whole one.
    pub(crate) fn next(&mut self) -> Result<bool, Failure> {
        let Some(end) = memmem::find(&self.unread, b"\n\n") else {
            return Ok(false);
        };
        let event = self.unread.split_to(end);
        self.unread.advance(2);
        let value: Value = event
            .strip_prefix(b"data: ")
            .and_then(|it| serde_json::from_slice(it).ok())
            .ok_or_else(|| format!("an event is {event:?}"))?;
        let expected = if self.count < self.expected {
            let mut expected = self.about.clone();
            expected["number"] = self.count.into();
            self.count += 1;
            expected
        } else {
            self.last()?
        };
        if value == expected {
            return Ok(true);
        }
        Err(format!("event {} is {value}, not {expected}", self.count).into())
    }

    /// Checks that nothing is missing.
    pub(crate) fn finish(&self) -> Result<(), Failure> {
        let is_whole = match self.end {
            End::Whole => self.count == self.expected,
            End::Fails | End::Panics => self.ended,
            End::Silent => false,
        };
        if is_whole && self.unread.is_empty() {
            return Ok(());
        }
        Err(format!(
            "a stream ended after {} of {} events",
            self.count, self.expected
        )
        .into())
    }

    /// The event that tells a failure, which comes once.
    fn last(&mut self) -> Result<Value, Failure> {
        let (error, error_type) = match self.end {
            End::Fails if !self.ended => (self.about.to_string(), "Soak"),
            End::Panics if !self.ended => (format!("the agent panicked: {}", self.about), "Panic"),
            _ => return Err("a stream has an event more than it was to have".into()),
        };
        self.ended = true;
        Ok(json!({
            "error": error,
            "error_type": error_type,
            "message": "An error occurred during streaming",
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Ask;

    fn ask(work: Work) -> Ask {
        Ask {
            nonce: 7,
            session: Some("s".to_owned()),
            micros: 0,
            work,
            leave: None,
        }
    }

    fn json_head(status: u16) -> Head {
        Head::of(status, "application/json")
    }

    #[test]
    fn an_answer_of_another_request_or_session_is_wrong() {
        let tally = Tally::default();
        let right = br#"{"nonce": 7, "request": "request-7", "session": "s"}"#;
        let check =
            |status, body: &[u8]| answer(&ask(Work::Value), &json_head(status), body, &tally);
        assert!(check(200, right).is_ok());
        assert!(check(201, right).is_err());
        for wrong in [
            r#"{"nonce": 8, "request": "request-7", "session": "s"}"#,
            r#"{"nonce": 7, "request": "request-8", "session": "s"}"#,
            r#"{"nonce": 7, "request": "request-7", "session": "t"}"#,
            r#"{"nonce": 7, "request": "request-7", "session": "s"#,
        ] {
            assert!(check(200, wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_state_of_another_session_or_a_visit_told_twice_is_wrong() {
        let tally = Tally::default();
        let check = |owner: &str, visit: u64| {
            let mut value = about(&ask(Work::Remember));
            value["state"] = json!({ "owner": owner, "born": 3, "visit": visit });
            answer(
                &ask(Work::Remember),
                &json_head(200),
                value.to_string().as_bytes(),
                &tally,
            )
        };
        assert!(check("s", 0).is_ok());
        assert!(check("s", 1).is_ok());
        assert!(check("s", 1).is_err());
        assert!(check("t", 2).is_err());
    }

    #[test]
    fn a_stream_that_loses_an_event_or_its_end_is_wrong() {
        let ask = ask(Work::Value);
        let head = Head::of(200, "text/event-stream; charset=utf-8");
        let event = |number: u64| {
            let mut event = about(&ask);
            event["number"] = number.into();
            format!("data: {event}\n\n")
        };
        let check = |end, text: &str| {
            let mut events = Events::new(&ask, &head, 2, end)?;
            events.push(text.as_bytes());
            while events.next()? {}
            events.finish()
        };
        let both = event(0) + &event(1);
        assert!(check(End::Whole, &both).is_ok());
        assert!(check(End::Whole, &event(0)).is_err());
        assert!(check(End::Whole, &event(1)).is_err());
        assert!(check(End::Whole, &(both.clone() + &event(2))).is_err());
        assert!(check(End::Whole, &(both.clone() + "data: ")).is_err());
        assert!(check(End::Panics, &both).is_err());
    }
}
