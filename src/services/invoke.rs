//! The data plane's client: one invocation, sent the same way to this machine's front door and to the managed service.
//!
//! It moves bytes and reads status lines. How an answer is shown is not its matter, and it never tries again: an
//! invocation may have done something already.

use std::time::Duration;

use agentcore_protocol::{ServiceSessionId, header};
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::refusal::Refusal;
use crate::error::{CliError, Kind};

/// How long the other side may take to accept a connection; the answer itself may take as long as it wants.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The most of a refusal's body that is read, in bytes.
const LONGEST_REFUSAL: usize = 1 << 20;
/// Everything but the unreserved characters of RFC 3986: an ARN is one segment of the path.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Where an invocation goes.
#[derive(Debug)]
pub(crate) struct Target {
    /// Scheme, host and port, without a slash at the end.
    pub(crate) base: String,
    /// The runtime's ARN.
    pub(crate) arn: String,
}

/// What is sent.
pub(crate) struct Call {
    /// The payload.
    pub(crate) body: Vec<u8>,
    /// The session it belongs to.
    pub(crate) session: ServiceSessionId,
    /// The `Authorization` header, if there is one.
    pub(crate) authorization: Option<HeaderValue>,
}

/// Why there is no answer, or not all of it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InvokeError {
    /// The other side does not accept connections.
    #[error("nothing answers at {base}")]
    Unreachable {
        /// Where nothing answers.
        base: String,
        /// What the connection said.
        #[source]
        source: reqwest::Error,
    },
    /// The connection ended before there was an answer.
    #[error("the connection ended before there was an answer")]
    NoAnswer(#[source] reqwest::Error),
    /// The answer is not a success.
    #[error("the invocation was refused with status {}", .0.status)]
    Refused(Refusal),
    /// The answer began and did not come to its end.
    #[error("the answer was cut short")]
    CutShort(#[source] reqwest::Error),
    /// The HTTP client could not be made.
    #[error("cannot set up the HTTP client")]
    Client(#[source] reqwest::Error),
}

/// A bearer token that cannot be sent. It does not repeat the token.
#[derive(Debug, thiserror::Error)]
#[error("the bearer token has characters that a header cannot carry")]
pub(crate) struct InvalidToken;

/// An answer that began well; its body is still to come.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The session that answered.
    pub(crate) session: String,
    /// What the body is.
    pub(crate) body: BodyKind,
    response: reqwest::Response,
}

/// What the body of an answer is, by its content type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyKind {
    /// Server-sent events.
    Events,
    /// One JSON text.
    Json,
    /// Another kind of text.
    Text,
    /// Anything else: passed on as it is.
    Bytes,
}

/// Sends `call` to `target` on this machine and returns when the answer begins.
///
/// # Errors
///
/// Fails if there is no answer or if its status is not a success.
pub(crate) async fn send(target: &Target, call: Call) -> Result<Answer, InvokeError> {
    let Target { base, arn } = target;
    let Call {
        body,
        session,
        authorization,
    } = call;
    let client = reqwest::Client::builder()
        // A proxy of the environment has no way to this machine's loopback.
        .no_proxy()
        .connect_timeout(CONNECT_TIMEOUT)
        .build()
        .map_err(InvokeError::Client)?;
    let arn = utf8_percent_encode(arn, SEGMENT);
    let mut request = client
        .post(format!(
            "{base}/runtimes/{arn}/invocations?qualifier=DEFAULT"
        ))
        .header(CONTENT_TYPE, "application/json")
        .header(ACCEPT, "text/event-stream, application/json")
        .header(header::SESSION_ID, session.to_header_value());
    if let Some(authorization) = authorization {
        request = request.header(AUTHORIZATION, authorization);
    }
    let response = request.body(body).send().await.map_err(|source| {
        if source.is_connect() {
            InvokeError::Unreachable {
                base: base.clone(),
                source,
            }
        } else {
            InvokeError::NoAnswer(source)
        }
    })?;
    if !response.status().is_success() {
        return Err(InvokeError::Refused(refusal(response).await));
    }
    let headers = response.headers();
    let session = text(headers, header::SESSION_ID.as_str())
        .unwrap_or(session.as_str())
        .to_owned();
    Ok(Answer {
        session,
        body: BodyKind::of(headers),
        response,
    })
}

