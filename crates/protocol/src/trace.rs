//! The trace that a request belongs to: W3C `traceparent`, and AWS's `X-Amzn-Trace-Id`.
//!
//! This module reads and writes the two headers. It starts no trace, makes no id, and does not read `tracestate`,
//! which only tracing systems understand.

use std::fmt;
use std::num::{NonZeroU64, NonZeroU128};
use std::str::FromStr;

use http::{HeaderMap, HeaderValue};

use crate::header::{AMZN_TRACE_ID, TRACEPARENT};

/// Which trace a request belongs to, and which span of it sent the request.
///
/// ```
/// use agentcore_protocol::trace::TraceContext;
///
/// let header = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";
/// let trace = TraceContext::from_amzn_trace_id(header).unwrap();
/// assert_eq!(trace.trace_id().to_string(), "5759e988bd862e3fe1be46a994272793");
/// assert_eq!(trace.span_id().unwrap().to_string(), "53995c3f42cd8ad8");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    trace_id: TraceId,
    span_id: Option<SpanId>,
    sampled: Option<bool>,
}

/// The id of a trace: 16 bytes, not all zero, shown as 32 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId(NonZeroU128);

/// The id of a span: 8 bytes, not all zero, shown as 16 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanId(NonZeroU64);

/// The text is no id: of another length, not hexadecimal, or all zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a trace id is 32 and a span id 16 hexadecimal digits, not all of them zero")]
pub struct InvalidId(());

impl TraceContext {
    /// Creates a context of a trace; the span and the decision to record it may be unknown.
    pub fn new(trace_id: TraceId, span_id: Option<SpanId>, sampled: Option<bool>) -> Self {
        Self {
            trace_id,
            span_id,
            sampled,
        }
    }

    /// Reads a request's headers: `traceparent`, or `X-Amzn-Trace-Id` where that is missing or malformed.
    ///
    /// A `traceparent` that came more than once counts as malformed, because nobody knows which one is meant.
    pub fn from_headers(headers: &HeaderMap) -> Option<Self> {
        let w3c = || {
            let mut values = headers.get_all(TRACEPARENT).iter();
            let value = values.next().filter(|_| values.next().is_none())?;
            Self::from_traceparent(text(value)?)
        };
        let amzn = || Self::from_amzn_trace_id(text(headers.get(AMZN_TRACE_ID)?)?);
        w3c().or_else(amzn)
    }

    /// Reads a `traceparent` (W3C Trace Context, version 00; of later versions the part that version 00 has).
    pub fn from_traceparent(value: &str) -> Option<Self> {
        let (known, later) = value.split_at_checked(55)?;
        let mut parts = known.split('-');
        let mut part = |len| parts.next().filter(|part| part.len() == len);
        // Together with the dashes these are all of the 55 bytes.
        let (version, trace_id, span_id, flags) = (part(2)?, part(32)?, part(16)?, part(2)?);
        let fits = match version {
            "00" => later.is_empty(),
            "ff" => false,
            _ => later.is_empty() || later.starts_with('-'),
        };
        if !fits || known.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return None;
        }
        hex(version)?;
        Some(Self {
            trace_id: trace_id.parse().ok()?,
            span_id: Some(span_id.parse().ok()?),
            sampled: Some(hex(flags)? & 1 == 1),
        })
    }

    /// Reads an `X-Amzn-Trace-Id`: `Root=1-<8 digits>-<24 digits>`, with `Parent` and `Sampled` or without.
    ///
    /// A `Parent` that is no span id, and a `Sampled` that is neither `0` nor `1`, count as unknown. Other fields, such as
    /// `Self` and `Lineage`, are skipped.
    pub fn from_amzn_trace_id(value: &str) -> Option<Self> {
        let field = |name: &str| {
            value.split(';').find_map(|field| {
                let (key, value) = field.split_once('=')?;
                key.trim().eq_ignore_ascii_case(name).then(|| value.trim())
            })
        };
        let (time, unique) = field("Root")?.strip_prefix("1-")?.split_once('-')?;
        if time.len() != 8 || unique.len() != 24 {
            return None;
        }
        Some(Self {
            trace_id: format!("{time}{unique}").parse().ok()?,
            span_id: field("Parent").and_then(|id| id.parse().ok()),
            sampled: match field("Sampled") {
                Some("1") => Some(true),
                Some("0") => Some(false),
                _ => None,
            },
        })
    }

    /// Returns the id of the trace.
    pub fn trace_id(&self) -> TraceId {
        self.trace_id
    }

    /// Returns the id of the span that sent the request, if the header says it.
    pub fn span_id(&self) -> Option<SpanId> {
        self.span_id
    }

    /// Returns whether the trace is recorded, if that has been decided.
    pub fn sampled(&self) -> Option<bool> {
        self.sampled
    }

    /// Returns the context as a `traceparent`; `None` without a span, which that header must name.
    pub fn to_traceparent(&self) -> Option<String> {
        let flags = u8::from(self.sampled == Some(true));
        Some(format!(
            "00-{}-{}-{flags:02x}",
            self.trace_id, self.span_id?
        ))
    }

    /// Returns the context as an `X-Amzn-Trace-Id`.
    pub fn to_amzn_trace_id(&self) -> String {
        let trace_id = self.trace_id.to_string();
        let (time, unique) = trace_id.split_at(8);
        let parent = self.span_id.map(|id| format!(";Parent={id}"));
        let sampled = self.sampled.map(|it| format!(";Sampled={}", u8::from(it)));
        let [parent, sampled] = [parent, sampled].map(Option::unwrap_or_default);
        format!("Root=1-{time}-{unique}{parent}{sampled}")
    }
}

