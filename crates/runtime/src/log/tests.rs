//! What lines look like and what they carry, each written on the test's own thread.

use http::HeaderMap;

use super::*;
use crate::context::Context;

fn lines(work: impl FnOnce()) -> Vec<String> {
    let captured = Captured::start();
    work();
    captured.lines()
}

#[test]
fn a_line_has_the_keys_of_the_schema_in_their_order() {
    let lines = lines(|| {
        let span = tracing::info_span!("invocation", request_id = "r-1", session_id = Some("s-1"));
        let _entered = span.enter();
        let _inner = tracing::info_span!("of_the_author", step = 3).entered();
        tracing::warn!(target: LOGGER, errorType = "T", level = 7, "Ünïcode \"{}\"\n", 1);
    });
    assert_eq!(
        lines,
        [concat!(
            r#""level": "WARNING", "message": "Ünïcode \"1\"\n", "logger": "bedrock_agentcore.app", "#,
            r#""requestId": "r-1", "sessionId": "s-1", "errorType": "T", "level_": 7}"#
        )]
    );
}

#[test]
fn ids_are_left_out_where_there_are_none() {
    let lines = lines(|| {
        tracing::info!(target: "my_agent", "alone");
        let span = tracing::info_span!("invocation", request_id = "r-2", session_id = None::<&str>);
        span.in_scope(|| tracing::debug!(target: "my_agent", "with a request"));
    });
    assert_eq!(
        lines,
        [
            r#""level": "INFO", "message": "alone", "logger": "my_agent"}"#,
            r#""level": "DEBUG", "message": "with a request", "logger": "my_agent", "requestId": "r-2"}"#,
        ]
    );
}

