//! The handshake as HTTP has it (RFC 6455 §4.2): which request asks for a WebSocket, whether it is well-formed, and the
//! answer that makes it one.

use http::header::{
    CONNECTION, CONTENT_LENGTH, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, TRANSFER_ENCODING, UPGRADE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, Version};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::body::AnswerBody;
use crate::routes::text;

const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");

/// Says whether a `GET` asks for a WebSocket; whether it does so properly is [`check`]ed later.
pub(crate) fn is_asked_for(headers: &HeaderMap) -> bool {
    lists(headers, &UPGRADE).any(|it| it.eq_ignore_ascii_case("websocket"))
}

/// Returns the key that the answer proves itself with, or what the caller did wrong.
pub(super) fn check(head: &Parts) -> Result<HeaderValue, BadHandshake> {
    let refuse = |text| Err(BadHandshake(StatusCode::BAD_REQUEST, text));
    let headers = &head.headers;
    if head.version != Version::HTTP_11 {
        return refuse("A WebSocket needs HTTP/1.1");
    }
    if !lists(headers, &CONNECTION).any(|it| it.eq_ignore_ascii_case("upgrade")) {
        return refuse("The handshake has no `Connection: Upgrade`");
    }
    if headers
        .get(SEC_WEBSOCKET_VERSION)
        .map(HeaderValue::as_bytes)
        != Some(b"13")
    {
        return Err(BadHandshake(
            StatusCode::UPGRADE_REQUIRED,
            "The handshake has to ask for version 13 of the protocol (`Sec-WebSocket-Version: 13`)",
        ));
    }
    match headers.get(SEC_WEBSOCKET_KEY) {
        Some(key) if is_nonce(key.as_bytes()) => Ok(key.clone()),
        _ => refuse("The handshake has no valid `Sec-WebSocket-Key`, which is 16 bytes in base64"),
    }
}

/// Returns the protocols that the client offers, in its order.
pub(super) fn offered(headers: &HeaderMap) -> Vec<String> {
    lists(headers, &SEC_WEBSOCKET_PROTOCOL)
        .map(ToOwned::to_owned)
        .collect()
}

/// The answer after which the connection speaks WebSocket, with the agent's own headers as far as they are its own.
pub(super) fn switching(
    key: &HeaderValue,
    protocol: Option<HeaderValue>,
    own: HeaderMap,
) -> Response<AnswerBody> {
    let mut response = Response::new(AnswerBody::Full(None));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    *headers = own;
    for name in [
        CONTENT_LENGTH,
        TRANSFER_ENCODING,
        // No extension was agreed on, and the other two are for the client to say.
        SEC_WEBSOCKET_EXTENSIONS,
        SEC_WEBSOCKET_KEY,
        SEC_WEBSOCKET_VERSION,
        SEC_WEBSOCKET_PROTOCOL,
    ] {
        headers.remove(name);
    }
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, WEBSOCKET);
    let proof = derive_accept_key(key.as_bytes());
    let proof = HeaderValue::try_from(proof).expect("base64 is always a header's value");
    headers.insert(SEC_WEBSOCKET_ACCEPT, proof);
    if let Some(protocol) = protocol {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    response
}

/// The answer to a handshake that was refused: nothing but a status, as the reference has it.
pub(super) fn refused(status: StatusCode) -> Response<AnswerBody> {
    let mut response = Response::new(AnswerBody::Full(None));
    *response.status_mut() = status;
    response
}

/// A handshake that cannot be answered: a status, and what is wrong.
#[derive(Debug)]
pub(super) struct BadHandshake(pub(super) StatusCode, pub(super) &'static str);

impl BadHandshake {
    /// Returns the answer; a 426 names the version that there is (RFC 6455 §4.4, RFC 9110 §15.5.22).
    pub(super) fn answer(self) -> Response<AnswerBody> {
        let Self(status, what) = self;
        let mut response = text(status, what);
        if status == StatusCode::UPGRADE_REQUIRED {
            let headers = response.headers_mut();
            headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
            headers.insert(UPGRADE, WEBSOCKET);
            headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        }
        response
    }
}

/// The items of a header that is a list, over all its lines.
fn lists<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    headers
        .get_all(name)
        .into_iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|item| !item.is_empty())
}

fn is_nonce(key: &[u8]) -> bool {
    let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    matches!(key, [digits @ .., b'=', b'='] if digits.len() == 22 && digits.iter().all(is_base64))
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    const GOOD: [(&str, &str); 4] = [
        ("connection", "keep-alive, Upgrade"),
        ("upgrade", "h2c, WebSocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];

    /// A good handshake with one header replaced, or left out if it is empty.
    fn head(name: &str, value: &str) -> Parts {
        let mut request = Request::get("/ws");
        for (known, good) in GOOD {
            let value = if known == name { value } else { good };
            if !value.is_empty() {
                request = request.header(known, value);
            }
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn a_good_handshake_is_answered_with_the_proof_of_its_key() {
        let head = head("none", "");
        assert!(is_asked_for(&head.headers));
        let response = switching(&check(&head).unwrap(), None, HeaderMap::new());
        assert_eq!(response.status(), 101);
        assert_eq!(
            response.headers()[SEC_WEBSOCKET_ACCEPT],
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
            "the example of RFC 6455 §1.3"
        );
        assert!(!response.headers().contains_key(SEC_WEBSOCKET_PROTOCOL));
    }

    #[test]
    fn a_bad_handshake_is_told_what_is_wrong() {
        for (name, value, status) in [
            ("connection", "", 400),
            ("connection", "keep-alive", 400),
            ("sec-websocket-version", "", 426),
            ("sec-websocket-version", "8", 426),
            ("sec-websocket-key", "", 400),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=", 400),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25j*Q==", 400),
        ] {
            let refusal = check(&head(name, value)).unwrap_err().answer();
            assert_eq!(refusal.status(), status, "{name}: {value}");
            let has_version = refusal.headers().contains_key(SEC_WEBSOCKET_VERSION);
            assert_eq!(has_version, status == 426);
        }
        let mut old = head("none", "");
        old.version = Version::HTTP_10;
        assert_eq!(check(&old).unwrap_err().0, 400);
    }

    #[test]
    fn only_the_upgrade_header_asks_for_a_websocket() {
        for (value, asked) in [("", false), ("h2c", false), ("websocket2", false)] {
            assert_eq!(is_asked_for(&head("upgrade", value).headers), asked);
        }
    }

    #[test]
    fn offers_keep_their_order_over_several_lines() {
        let mut headers = HeaderMap::new();
        for line in ["chat.v2, chat.v1", "", "other ,"] {
            headers.append(SEC_WEBSOCKET_PROTOCOL, line.parse().unwrap());
        }
        assert_eq!(offered(&headers), ["chat.v2", "chat.v1", "other"]);
    }
}