fn text(value: &HeaderValue) -> Option<&str> {
    Some(value.to_str().ok()?.trim())
}

fn hex(digits: &str) -> Option<u8> {
    // `from_str_radix` would take a sign.
    let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hex.then(|| u8::from_str_radix(digits, 16).ok())?
}

impl FromStr for TraceId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        if text.len() != 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(InvalidId(()));
        }
        let number = u128::from_str_radix(text, 16).map_err(|_| InvalidId(()))?;
        NonZeroU128::new(number).map(Self).ok_or(InvalidId(()))
    }
}

impl FromStr for SpanId {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        if text.len() != 16 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(InvalidId(()));
        }
        let number = u64::from_str_radix(text, 16).map_err(|_| InvalidId(()))?;
        NonZeroU64::new(number).map(Self).ok_or(InvalidId(()))
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderName;
    use proptest::prelude::*;

    use super::*;

    const W3C: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    const AMZN: &str = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";

    fn shown(trace: Option<TraceContext>) -> Option<(String, Option<String>, Option<bool>)> {
        trace.map(|it| {
            let span_id = it.span_id().map(|id| id.to_string());
            (it.trace_id().to_string(), span_id, it.sampled())
        })
    }

    #[test]
    fn a_traceparent_is_read_by_the_rules_of_its_version() {
        let valid = |sampled| {
            let (trace_id, span_id) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
            Some((trace_id.to_owned(), Some(span_id.to_owned()), Some(sampled)))
        };
        let ids = &W3C[2..52];
        for (value, expected) in [
            (W3C.to_owned(), valid(true)),
            (format!("00{ids}-00"), valid(false)),
            (format!("00{ids}-ff"), valid(true)),
            (format!("01{ids}-01"), valid(true)),
            (
                format!("cc{ids}-01-what-the-future-will-be-like"),
                valid(true),
            ),
            (format!("cc{ids}-01-"), valid(true)),
            (format!("cc{ids}-01.what"), None),
            (format!("00{ids}-01-more"), None),
            (format!("00{ids}-01-"), None),
            (format!("ff{ids}-01"), None),
            (format!("0g{ids}-01"), None),
            (format!("+0{ids}-01"), None),
            (format!("00{ids}-0"), None),
            (format!("00{ids}-0g"), None),
            (format!("00{ids}-+1"), None),
            (W3C.to_uppercase(), None),
            (W3C.replace("4bf9", "4BF9"), None),
            (W3C.replace('-', "_"), None),
            (W3C.replace("4736-00f0", "47360-0f0"), None),
            (
                "00-00000000000000000000000000000000-00f067aa0ba902b7-01".to_owned(),
                None,
            ),
            (
                "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01".to_owned(),
                None,
            ),
            (String::new(), None),
            ("0é-".repeat(20), None),
        ] {
            assert_eq!(
                shown(TraceContext::from_traceparent(&value)),
                expected,
                "{value}"
            );
        }
    }

    #[test]
    fn an_x_ray_header_is_read_whatever_else_it_says() {
        let trace_id = "5759e988bd862e3fe1be46a994272793";
        let valid = |span_id: Option<&str>, sampled| {
            Some((trace_id.to_owned(), span_id.map(ToOwned::to_owned), sampled))
        };
        let parent = Some("53995c3f42cd8ad8");
        let root = "Root=1-5759e988-bd862e3fe1be46a994272793";
        for (value, expected) in [
            (AMZN.to_owned(), valid(parent, Some(true))),
            (root.to_owned(), valid(None, None)),
            (
                format!("Self=1-67891234-12456789abcdef012345678;{root}"),
                valid(None, None),
            ),
            (
                format!("{root};Sampled=0;Lineage=a87bd80c:0"),
                valid(None, Some(false)),
            ),
            (format!("{root};Parent=zz;Sampled=?"), valid(None, None)),
            (format!("root = x; {root}"), None),
            (AMZN.replace(';', " ; "), valid(parent, Some(true))),
            (AMZN.to_uppercase(), valid(parent, Some(true))),
            (AMZN.replace("1-5759", "2-5759"), None),
            (AMZN.replace("e988-bd", "e98-8bd"), None),
            ("Root=1-00000000-000000000000000000000000".to_owned(), None),
            ("Parent=53995c3f42cd8ad8".to_owned(), None),
            (String::new(), None),
        ] {
            assert_eq!(
                shown(TraceContext::from_amzn_trace_id(&value)),
                expected,
                "{value}"
            );
        }
    }

    #[test]
    fn the_w3c_header_wins_if_there_is_one_that_can_be_read() {
        for (headers, trace_id) in [
            (
                &[("traceparent", W3C), ("x-amzn-trace-id", AMZN)][..],
                Some("4bf9"),
            ),
            (
                &[("traceparent", "00-bad"), ("x-amzn-trace-id", AMZN)],
                Some("5759"),
            ),
            (
                &[
                    ("traceparent", W3C),
                    ("traceparent", W3C),
                    ("x-amzn-trace-id", AMZN),
                ],
                Some("5759"),
            ),
            (&[("traceparent", W3C), ("traceparent", W3C)], None),
            (&[("x-amzn-trace-id", AMZN)], Some("5759")),
            (&[("traceparent", "é")], None),
            (&[], None),
        ] {
            let headers: HeaderMap =
                headers
                    .iter()
                    .fold(HeaderMap::new(), |mut map, (name, value)| {
                        map.append(
                            HeaderName::from_static(name),
                            HeaderValue::from_str(value).unwrap(),
                        );
                        map
                    });
            let read = TraceContext::from_headers(&headers).map(|it| it.trace_id().to_string());
            assert_eq!(read.as_deref().map(|id| &id[..4]), trace_id, "{headers:?}");
        }
    }

    fn contexts() -> impl Strategy<Value = TraceContext> {
        (
            1..=u128::MAX,
            proptest::option::of(1..=u64::MAX),
            any::<Option<bool>>(),
        )
            .prop_map(|(trace_id, span_id, sampled)| {
                let trace_id = TraceId(NonZeroU128::new(trace_id).unwrap());
                let span_id = span_id.and_then(NonZeroU64::new).map(SpanId);
                TraceContext::new(trace_id, span_id, sampled)
            })
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(trace in contexts()) {
            let amzn = trace.to_amzn_trace_id();
            prop_assert_eq!(TraceContext::from_amzn_trace_id(&amzn), Some(trace), "{}", amzn);
            if let Some(w3c) = trace.to_traceparent() {
                // That header always says whether the trace is recorded.
                let sampled = Some(trace.sampled() == Some(true));
                let expected = TraceContext { sampled, ..trace };
                prop_assert_eq!(TraceContext::from_traceparent(&w3c), Some(expected), "{}", w3c);
            }
        }

        #[test]
        fn any_text_is_an_id_or_none(value in "\\PC{0,70}") {
            let _ = TraceContext::from_amzn_trace_id(&value);
            if let Some(trace) = TraceContext::from_traceparent(&value) {
                prop_assert!(trace.to_traceparent().is_some());
            }
        }
    }
}
