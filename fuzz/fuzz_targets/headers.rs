//! Reads any headers as those of an invocation: ids, trace, baggage, what is forwarded; and credentials stay hidden.
//!
//! The input is `name: value` lines; lines that are no header are left out. What a `$` stands for is a secret: it is
//! replaced by one before the headers are read.

#![no_main]

use agentcore_protocol::baggage::Baggage;
use agentcore_protocol::header::{self, is_forwardable, is_secret};
use agentcore_protocol::trace::TraceContext;
use agentcore_runtime::Context;
use http::{HeaderMap, HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;

/// A text that only headers with secrets contain.
const SECRET: &str = "s3cr3t-0123456789";

fuzz_target!(|input: &[u8]| {
    let headers = headers(input);
    trace(&headers);
    baggage(&headers);
    forwarded(&headers);
    let context = Context::from_headers(headers);
    ids(&context);
    hidden(&context);
});

fn headers(input: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in input.split(|&byte| byte == b'\n') {
        let cut = line.iter().position(|&byte| byte == b':').unwrap_or(0);
        let (name, value) = line.split_at(cut);
        let Ok(name) = HeaderName::from_bytes(name) else {
            continue;
        };
        let mut value = value[1..].trim_ascii().to_vec();
        if is_secret(name.as_str()) {
            let parts: Vec<&[u8]> = value.split(|&byte| byte == b'$').collect();
            value = parts.join(SECRET.as_bytes());
        }
        if let Ok(value) = HeaderValue::from_bytes(&value) {
            // More do not fit into a map, and `append` would panic.
            let _ = headers.try_append(name, value);
        }
    }
    headers
}

fn trace(headers: &HeaderMap) {
    let Some(trace) = TraceContext::from_headers(headers) else {
        return;
    };
    let amzn = trace.to_amzn_trace_id();
    assert_eq!(
        TraceContext::from_amzn_trace_id(&amzn),
        Some(trace),
        "{amzn}"
    );
    if let Some(w3c) = trace.to_traceparent() {
        let again = TraceContext::from_traceparent(&w3c).expect("a traceparent");
        assert_eq!(again.to_traceparent(), Some(w3c));
    }
}

fn baggage(headers: &HeaderMap) {
    let baggage = Baggage::from_headers(headers);
    for (key, value) in baggage.iter() {
        assert!(!key.is_empty() && !value.is_empty());
        assert!(baggage.get_all(key).any(|it| it == value));
        assert!(baggage.get(key).is_some());
    }
    if let Ok(Some(bundle)) = baggage.config_bundle() {
        assert!(bundle.arn().ends_with(bundle.id()) && !bundle.id().is_empty());
    }
    let _ = (baggage.routing_experiment(), baggage.ambiguous().count());
}

fn forwarded(headers: &HeaderMap) {
    let shown = header::forwarded(headers);
    for (name, value) in &shown {
        assert!(is_forwardable(name), "{name}");
        assert!(is_forwardable(&name.to_uppercase()), "{name}");
        let last = headers
            .get_all(name)
            .iter()
            .next_back()
            .expect("a header that came");
        assert_eq!(*value, header::latin1(last), "{name}");
    }
    let expected = headers.keys().filter(|name| is_forwardable(name.as_str()));
    assert_eq!(shown.len(), expected.count());
}

fn ids(context: &Context) {
    assert!(!context.request_id().is_empty());
    if let Some(session) = context.session_id() {
        let came = context.headers().get(header::SESSION_ID);
        assert_eq!(came, Some(&session.to_header_value()));
    }
    let tokens = [
        context.authorization(),
        context.workload_access_token(),
        context.oauth2_callback_url(),
    ];
    assert!(
        tokens
            .iter()
            .flatten()
            .all(|token| !token.expose().is_empty())
    );
    assert_eq!(context.baggage(), &Baggage::from_headers(context.headers()));
}

fn hidden(context: &Context) {
    let not_hidden = context.headers().iter().any(|(name, value)| {
        let is_open = !is_secret(name.as_str()) && header::latin1(value).contains(SECRET);
        is_open || name.as_str().contains(SECRET)
    });
    if not_hidden {
        return;
    }
    let shown = format!(
        "{context:?} {:?} {:?} {:?} {:?} {:?}",
        context.headers(),
        context.forwarded_headers(),
        context.authorization(),
        context.workload_access_token(),
        context.oauth2_callback_url(),
    );
    assert!(!shown.contains(SECRET), "{shown}");
}
