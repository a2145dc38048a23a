//! YAML in and out: errors that name the place and the nearest key, and text that every YAML reader takes as it was meant.
//!
//! This module knows no key by name; the types that are read bring their own rules.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_saphyr::Error;
use serde_saphyr::granit_parser::{Event, Parser};

use crate::error::CliError;
use crate::model::nearest;

/// Reads `text`, which came from the file that is shown as `file`.
///
/// # Errors
///
/// Fails with class 3, file, line and column if the text is not YAML or not a `T`.
pub(crate) fn read<T: DeserializeOwned>(text: &str, file: &str) -> Result<T, CliError> {
    let options = serde_saphyr::options! {
        with_snippet: false,
        // What a person writes unquoted stays the text that it looks like.
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| explain(&error, file))
}

/// Writes `value` in block style. Whatever could be taken for something else is quoted.
pub(crate) fn write<T: Serialize>(value: &T) -> Result<String, CliError> {
    let options = serde_saphyr::ser_options! {
        // Folded and literal blocks lose or gain line breaks in careless hands; quoted text cannot.
        prefer_block_scalars: false,
    };
    serde_saphyr::to_string_with_options(value, options)
        .map_err(|error| CliError::other("cannot write the settings as YAML").caused_by(error))
}

/// Whether there are comments in `text`, which is known to be YAML.
pub(crate) fn has_comments(text: &str) -> bool {
    Parser::new_from_str(text).any(|event| matches!(event, Ok((Event::Comment(..), _))))
}

fn explain(error: &Error, file: &str) -> CliError {
    let place = match error.location() {
        Some(location) if location.line() > 0 => {
            format!("{file}:{}:{}", location.line(), location.column())
        }
        _ => file.to_owned(),
    };
    let (message, hint) = describe(error.without_snippet());
    CliError::configuration(format!("{place}: {message}")).hint(hint)
}

/// What is wrong and what to do, in words that speak of the file and not of this program's types.
fn describe(error: &Error) -> (String, String) {
    let correct = || "correct the file and run the command again".to_owned();
    match error {
        Error::SerdeUnknownField {
            field, expected, ..
        } => {
            let hint = match nearest(field, expected.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known here: {}", expected.join(", ")),
            };
            (format!("unknown key `{field}`"), hint)
        }
        Error::SerdeMissingField { field, .. } => (
            format!("the key `{field}` is missing"),
            format!("add `{field}`"),
        ),
        Error::DuplicateMappingKey { key: Some(key), .. } => (
            format!("the key `{key}` stands here a second time"),
            "keep one of the two".to_owned(),
        ),
        Error::NullIntoString { .. } => (
            "the key has no value".to_owned(),
            "give it one, or remove the key to leave it undecided".to_owned(),
        ),
        Error::Unexpected { expected, .. } => {
            let expected = match *expected {
                "mapping start" => "keys and values",
                "sequence start" => "a list",
                "string scalar" => "text",
                other => other,
            };
            (format!("{expected} expected here"), correct())
        }
        Error::Message { msg, .. } => match msg.split_once('\n') {
            Some((message, hint)) => (message.to_owned(), hint.to_owned()),
            None => (msg.clone(), correct()),
        },
        Error::Eof { .. } => ("the file is empty, or ends too early".to_owned(), correct()),
        Error::MultipleDocuments { .. } => (
            "the file holds more than one document".to_owned(),
            "remove the `---` between them".to_owned(),
        ),
        Error::AliasError { error, .. } => describe(error.without_snippet()),
        other => {
            let text = other.to_string();
            let message = text
                .rsplit_once(" at line ")
                .map_or(text.as_str(), |(message, _)| message);
            (message.to_owned(), correct())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::project::ProjectFile;

    fn error(text: &str) -> String {
        let error = read::<ProjectFile>(text, "f").unwrap_err();
        format!("{error} | {}", error.hints().join("; "))
    }

    #[test]
    fn errors_name_place_and_remedy() {
        let agent = "version: 1\nagents:\n  a:\n    entrypoint: a.py\n";
        let with = |line: &str| error(&format!("{agent}    {line}\n"));
        let cases = [
            with("protcol: HTTP"),
            with("protocol: SMTP"),
            with("protocol:"),
            with("entrypoint: b.py"),
            with("request_headers: X-A"),
            with("environment: [A]"),
            with("aws: { region: mars }"),
            with("lifecycle: { idle_timeout: 10 }"),
            with("authorizer: { customJWTAuthorizer: {} }"),
            error("version: 2\nagents: {}\n"),
            error("version: 1\n"),
            error(""),
            error("a: [\n"),
            error("version: 1\nagents:\n  my-agent: { entrypoint: a.py }\n"),
            error("version: 1\nagents: \"x\n"),
        ];
        insta::assert_snapshot!(cases.join("\n"), @"
        f:5:5: unknown key `protcol` | did you mean `protocol`?
        f:5:15: `SMTP` is not a protocol | use one of HTTP, MCP, A2A, AGUI
        f:5:13: the key has no value | give it one, or remove the key to leave it undecided
        f:5:5: the key `entrypoint` stands here a second time | keep one of the two
        f:5:22: a list expected here | correct the file and run the command again
        f:5:18: keys and values expected here | correct the file and run the command again
        f:5:20: `mars` is not an AWS region | write it as in `us-west-2`
        f:5:32: `10` is not a number of seconds from 60 to 28800 | use 900 for 15 minutes, 28800 for 8 hours
        f:5:17: `customJWTAuthorizer.discoveryUrl` is missing | correct the file and run the command again
        f:1:10: the version `2` of the project file is not known to this program, which knows version 1 | correct the file and run the command again
        f:1:1: the key `agents` is missing | add `agents`
        f:1:1: the file is empty, or ends too early | correct the file and run the command again
        f:1:1: unknown key `a` | did you mean `agents`?
        f:3:3: `my-agent` is not an agent name | use 1 to 48 letters, digits and underscores, a letter first, for example `my_agent`
        f:2:9: unclosed quote | correct the file and run the command again
        ");
    }

    #[test]
    fn a_hash_in_a_text_is_no_comment() {
        assert!(has_comments("a: 1 # why\n"));
        assert!(has_comments("# why\na: 1\n"));
        assert!(!has_comments("a: 'b # c'\nd: e#f\n"));
    }
}
