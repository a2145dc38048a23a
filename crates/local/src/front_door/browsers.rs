//! What the service takes from a WebSocket handshake besides its headers, because a browser cannot set any: the session
//! and headers of the caller's own in the query, and a bearer token among the sub-protocols.
//!
//! All becomes headers here. A token is not checked, as signatures are not.

use agentcore_protocol::error::ServiceError;
use agentcore_protocol::header::{CUSTOM_PREFIX, SESSION_ID};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL};
use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;

use super::socket::list;

/// Offered beside the token, as the one that can be chosen: a browser hangs up on a server that chooses none.
const BEARER: HeaderValue = HeaderValue::from_static("base64UrlBearerAuthorization");

/// The longest token, in base64.
const LONGEST_TOKEN: usize = 4096;

/// Adds the headers that are in the query. One that was sent as a header counts more.
pub(crate) fn take_headers(query: &str, headers: &mut HeaderMap) -> Result<(), ServiceError> {
    for (name, value) in query.split('&').filter_map(|it| it.split_once('=')) {
        let name = percent_decode_str(name).decode_utf8_lossy().to_lowercase();
        if name != SESSION_ID.as_str() && !name.starts_with(CUSTOM_PREFIX) {
            continue;
        }
        let value: Vec<u8> = percent_decode_str(value).collect();
        let header = HeaderName::try_from(&name)
            .ok()
            .zip(HeaderValue::try_from(value).ok());
        let (header, value) = header.ok_or_else(|| {
            ServiceError::validation(format!("`{name}` in the query cannot be a header"))
        })?;
        headers.entry(header).or_insert(value);
    }
    Ok(())
}

/// Makes the token among the sub-protocols an `Authorization`, unless there is one; the agent sees the other protocols.
pub(crate) fn take_token(headers: &mut HeaderMap) -> Result<Token, ServiceError> {
    let mut token = Token { is_offered: false };
    let mut others = Vec::new();
    let mut encoded = None;
    for protocol in list(headers, &SEC_WEBSOCKET_PROTOCOL) {
        match protocol.split_once('.') {
            _ if protocol.as_bytes() == BEARER.as_bytes() => token.is_offered = true,
            Some((name, rest)) if name.as_bytes() == BEARER.as_bytes() => encoded = Some(rest),
            _ => others.push(protocol),
        }
    }
    let bearer = encoded.map(bearer).transpose()?;
    if !token.is_offered && bearer.is_none() {
        return Ok(token);
    }
    let others = HeaderValue::try_from(others.join(", ")).ok();
    match others.filter(|it| !it.is_empty()) {
        Some(others) => drop(headers.insert(SEC_WEBSOCKET_PROTOCOL, others)),
        None => drop(headers.remove(SEC_WEBSOCKET_PROTOCOL)),
    }
    if let Some(bearer) = bearer {
        headers.entry(AUTHORIZATION).or_insert(bearer);
    }
    Ok(token)
}

fn bearer(encoded: &str) -> Result<HeaderValue, ServiceError> {
    let token = BASE64_URL_SAFE_NO_PAD.decode(encoded).ok();
    let value = token
        .filter(|token| !token.is_empty() && encoded.len() <= LONGEST_TOKEN)
        .and_then(|token| HeaderValue::try_from([b"Bearer ", &token[..]].concat()).ok());
    let mut value = value.ok_or_else(|| {
        ServiceError::unauthorized(format!(
            "the token among the sub-protocols is not base64url of {LONGEST_TOKEN} characters at most, without padding"
        ))
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// What a caller offered beside its token.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Token {
    is_offered: bool,
}

impl Token {
    /// Chooses what was offered, if the agent chose nothing.
    pub(crate) fn answer(&self, headers: &mut HeaderMap) {
        if self.is_offered {
            headers.entry(SEC_WEBSOCKET_PROTOCOL).or_insert(BEARER);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CUSTOM: &str = "x-amzn-bedrock-agentcore-runtime-custom-team";

    fn offering(protocols: &str) -> HeaderMap {
        let protocols = HeaderValue::try_from(protocols).unwrap();
        HeaderMap::from_iter([(SEC_WEBSOCKET_PROTOCOL, protocols)])
    }

    #[test]
    fn session_and_custom_headers_are_taken_from_the_query_and_nothing_else() {
        let mut headers = HeaderMap::new();
        let query = "qualifier=DEFAULT&X-Amzn-Bedrock-AgentCore-Runtime-Session-Id=abc&X-Amz-Signature=1\
            &X-Amzn-Bedrock-AgentCore-Runtime-Custom-Team=gr%C3%BCn%20x&authorization=no&x";
        take_headers(query, &mut headers).unwrap();
        assert_eq!(headers.len(), 2);
        assert_eq!(headers[SESSION_ID], "abc");
        assert_eq!(headers[CUSTOM].as_bytes(), "grün x".as_bytes());
        let other = format!("{CUSTOM}=blue");
        take_headers(&other, &mut headers).unwrap();
        assert_eq!(headers[CUSTOM].as_bytes(), "grün x".as_bytes());
        for bad in [format!("{CUSTOM}=a%0Ab"), format!("{CUSTOM}%20=a")] {
            assert_eq!(take_headers(&bad, &mut headers).unwrap_err().status, 400);
        }
    }

    #[test]
    fn a_token_becomes_a_header_and_the_agent_sees_the_rest() {
        let mut headers = offering(
            "chat, base64UrlBearerAuthorization.YS5iLmM, base64UrlBearerAuthorization, v2",
        );
        let token = take_token(&mut headers).unwrap();
        assert_eq!(headers[AUTHORIZATION], "Bearer a.b.c");
        assert!(headers[AUTHORIZATION].is_sensitive());
        assert_eq!(headers[SEC_WEBSOCKET_PROTOCOL], "chat, v2");
        let mut answer = HeaderMap::new();
        token.answer(&mut answer);
        assert_eq!(answer[SEC_WEBSOCKET_PROTOCOL], BEARER);
        let mut chosen = offering("chat");
        token.answer(&mut chosen);
        assert_eq!(chosen[SEC_WEBSOCKET_PROTOCOL], "chat");
    }

    #[test]
    fn without_a_token_nothing_changes() {
        let mut headers = offering("chat,v2");
        let token = take_token(&mut headers).unwrap();
        assert_eq!(headers, offering("chat,v2"));
        let mut answer = HeaderMap::new();
        token.answer(&mut answer);
        assert!(answer.is_empty());
    }

    #[test]
    fn a_token_that_is_none_is_not_authorized() {
        let long = "A".repeat(LONGEST_TOKEN + 4);
        for token in ["", "YS5iLmM=", "a+b/", "Cg", &long] {
            let mut headers = offering(&format!("base64UrlBearerAuthorization.{token}"));
            let refused = take_token(&mut headers).unwrap_err();
            assert_eq!(refused.status, 401, "{token}");
        }
    }
}
