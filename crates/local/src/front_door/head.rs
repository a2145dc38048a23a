//! The heads of requests and answers on their way through: what they get, and what concerns one connection only.
//!
//! Names and values; which session a request belongs to and what becomes of it is decided by the routes.

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use agentcore_protocol::SessionId;
use agentcore_protocol::header::{REQUEST_ID, SESSION_ID};
use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue, Uri};
use uuid::Uuid;

/// Makes the headers of a caller's request those of one to the sandbox of `session`.
pub(crate) fn for_sandbox(headers: &mut HeaderMap, session: &SessionId) {
    remove_hop_by_hop(headers);
    headers.remove(header::EXPECT);
    headers.insert(header::HOST, HeaderValue::from_static("localhost"));
    headers.insert(SESSION_ID, session.to_header_value());
}

/// Makes sure that a request has an id, and returns it.
pub(crate) fn request_id(headers: &mut HeaderMap) -> HeaderValue {
    if let Some(id) = headers.get(REQUEST_ID).filter(|id| !id.is_empty()) {
        return id.clone();
    }
    let id = HeaderValue::try_from(new_request_id().to_string()).expect("a UUID is ASCII");
    headers.insert(REQUEST_ID, id.clone());
    id
}

/// Makes a UUID without asking the kernel for each: a counter under a keyed hash. Unique, and no secret.
fn new_request_id() -> Uuid {
    static KEYS: LazyLock<[RandomState; 2]> = LazyLock::new(Default::default);
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let [high, low] = KEYS.each_ref().map(|key| key.hash_one(count));
    let bits = (u128::from(high) << 64) | u128::from(low);
    uuid::Builder::from_random_bytes(bits.to_be_bytes()).into_uuid()
}

/// A path in a sandbox, with the caller's query if there is one.
pub(crate) fn uri(path: &'static str, query: Option<&str>) -> Uri {
    let plain = || Uri::from_static(path);
    // The query was part of a valid URI a moment ago.
    query.map_or_else(plain, |query| {
        Uri::try_from(format!("{path}?{query}")).unwrap_or_else(|_| plain())
    })
}

/// Removes what concerns one connection only, by name or because `Connection` names it.
pub(crate) fn remove_hop_by_hop(headers: &mut HeaderMap) {
    const HOP_BY_HOP: [HeaderName; 8] = [
        header::CONNECTION,
        HeaderName::from_static("keep-alive"),
        HeaderName::from_static("proxy-connection"),
        header::PROXY_AUTHORIZATION,
        header::TE,
        header::TRAILER,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
    ];
    if headers.contains_key(header::CONNECTION) {
        let named: Vec<HeaderName> = headers
            .get_all(header::CONNECTION)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(|name| name.trim().parse().ok())
            .collect();
        for name in named {
            headers.remove(name);
        }
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}
