//! What a table must not say, and how a row is put together.

use super::exchange::Framing;
use super::expect::WantedBody;
use super::table::{Server, Table};

fn parse(rows: &str) -> Result<Table, String> {
    let text = format!("section: '1.3'\ntitle: A table\nrows:\n{rows}");
    Table::parse(&[("a.yaml".to_owned(), text)])
}

#[test]
fn a_row_says_what_is_asked_and_what_is_answered() {
    let table = parse(
        r#"
- id: one
  says: a sentence
  body: '"x"'
  expect: { body: '"x"' }
  differs:
    - servers: [rust]
      reason: it is made of Rust
      expect: { status: 400, body: '{"error":"<<any>>"}' }
- id: two
  says: a sentence
  app: debug
  only: { servers: [sdk, native], reason: a value of Python }
  steps:
    - request: GET /ping
      expect: { body: '{}' }
    - body: [ { repeat: 'ab', times: 2 }, { hex: '00 ff' }, 'c' ]
      sent: chunked
      expect: { events: ['1'] }
"#,
    )
    .unwrap();
    let [one, two] = &table.rows[..] else {
        panic!("{table:?}")
    };
    assert_eq!((one.section.as_str(), one.app.as_str()), ("1.3", "value"));
    assert_eq!(one.steps[0].request, "POST /invocations");
    let rust = table.wanted(&one.steps[0], Server::Rust).unwrap();
    let sdk = table.wanted(&one.steps[0], Server::Sdk).unwrap();
    assert_eq!((rust.status, sdk.status), (400, 200));
    assert_eq!(
        one.steps[0].reason(Server::Rust),
        Some("it is made of Rust")
    );
    assert_eq!(sdk.body, WantedBody::Bytes(b"\"x\"".to_vec()));
    assert_eq!(table.rows_for(Server::Rust).count(), 1);
    assert_eq!(two.steps[1].body.bytes().unwrap(), b"abab\x00\xffc");
    assert_eq!(two.steps[1].body.parts().unwrap().len(), 3);
    let events = table.wanted(&two.steps[1], Server::Native).unwrap();
    assert_eq!(events.framing, Framing::Chunked);
}

#[test]
fn what_holds_for_every_answer_is_said_once() {
    let every = r"
section: '1.1'
title: Every answer
every:
  expect: { absent: [server] }
  differs:
    - { servers: [sdk], reason: it is served by uvicorn, expect: { headers: { server: uvicorn } } }
rows:
- { id: one, says: a sentence, expect: { body: x } }
";
    let table = Table::parse(&[("a.yaml".to_owned(), every.to_owned())]).unwrap();
    let step = &table.rows[0].steps[0];
    assert_eq!(table.wanted(step, Server::Rust).unwrap().absent, ["server"]);
    let sdk = table.wanted(step, Server::Sdk).unwrap();
    assert_eq!((sdk.absent.len(), &*sdk.headers["server"]), (0, "uvicorn"));
}

/// A table of one row with these keys beside those that every row has.
fn with(rest: &str) -> String {
    format!("- {{ id: one, says: a sentence, {rest} }}")
}

/// The same with one difference.
fn differs(rest: &str) -> String {
    with(&format!("expect: {{ body: x }}, differs: [{{ {rest} }}]"))
}

#[track_caller]
fn is_refused(rows: &str, reason: &str) {
    let error = parse(rows).err();
    let error = error.unwrap_or_else(|| panic!("accepted: {rows}"));
    assert!(
        error.starts_with("a.yaml: ") || error.starts_with("row "),
        "{error}"
    );
    assert!(error.contains(reason), "{error}\n{rows}");
}

#[test]
fn a_row_that_could_be_read_wrongly_is_refused() {
    for (rows, reason) in [
        (
            with("expect: { body: x }, colour: red"),
            "unknown field `colour`",
        ),
        (
            "- { id: one, expect: { body: x } }".to_owned(),
            "missing field `says`",
        ),
        (
            with("expect: { status: 200 }"),
            "nothing is said of the body",
        ),
        (
            with("body: { hex: 'zz' }, expect: { body: x }"),
            "`zz` is no byte",
        ),
        (
            with("expect: { body: '<<nothing>>' }"),
            "there is no hole `<<nothing>>`",
        ),
        (with("steps: []"), "there is no step"),
        (with("request: GET /, steps: []"), "belong into a step"),
        (
            format!("{0}\n{0}", with("expect: { body: x }")),
            "row one: there are two of this id",
        ),
    ] {
        is_refused(&rows, reason);
    }
}

#[test]
fn a_difference_says_why_and_changes_something() {
    for (rows, reason) in [
        (
            differs("servers: [rust], expect: { body: z }"),
            "missing field `reason`",
        ),
        (
            differs("servers: [rust], reason: because, expect: { body: z }"),
            "has no reason in words: `because`",
        ),
        (
            differs("servers: [rust], reason: it is not so, expect: { status: 200, body: x }"),
            "the difference of [Rust] changes nothing",
        ),
        (
            differs("servers: [ruby], reason: it is not so, expect: { body: z }"),
            "unknown variant `ruby`",
        ),
        (
            differs("servers: [], reason: it is not so, expect: { body: z }"),
            "a difference is nobody's",
        ),
        (
            differs("servers: [rust, rust], reason: it is not so, expect: { body: z }"),
            "Rust differs twice",
        ),
        (
            with("only: { servers: [sdk], reason: never }, expect: { body: x }"),
            "`only` has no reason in words: `never`",
        ),
        (
            with(
                "only: { servers: [sdk, rust, native], reason: all of them are }, expect: { body: x }",
            ),
            "`only` names no server, or all",
        ),
        (
            with(
                "only: { servers: [sdk], reason: a value of Python }, expect: { body: x }, \
                 differs: [{ servers: [rust], reason: it is not so, expect: { body: z } }]",
            ),
            "Rust differs, but the row is not for Rust",
        ),
    ] {
        is_refused(&rows, reason);
    }
}