/// Makes the header that shows a bearer token.
///
/// # Errors
///
/// Fails if the token has characters that a header cannot carry.
pub(crate) fn bearer(token: &str) -> Result<HeaderValue, InvalidToken> {
    let mut value = HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| InvalidToken)?;
    value.set_sensitive(true);
    Ok(value)
}

impl Answer {
    /// The next piece of the body as it arrives; `None` at its end.
    ///
    /// # Errors
    ///
    /// Fails if the connection ends before the body does.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, InvokeError> {
        self.response.chunk().await.map_err(InvokeError::CutShort)
    }
}

impl BodyKind {
    fn of(headers: &HeaderMap) -> Self {
        let kind = text(headers, CONTENT_TYPE.as_str()).unwrap_or_default();
        let kind = kind
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase();
        match kind.as_str() {
            "text/event-stream" => Self::Events,
            "application/json" => Self::Json,
            _ if kind.ends_with("+json") => Self::Json,
            _ if kind.starts_with("text/") => Self::Text,
            _ => Self::Bytes,
        }
    }
}

impl From<InvokeError> for CliError {
    fn from(error: InvokeError) -> Self {
        let kind = match error {
            InvokeError::Refused(refusal) => return refusal.into(),
            InvokeError::Unreachable { .. } => Kind::NotFound,
            InvokeError::CutShort(_) => Kind::Agent,
            InvokeError::NoAnswer(_) | InvokeError::Client(_) => Kind::Other,
        };
        let message = error.to_string();
        let cause = std::error::Error::source(&error)
            .map(root_text)
            .unwrap_or_default();
        let failure = Self::new(kind, message).caused_by(cause);
        match kind {
            Kind::NotFound => failure.hint("see what runs with `agentcore status --local`"),
            _ => failure,
        }
    }
}

impl From<InvalidToken> for CliError {
    fn from(error: InvalidToken) -> Self {
        Self::usage(error.to_string()).hint("pass the token alone, without line breaks")
    }
}

/// The innermost cause: the layers between repeat the URL and say less.
fn root_text(error: &(dyn std::error::Error + 'static)) -> String {
    let mut root = error;
    while let Some(source) = root.source() {
        root = source;
    }
    root.to_string()
}

async fn refusal(mut response: reqwest::Response) -> Refusal {
    let status = response.status().as_u16();
    let error_type = text(response.headers(), header::ERROR_TYPE.as_str())
        // The managed service may add a namespace after a colon.
        .map(|name| name.split(':').next().unwrap_or(name).to_owned());
    let mut body = Vec::new();
    // A body that breaks off still says more than none.
    while let Ok(Some(chunk)) = response.chunk().await {
        body.extend_from_slice(&chunk);
        if body.len() > LONGEST_REFUSAL {
            break;
        }
    }
    Refusal::new(status, error_type, &body)
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_content_type_tells_what_the_body_is() {
        for (content_type, kind) in [
            ("text/event-stream; charset=utf-8", BodyKind::Events),
            ("Text/Event-Stream", BodyKind::Events),
            ("application/json", BodyKind::Json),
            ("application/json; charset=utf-8", BodyKind::Json),
            ("application/problem+json", BodyKind::Json),
            ("text/plain", BodyKind::Text),
            ("application/octet-stream", BodyKind::Bytes),
            ("", BodyKind::Bytes),
        ] {
            let value = HeaderValue::from_static(content_type);
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, value)]);
            assert_eq!(BodyKind::of(&headers), kind, "{content_type}");
        }
    }

    #[test]
    fn a_token_that_no_header_can_carry_is_refused_without_being_repeated() {
        let error = bearer("secret\nX-Evil: 1").expect_err("a line break");
        assert_eq!(CliError::from(error).kind(), Kind::Usage);
        assert!(bearer("eyJh.eyJz.c2ln").expect("a token").is_sensitive());
    }

    #[test]
    fn an_arn_is_one_segment() {
        let arn = "arn:aws:bedrock-agentcore:us-west-2:123456789012:runtime/my_agent-abc";
        assert_eq!(
            utf8_percent_encode(arn, SEGMENT).to_string(),
            "arn%3Aaws%3Abedrock-agentcore%3Aus-west-2%3A123456789012%3Aruntime%2Fmy_agent-abc"
        );
    }
}
