//! Compares an answer with what is wanted, and says every difference in a line that can be read.

use serde_json::Value;

use super::exchange::Answer;
use super::expect::{Wanted, WantedBody};
use super::pattern::{Found, matches};

/// How much of a long body is shown.
const SHOWN: usize = 600;

/// What is not as it should be.
pub(super) fn compare(wanted: &Wanted, answer: &Answer, found: &mut Found) -> Vec<String> {
    let mut problems = Vec::new();
    let mut differ = |what: &str, wanted: String, got: String| {
        problems.push(format!(
            "{what}\n      wanted  {wanted}\n      got     {got}"
        ));
    };
    if wanted.status != answer.status {
        differ(
            "status",
            wanted.status.to_string(),
            answer.status.to_string(),
        );
    }
    let types = answer.values("content-type");
    if types
        != wanted
            .content_type
            .as_deref()
            .into_iter()
            .collect::<Vec<_>>()
    {
        let none = || "none".to_owned();
        let named = wanted.content_type.clone().unwrap_or_else(none);
        differ("content type", named, types.join(", "));
    }
    if wanted.framing != answer.framing {
        let [wanted, got] = [wanted.framing, answer.framing].map(|it| format!("{it:?}"));
        differ("end of the body", wanted, got);
    }
    for (name, value) in &wanted.headers {
        let got = answer.values(name).join(", ");
        if !header_is(name, value, &got, found) {
            differ(&format!("header `{name}`"), value.clone(), got);
        }
    }
    for name in &wanted.absent {
        let got = answer.values(name);
        if !got.is_empty() {
            differ(
                &format!("header `{name}`"),
                "none".to_owned(),
                got.join(", "),
            );
        }
    }
    if let Err((wanted, got)) = body_is(&wanted.body, answer, found) {
        differ("body", wanted, got);
    }
    problems
}

/// The values of `allow` are a set; all others have an order.
fn header_is(name: &str, wanted: &str, got: &str, found: &mut Found) -> bool {
    if name == "allow" {
        let sorted = |text: &str| {
            let mut words: Vec<String> = text.split(',').map(|it| it.trim().to_owned()).collect();
            words.sort();
            words
        };
        return sorted(wanted) == sorted(got);
    }
    matches(wanted.as_bytes(), got.as_bytes(), found)
}

fn body_is(
    wanted: &WantedBody,
    answer: &Answer,
    found: &mut Found,
) -> Result<(), (String, String)> {
    let body = &answer.body;
    match wanted {
        WantedBody::Bytes(pattern) if matches(pattern, body, found) => Ok(()),
        WantedBody::Bytes(pattern) => Err((shown(pattern), shown(body))),
        WantedBody::Json(value) => match serde_json::from_slice::<Value>(body) {
            Ok(got) if got == *value => Ok(()),
            _ => Err((format!("JSON equal to {value}"), shown(body))),
        },
        WantedBody::Chunks(chunks) => {
            let fits = chunks.len() == answer.chunks.len()
                && chunks
                    .iter()
                    .zip(&answer.chunks)
                    .all(|(wanted, got)| matches(wanted.as_bytes(), got, found));
            if fits {
                return Ok(());
            }
            let got: Vec<String> = answer.chunks.iter().map(|chunk| shown(chunk)).collect();
            let wanted: Vec<String> = chunks.iter().map(|it| shown(it.as_bytes())).collect();
            Err((wanted.join(" | "), got.join(" | ")))
        }
    }
}

/// Bytes for a person: text as it is, with its line ends and other control characters visible.
fn shown(bytes: &[u8]) -> String {
    let text: String = match std::str::from_utf8(bytes) {
        Ok(text) => text
            .chars()
            .map(|character| match character {
                '\n' => "\\n".to_owned(),
                control if control.is_control() => control.escape_default().to_string(),
                other => other.to_string(),
            })
            .collect(),
        Err(_) => bytes.escape_ascii().to_string(),
    };
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}… ({} bytes)", &text[..end], bytes.len()),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::super::exchange::Framing;
    use super::super::expect::Expect;
    use super::*;

    fn problems(expect: &str, body: &str) -> Vec<String> {
        let expect: Expect = serde_saphyr::from_str(expect).unwrap();
        let headers = [
            ("content-type", "application/json"),
            ("allow", "HEAD, GET"),
            ("x-twice", "1"),
            ("x-twice", "2"),
        ];
        let answer = Answer {
            status: 200,
            headers: headers
                .map(|(name, value)| (name.into(), value.into()))
                .into(),
            framing: Framing::Length,
            body: body.into(),
            chunks: Vec::new(),
        };
        compare(&expect.fill().unwrap(), &answer, &mut Found::new())
    }

    #[test]
    fn what_is_as_it_should_be_is_not_told() {
        for expect in [
            "{body: '{\"a\": 1}', headers: {allow: 'GET, HEAD', x-twice: '1, 2'}, absent: [server]}",
            "{json: '{\"a\":1.0e0}'}",
            "{body: '{\"a\": <<any>>}'}",
        ] {
            let expect = expect.replace("1.0e0", "1");
            assert_eq!(problems(&expect, "{\"a\": 1}"), [""; 0]);
        }
    }

    #[test]
    fn every_difference_is_told() {
        let expect = "{status: 500, type: text/plain, framing: chunked, body: no, \
                      headers: {allow: POST, location: x}, absent: [x-twice]}";
        let told = problems(expect, "yes\n");
        let first_lines: Vec<&str> = told.iter().filter_map(|it| it.lines().next()).collect();
        assert_eq!(
            first_lines,
            [
                "status",
                "content type",
                "end of the body",
                "header `allow`",
                "header `location`",
                "header `x-twice`",
                "body"
            ]
        );
        assert!(told[6].ends_with("got     yes\\n"), "{}", told[6]);
    }
}
