//! Environment files: `KEY=VALUE` lines, as `--env-file` takes them.
//!
//! Comments, `export`, single quotes (literal) and double quotes (with escapes, over several lines) are understood.
//! Nothing is expanded: `$NAME` in a value stays `$NAME`.

use std::iter::Peekable;
use std::str::Chars;

use crate::model::Invalid;
use crate::model::environment::{Assignment, EnvName};

/// Why an environment file was not understood.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub(crate) struct InvalidEnvFile {
    /// Counted from 1.
    pub(crate) line: usize,
    /// What is wrong there. Never holds a value: values may be secrets.
    pub(crate) reason: String,
}

/// Reads every variable of `text`, in order; a later one replaces an earlier one of the same name.
///
/// # Errors
///
/// Fails at the first line that is not a comment, empty, or a variable.
pub(crate) fn parse(text: &str) -> Result<Vec<Assignment>, InvalidEnvFile> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = Reader {
        rest: text.chars().peekable(),
        line: 1,
    };
    let mut variables = Vec::new();
    while reader.skip_to_content() {
        variables.push(reader.variable()?);
    }
    Ok(variables)
}

struct Reader<'a> {
    rest: Peekable<Chars<'a>>,
    line: usize,
}

impl Reader<'_> {
    /// Passes over empty lines and comments; false at the end of the file.
    fn skip_to_content(&mut self) -> bool {
        while let Some(&next) = self.rest.peek() {
            match next {
                '#' => self.skip_line(),
                _ if next.is_whitespace() => {
                    self.next();
                }
                _ => return true,
            }
        }
        false
    }

    fn variable(&mut self) -> Result<Assignment, InvalidEnvFile> {
        let line = self.line;
        let mut name = String::new();
        loop {
            match self.rest.peek() {
                Some('=') => break,
                None | Some('\n') => return Err(invalid(line, "there is no `=`")),
                Some(_) => name.extend(self.next()),
            }
        }
        self.next();
        let name = name.trim();
        let name = match name.split_once(char::is_whitespace) {
            Some(("export", name)) => name.trim_start(),
            _ => name,
        };
        let name: EnvName = name
            .parse()
            .map_err(|error: Invalid| invalid(line, error.message))?;
        let value = self.value(line)?;
        format!("{name}={value}")
            .parse()
            .map_err(|error: Invalid| invalid(line, error.message))
    }

    fn value(&mut self, line: usize) -> Result<String, InvalidEnvFile> {
        while self.rest.next_if(|&it| it == ' ' || it == '\t').is_some() {}
        match self.rest.peek() {
            Some(&quote @ ('"' | '\'')) => {
                self.next();
                let value = self.quoted(quote, line)?;
                self.end_of_line(line)?;
                Ok(value)
            }
            _ => Ok(self.unquoted()),
        }
    }

    fn quoted(&mut self, quote: char, line: usize) -> Result<String, InvalidEnvFile> {
        let mut value = String::new();
        while let Some(next) = self.next() {
            match next {
                _ if next == quote => return Ok(value),
                '\\' if quote == '"' => match self.next() {
                    Some('n') => value.push('\n'),
                    Some('r') => value.push('\r'),
                    Some('t') => value.push('\t'),
                    Some(it @ ('"' | '\\' | '$' | '`')) => value.push(it),
                    Some(other) => value.extend(['\\', other]),
                    None => break,
                },
                other => value.push(other),
            }
        }
        Err(invalid(line, format!("the quote {quote} is never closed")))
    }

    fn unquoted(&mut self) -> String {
        let mut value = String::new();
        while let Some(&next) = self.rest.peek() {
            // A `#` inside a word belongs to it: passwords and URLs have them.
            let comment = next == '#' && (value.is_empty() || value.ends_with([' ', '\t']));
            if next == '\n' || comment {
                break;
            }
            value.extend(self.next());
        }
        if self.rest.peek() == Some(&'#') {
            self.skip_line();
        }
        value.trim_end().to_owned()
    }

    fn end_of_line(&mut self, line: usize) -> Result<(), InvalidEnvFile> {
        while let Some(&next) = self.rest.peek() {
            match next {
                '\n' => break,
                '#' => self.skip_line(),
                _ if next.is_whitespace() => {
                    self.next();
                }
                _ => return Err(invalid(line, "there is text after the closing quote")),
            }
        }
        Ok(())
    }

    fn skip_line(&mut self) {
        while self.rest.peek().is_some_and(|&it| it != '\n') {
            self.next();
        }
    }

    fn next(&mut self) -> Option<char> {
        let next = self.rest.next();
        self.line += usize::from(next == Some('\n'));
        next
    }
}

fn invalid(line: usize, reason: impl Into<String>) -> InvalidEnvFile {
    InvalidEnvFile {
        line,
        reason: reason.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        let read = parse(text).expect(text);
        read.into_iter()
            .map(|it| (it.name.to_string(), it.value))
            .collect()
    }

    #[test]
    fn every_form_of_a_line_is_understood() {
        for (text, value) in [
            ("K=v", "v"),
            ("K=", ""),
            ("  K = v  ", "v"),
            ("export K=v", "v"),
            ("export\tK=v\r\n", "v"),
            ("\u{feff}K=v", "v"),
            ("# about it\n\nK=v\n", "v"),
            ("K=v # about it", "v"),
            ("K=# about it", ""),
            ("K=p#ss=w", "p#ss=w"),
            ("K=a b", "a b"),
            ("K='a $B \\n # c'", "a $B \\n # c"),
            (r#"K="a \"b\" \\ \$C \n" # about it"#, "a \"b\" \\ $C \n"),
            (r#"K="\d""#, r"\d"),
            ("K=\"one\ntwo\"", "one\ntwo"),
            ("K=it's", "it's"),
            ("K=$OTHER", "$OTHER"),
            ("K=Grüße", "Grüße"),
        ] {
            assert_eq!(pairs(text), [("K".to_owned(), value.to_owned())], "{text}");
        }
    }

    #[test]
    fn several_lines_keep_their_order() {
        let read = pairs("A=1\nexport B=\"x\ny\"\r\n# no\nA=2");
        let read: Vec<_> = read.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(read, [("A", "1"), ("B", "x\ny"), ("A", "2")]);
        assert_eq!(parse(" \n# nothing\n"), Ok(Vec::new()));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line_and_without_the_value() {
        for (text, message) in [
            ("A=1\nB", "line 2: there is no `=`"),
            (
                "1A=x",
                "line 1: `1A` is not the name of an environment variable",
            ),
            (
                "A B=x",
                "line 1: `A B` is not the name of an environment variable",
            ),
            (
                "=x",
                "line 1: `` is not the name of an environment variable",
            ),
            ("A=1\n\nB='x\ny", "line 3: the quote ' is never closed"),
            (
                "A=\"x\" secret",
                "line 1: there is text after the closing quote",
            ),
            ("A=\"x\\", "line 1: the quote \" is never closed"),
            ("A=x\0", "line 1: the value of `A` has a NUL character"),
        ] {
            assert_eq!(parse(text).expect_err(text).to_string(), message);
        }
    }
}