#[test]
fn the_ids_stay_whatever_the_filter_lets_through() {
    for filter in ["my_agent=debug", "error,my_agent=debug"] {
        let captured = Captured::of(filter, Style::Json);
        let span = tracing::error_span!(target: LOGGER, INVOCATION, request_id = "r-3");
        let _entered = span.enter();
        let _other = tracing::info_span!(target: LOGGER, "other", session_id = "no").entered();
        tracing::info!(target: LOGGER, "not wanted");
        tracing::debug!(target: "my_agent", "wanted");
        assert_eq!(
            captured.lines(),
            [r#""level": "DEBUG", "message": "wanted", "logger": "my_agent", "requestId": "r-3"}"#]
        );
    }
}

#[test]
fn values_keep_their_types() {
    let lines = lines(|| {
        tracing::info!(target: "my_agent", yes = true, less = -1, much = 1e16, text = "\"a\"", none = f64::NAN);
    });
    assert_eq!(
        lines,
        [concat!(
            r#""level": "INFO", "message": "", "logger": "my_agent", "#,
            r#""yes": true, "less": -1, "much": 1e+16, "text": "\"a\"", "none": null}"#
        )]
    );
}

const W3C: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const TOKEN: &str = "eyJhbGciOiJub25lIn0.e30.";

fn context(headers: &[(&'static str, &str)]) -> Context {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(*name, value.parse().unwrap());
    }
    Context::from_headers(map)
}

#[test]
fn the_span_of_an_invocation_gives_every_line_its_ids() {
    const IDS: &str = r#""requestId": "r-4", "sessionId": "s-4", "traceId": "4bf92f3577b34da6a3ce929d0e0e4736", "spanId": "00f067aa0ba902b7""#;
    let request = ("x-amzn-bedrock-agentcore-runtime-request-id", "r-4");
    let whole = context(&[
        request,
        ("x-amzn-bedrock-agentcore-runtime-session-id", "s-4"),
        ("traceparent", W3C),
    ]);
    let root = context(&[
        request,
        (
            "x-amzn-trace-id",
            "Root=1-5759e988-bd862e3fe1be46a994272793",
        ),
    ]);
    let lines = lines(|| {
        invocation_span(&whole).in_scope(|| tracing::info!(target: "my_agent", spanId = 1, "a"));
        invocation_span(&root).in_scope(|| tracing::info!(target: "my_agent", "b"));
    });
    assert_eq!(
        lines,
        [
            format!(
                r#""level": "INFO", "message": "a", "logger": "my_agent", {IDS}, "spanId_": 1}}"#
            ),
            concat!(
                r#""level": "INFO", "message": "b", "logger": "my_agent", "requestId": "r-4", "#,
                r#""traceId": "5759e988bd862e3fe1be46a994272793"}"#
            )
            .to_owned(),
        ]
    );
}

#[test]
fn what_an_invocation_brought_as_a_secret_is_not_in_its_lines() {
    let secret = context(&[
        ("x-amzn-bedrock-agentcore-runtime-request-id", "r-5"),
        ("authorization", &format!("Bearer {TOKEN}")),
        ("workloadaccesstoken", "quoted\"token"),
    ]);
    let other = context(&[("x-amzn-bedrock-agentcore-runtime-request-id", "r-6")]);
    let lines = lines(|| {
        invocation_span(&secret).in_scope(|| {
            let inner = tracing::info_span!("of_the_author");
            inner.in_scope(|| tracing::info!(target: "my_agent", "the token is {TOKEN}"));
            tracing::info!(target: "my_agent", token = TOKEN, n = 1, all = ?secret.headers().get("authorization"), "x");
            tracing::info!(target: "my_agent", "{:?} quoted\"token", secret.forwarded_headers().get("workloadaccesstoken"));
        });
        invocation_span(&other).in_scope(|| tracing::info!(target: "my_agent", "{TOKEN}"));
    });
    let line = |message: &str, id: &str, rest: &str| {
        format!(
            r#""level": "INFO", "message": "{message}", "logger": "my_agent", "requestId": "{id}"{rest}}}"#
        )
    };
    let fields = r#", "token": "[redacted]", "n": 1, "all": "Some(Sensitive)""#;
    assert_eq!(
        lines,
        [
            line("the token is [redacted]", "r-5", ""),
            line("x", "r-5", fields),
            // `Debug` writes it differently, and only verbatim copies are found.
            line(r#"Some(\"quoted\\\"token\") [redacted]"#, "r-5", ""),
            line(TOKEN, "r-6", ""),
        ]
    );
}

#[test]
fn an_id_that_comes_later_is_added_even_if_writing_it_logs() {
    struct Chatty;
    impl std::fmt::Debug for Chatty {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            tracing::info!(target: "my_agent", "while it is written");
            f.write_str("s-7")
        }
    }
    let lines = lines(|| {
        let span = tracing::info_span!(
            "invocation",
            request_id = "r-7",
            session_id = tracing::field::Empty
        );
        let _entered = span.enter();
        span.record("session_id", tracing::field::debug(Chatty));
        tracing::info!(target: "my_agent", "after");
    });
    let ids = r#""logger": "my_agent", "requestId": "r-7""#;
    assert_eq!(
        lines,
        [
            format!(r#""level": "INFO", "message": "while it is written", {ids}}}"#),
            format!(r#""level": "INFO", "message": "after", {ids}, "sessionId": "s-7"}}"#),
        ]
    );
}

#[test]
fn lines_for_people_are_short_safe_and_in_order() {
    let captured = Captured::of("trace", Style::Text { color: false });
    let secret = context(&[
        ("x-amzn-bedrock-agentcore-runtime-request-id", "r-8"),
        ("x-amzn-bedrock-agentcore-runtime-session-id", "my session"),
        ("authorization", TOKEN),
    ]);
    tracing::info!(target: LOGGER, "Listening");
    invocation_span(&secret).in_scope(|| {
        tracing::warn!(target: "my_agent", token = TOKEN, n = 0.5, ok = true, "\u{1b}[2J{TOKEN}\n");
        tracing::error!(target: LOGGER, errorType = "T", cause = ?None::<u8>, "Invocation failed (0.003s)");
        tracing::info!(target: "my_agent", trace = "1: a\n  2: b\u{7}\n", n = 1, "x");
    });
    let text = captured.text();
    let lines: Vec<&str> = text
        .lines()
        .map(|line| {
            if line.starts_with("    ") {
                return line;
            }
            let (time, rest) = line.split_once(' ').unwrap();
            assert_eq!(time.len(), "12:03:44.123Z".len(), "{time}");
            rest
        })
        .collect();
    assert_eq!(
        lines,
        [
            "INFO  Listening",
            r#"WARN  my_agent: \u{1b}[2J[redacted]\n  requestId=r-8 sessionId="my session" token=[redacted] n=0.5 ok=true"#,
            r#"ERROR Invocation failed (0.003s)  requestId=r-8 sessionId="my session" errorType=T cause=None"#,
            r#"INFO  my_agent: x  requestId=r-8 sessionId="my session" n=1"#,
            "    trace:",
            "      1: a",
            r"        2: b\u{7}",
        ]
    );
}

#[test]
fn colours_are_around_words_and_not_in_them() {
    let captured = Captured::of("trace", Style::Text { color: true });
    tracing::error!(target: "my_agent", n = 1, "\u{1b}[0m");
    let text = captured.text();
    let plain = "\u{1b}[0m";
    let (_, rest) = text.split_once("Z\u{1b}[0m ").unwrap();
    assert_eq!(
        rest,
        format!(
            "\u{1b}[1;31mERROR{plain} \u{1b}[2mmy_agent: {plain}\\u{{1b}}[0m  \u{1b}[2mn={plain}1\n"
        )
    );
}
