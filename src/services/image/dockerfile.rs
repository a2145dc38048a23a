//! The text of Dockerfiles: templates filled in, and names quoted so that neither Docker nor a shell takes them apart.
//!
//! What is written is understood by the classic builder and by BuildKit alike.

use std::borrow::Cow;

/// Puts the values in the places of a template that are named after them: `{{name}}`. A line whose value is empty is left
/// out.
pub(super) fn fill(template: &str, values: &[(&str, &str)]) -> String {
    let mut text = String::with_capacity(template.len());
    for line in template.lines() {
        let filled = fill_line(line, values);
        if !filled.is_empty() || line.is_empty() {
            text.push_str(&filled);
            text.push('\n');
        }
    }
    text
}

/// In one pass, so that a value is never taken for a place.
fn fill_line<'a>(line: &'a str, values: &[(&str, &str)]) -> Cow<'a, str> {
    let mut filled = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("{{") {
        let (name, after) = after
            .split_once("}}")
            .expect("a place in a template of this program is closed");
        let (_, value) = values
            .iter()
            .find(|(it, _)| *it == name)
            .expect("every place in a template of this program has a value");
        filled.push_str(before);
        filled.push_str(value);
        rest = after;
    }
    if filled.is_empty() && rest.len() == line.len() {
        return Cow::Borrowed(line);
    }
    filled.push_str(rest);
    Cow::Owned(filled)
}

/// A command line that no shell sees: `["program", "argument"]`. Docker replaces no variables in it.
pub(super) fn exec(words: &[String]) -> String {
    let words: Vec<String> = words.iter().map(|it| json(it)).collect();
    format!("[{}]", words.join(", "))
}

/// A word of a command line that a shell reads.
pub(super) fn shell(word: &str) -> Cow<'_, str> {
    if is_plain(word) {
        Cow::Borrowed(word)
    } else {
        Cow::Owned(format!("'{}'", word.replace('\'', r"'\''")))
    }
}

/// The instruction that copies one file or folder, named by its path in the context, into the image as the agent's user.
///
/// The paths must not hold control characters: a line of a Dockerfile ends where they do.
pub(super) fn copy(source: &str, destination: &str) -> String {
    if is_plain(source) && is_plain(destination) {
        return format!("COPY --chown=10001:10001 {source} {destination}");
    }
    let words = [
        json(&unexpanded(&literal(source))),
        json(&unexpanded(destination)),
    ];
    format!("COPY --chown=10001:10001 [{}]", words.join(", "))
}

fn json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A path that means itself, where Docker would take it for a pattern.
fn literal(path: &str) -> String {
    let mut text = String::with_capacity(path.len());
    for character in path.chars() {
        match character {
            '*' | '?' | '[' => text.extend(['[', character, ']']),
            '\\' => text.push_str(r"[\\]"),
            other => text.push(other),
        }
    }
    text
}

/// A word in which Docker finds no quotes and no variables.
fn unexpanded(word: &str) -> String {
    let mut text = String::with_capacity(word.len());
    for character in word.chars() {
        if matches!(character, '\\' | '\'' | '"' | '$') {
            text.push('\\');
        }
        text.push(character);
    }
    text
}

/// Whether neither Docker nor a shell sees more in `word` than itself.
fn is_plain(word: &str) -> bool {
    let plain = |it: char| it.is_ascii_alphanumeric() || "-_./+=:,@%".contains(it);
    !word.is_empty() && !word.starts_with('-') && word.chars().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_filled_in_once_and_loses_lines_without_a_value() {
        let template = "FROM {{base}}\n{{none}}\n\nRUN {{a}} {{b}}\n";
        let values = [("base", "x:1"), ("none", ""), ("a", "{{b}}"), ("b", "2")];
        assert_eq!(fill(template, &values), "FROM x:1\n\nRUN {{b}} 2\n");
    }

    #[test]
    fn words_of_a_shell_are_quoted_where_they_must_be() {
        assert_eq!(shell("requirements.txt"), "requirements.txt");
        assert_eq!(shell("it's $HOME"), r"'it'\''s $HOME'");
        assert_eq!(shell("-x"), "'-x'");
        assert_eq!(shell(""), "''");
    }

    #[test]
    fn copied_paths_mean_themselves() {
        assert_eq!(
            copy("a/b.txt", "/app/a/b.txt"),
            "COPY --chown=10001:10001 a/b.txt /app/a/b.txt"
        );
        let odd = r"a $b/'c' [d]*\";
        assert_eq!(
            copy(odd, "/app/x y"),
            r#"COPY --chown=10001:10001 ["a \\$b/\\'c\\' [[]d][*][\\\\\\\\]", "/app/x y"]"#
        );
    }

    #[test]
    fn a_command_line_is_json() {
        let words = ["a", "b \"c\"", "$HOME\n", "ü"].map(str::to_owned);
        assert_eq!(exec(&words), r#"["a", "b \"c\"", "$HOME\n", "ü"]"#);
        let read: Vec<String> = serde_json::from_str(&exec(&words)).unwrap();
        assert_eq!(read, words);
    }
}
