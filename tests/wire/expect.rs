//! What an answer must be: as it is written in the tables, and with everything filled in that a table leaves out.
//!
//! A table says what is particular to a row. Left out, the status is 200, the content type `application/json` and the body
//! has a length; the events of a stream bring their own.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::exchange::Framing;
use super::pattern;

/// An expectation as a table has it: every part may be left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Expect {
    status: Option<u16>,
    /// The content type, to the letter; `none` for an answer that has none.
    #[serde(rename = "type")]
    content_type: Option<String>,
    /// Other headers with their values, which may have holes.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// Headers that must not be there.
    #[serde(default)]
    absent: Vec<String>,
    framing: Option<Framing>,
    /// The body's text, which may have holes.
    body: Option<String>,
    /// The body's bytes, in hexadecimal.
    hex: Option<String>,
    /// JSON that the body must be equal to, in any order of keys and with any blanks.
    json: Option<String>,
    /// The chunks of the body, with their borders.
    chunks: Option<Vec<String>>,
    /// The data of the events, wherever the borders of the chunks are.
    events: Option<Vec<String>>,
}

/// An expectation with nothing left out.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Wanted {
    pub(super) status: u16,
    pub(super) content_type: Option<String>,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) absent: Vec<String>,
    pub(super) framing: Framing,
    pub(super) body: WantedBody,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum WantedBody {
    /// A pattern of bytes.
    Bytes(Vec<u8>),
    Json(Value),
    Chunks(Vec<String>),
}

impl Expect {
    /// This expectation with what `over` says differently.
    pub(super) fn with(&self, over: &Self) -> Self {
        let Self {
            status,
            content_type,
            headers,
            absent,
            framing,
            ..
        } = self.clone();
        // A body is of one kind: another one takes the place of the first, whatever kind that was.
        let bodied = if over.has_body() { over } else { self }.clone();
        let mut merged = Self {
            status: over.status.or(status),
            content_type: over.content_type.clone().or(content_type),
            headers,
            absent,
            framing: over.framing.or(framing),
            ..bodied
        };
        merged
            .absent
            .retain(|name| !over.headers.contains_key(name));
        merged.headers.retain(|name, _| !over.absent.contains(name));
        merged.headers.extend(over.headers.clone());
        merged.absent.extend(over.absent.clone());
        merged.absent.sort();
        merged.absent.dedup();
        merged
    }

    /// Whether it says anything of the body.
    pub(super) fn has_body(&self) -> bool {
        self.bodies() > 0
    }

    fn bodies(&self) -> usize {
        [
            self.body.is_some(),
            self.hex.is_some(),
            self.json.is_some(),
            self.chunks.is_some(),
            self.events.is_some(),
        ]
        .into_iter()
        .filter(|&said| said)
        .count()
    }

    /// Fills in what was left out; an error says what is wrong with what was not.
    pub(super) fn fill(&self) -> Result<Wanted, String> {
        match self.bodies() {
            0 => return Err("nothing is said of the body".to_owned()),
            1 => {}
            _ => return Err("the body is given in more than one way".to_owned()),
        }
        let names = self.headers.keys().chain(&self.absent);
        if let Some(name) = names.clone().find(|name| **name != name.to_lowercase()) {
            return Err(format!("the header `{name}` is not in lower case"));
        }
        if let Some(name) = self.absent.iter().find(|it| self.headers.contains_key(*it)) {
            return Err(format!("the header `{name}` must be there and must not"));
        }
        let texts = self.headers.values().chain(&self.body);
        texts
            .chain(self.chunks.iter().chain(&self.events).flatten())
            .try_for_each(|text| pattern::check(text))?;
        let body = self.wanted_body()?;
        let (usual_type, usual_framing) = if self.events.is_some() || self.chunks.is_some() {
            ("text/event-stream; charset=utf-8", Framing::Chunked)
        } else {
            ("application/json", Framing::Length)
        };
        let content_type = self.content_type.as_deref().unwrap_or(usual_type);
        Ok(Wanted {
            status: self.status.unwrap_or(200),
            content_type: Some(content_type.to_owned()).filter(|it| it != "none"),
            headers: self.headers.clone(),
            absent: self.absent.clone(),
            framing: self.framing.unwrap_or(usual_framing),
            body,
        })
    }

    fn wanted_body(&self) -> Result<WantedBody, String> {
        if let Some(hex) = &self.hex {
            return Ok(WantedBody::Bytes(bytes_of_hex(hex)?));
        }
        if let Some(json) = &self.json {
            let value = serde_json::from_str(json).map_err(|error| format!("{json}: {error}"))?;
            return Ok(WantedBody::Json(value));
        }
        if let Some(chunks) = &self.chunks {
            return Ok(WantedBody::Chunks(chunks.clone()));
        }
        let text = match (&self.body, &self.events) {
            (Some(text), _) => text.clone(),
            (None, events) => {
                let data = events.iter().flatten();
                data.flat_map(|text| ["data: ", text, "\n\n"]).collect()
            }
        };
        Ok(WantedBody::Bytes(text.into_bytes()))
    }
}

/// Bytes written as `de ad be ef`.
pub(super) fn bytes_of_hex(text: &str) -> Result<Vec<u8>, String> {
    let byte = |pair: &str| match pair.len() {
        2 => u8::from_str_radix(pair, 16).map_err(|_| format!("`{pair}` is no byte")),
        _ => Err(format!("`{pair}` is no byte of two hexadecimal digits")),
    };
    text.split_whitespace().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expect(text: &str) -> Expect {
        serde_saphyr::from_str(text).unwrap()
    }

    #[test]
    fn what_is_left_out_is_what_most_answers_have() {
        let wanted = expect("body: 'null'").fill().unwrap();
        assert_eq!(
            (
                wanted.status,
                wanted.content_type.as_deref(),
                wanted.framing
            ),
            (200, Some("application/json"), Framing::Length)
        );
        let wanted = expect("events: ['1', '\"a\"']").fill().unwrap();
        assert_eq!(
            wanted.body,
            WantedBody::Bytes(b"data: 1\n\ndata: \"a\"\n\n".to_vec())
        );
        assert_eq!(wanted.framing, Framing::Chunked);
        let wanted = expect("{type: none, body: ''}").fill().unwrap();
        assert_eq!(wanted.content_type, None);
    }

    #[test]
    fn a_difference_replaces_what_it_names_and_no_more() {
        let common = expect("{status: 400, headers: {a: '1', b: '2'}, absent: [c], body: x}");
        let over = expect("{headers: {a: '3', c: '4'}, absent: [b], json: '{}'}");
        assert_eq!(
            common.with(&over),
            expect("{status: 400, headers: {a: '3', c: '4'}, absent: [b], json: '{}'}")
        );
        assert_eq!(common.with(&expect("body: x")), common);
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        for (text, reason) in [
            ("status: 200", "nothing is said of the body"),
            (
                "{body: x, json: '1'}",
                "the body is given in more than one way",
            ),
            (
                "{body: x, headers: {Allow: POST}}",
                "the header `Allow` is not in lower case",
            ),
            (
                "{body: x, headers: {a: '1'}, absent: [a]}",
                "the header `a` must be there and must not",
            ),
            ("body: '<<number>>'", "there is no hole `<<number>>`"),
            ("hex: '0'", "`0` is no byte of two hexadecimal digits"),
        ] {
            assert_eq!(expect(text).fill().unwrap_err(), reason);
        }
        assert!(serde_saphyr::from_str::<Expect>("{body: x, colour: red}").is_err());
    }
}
