//! From a wildcard pattern to the steps of an automaton.
//!
//! Docker writes a pattern down as a regular expression, character by character, and compiles that. What a pattern means is
//! therefore what that expression means to Go: `[^a]` matches a slash, `^` in the middle of a pattern is an anchor, `[*]` is
//! something else than it looks, `\d` is a digit. Instead of guessing which of this matters, the same expression is
//! written here and read by the same rules; only its few forms can occur, so it becomes a plain row of steps.

use super::automaton::{Anchor, Automaton, Set, Step};
use super::rune;

/// How often braces may repeat.
const MOST_REPEATED: usize = 1000;

/// How many steps a pattern may need. Go allows more; nobody needs as many.
const LONGEST: usize = 100_000;

/// The pattern cannot be compiled.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// What kind of comparison a pattern needs; the cheap ones are recognised as Docker does, because they differ in what
/// they match (`**b` matches `ab`, `**b*` does not).
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The path is the pattern.
    Exact,
    /// The path begins with the pattern, less the `**` at its end.
    Prefix,
    /// The path ends with the pattern, less the `**` at its beginning.
    Suffix,
    /// The path matches this expression.
    Expression(Vec<char>),
}

/// Writes the expression of `pattern`, or finds that none is needed.
pub(super) fn write(pattern: &[u8]) -> Kind {
    let mut kind = Kind::Exact;
    let mut text = vec!['^'];
    let mut rest = rune::all(pattern).peekable();
    rest.next_if_eq(&'\u{feff}');
    let mut first = true;
    while let Some(next) = rest.next() {
        let special = match next {
            '*' if rest.next_if_eq(&'*').is_some() => {
                rest.next_if_eq(&'/');
                let to_the_end = rest.peek().is_none();
                text.extend(if to_the_end { ".*" } else { "(.*/)?" }.chars());
                Some(match kind {
                    _ if first => Kind::Suffix,
                    Kind::Exact if to_the_end => Kind::Prefix,
                    _ => Kind::Expression(Vec::new()),
                })
            }
            '*' => {
                text.extend("[^/]*".chars());
                Some(Kind::Expression(Vec::new()))
            }
            '?' => {
                text.extend("[^/]".chars());
                Some(Kind::Expression(Vec::new()))
            }
            // Docker means to protect `|{}` as well, and does not: see `read`.
            '.' | '+' | '(' | ')' | '$' => {
                text.extend(['\\', next]);
                None
            }
            '\\' => {
                text.push('\\');
                let escaped = rest.next();
                text.extend(escaped);
                escaped.map(|_| Kind::Expression(Vec::new()))
            }
            '[' | ']' => {
                text.push(next);
                Some(Kind::Expression(Vec::new()))
            }
            _ => {
                text.push(next);
                None
            }
        };
        kind = special.unwrap_or(kind);
        first = false;
    }
    match kind {
        Kind::Expression(_) => {
            text.push('$');
            Kind::Expression(text)
        }
        other => other,
    }
}

/// Reads an expression that [`write()`] wrote: its alternatives.
pub(super) fn read(text: &[char]) -> Result<Vec<Automaton>, Malformed> {
    let mut reader = Reader {
        rest: text,
        steps: Vec::new(),
        last: Last::Nothing,
    };
    let mut alternatives = Vec::new();
    while let Some((&next, rest)) = reader.rest.split_first() {
        reader.rest = rest;
        if next == '|' {
            alternatives.push(Automaton::new(std::mem::take(&mut reader.steps)));
            reader.last = Last::Nothing;
        } else {
            reader.item(next)?;
        }
        if reader.steps.len() > LONGEST {
            return Err(Malformed);
        }
    }
    alternatives.push(Automaton::new(reader.steps));
    Ok(alternatives)
}

struct Reader<'a> {
    rest: &'a [char],
    steps: Vec<Step>,
    last: Last,
}

/// What a repetition in braces would repeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Last {
    /// There is nothing.
    Nothing,
    /// The last step.
    Step,
    /// Something that is repeated already, which is not allowed.
    Repetition,
}

impl Reader<'_> {
    fn item(&mut self, next: char) -> Result<(), Malformed> {
        match next {
            '^' => self.push(Step::Anchor(Anchor::Start)),
            '$' => self.push(Step::Anchor(Anchor::End)),
            '[' => {
                let set = self.brackets()?;
                self.push_set(set);
            }
            '.' => self.push_set(Set::one('\n').inverted()),
            '(' => self.folders()?,
            '\\' => self.escape()?,
            '{' => match self.counts() {
                Some((least, most)) => self.repeat(least, most)?,
                None => self.push(Step::One(Set::one('{'))),
            },
            literal => self.push(Step::One(Set::one(literal))),
        }
        Ok(())
    }

    fn push(&mut self, step: Step) {
        self.steps.push(step);
        self.last = Last::Step;
    }

    /// Adds `set`, once or as often as the star behind it allows.
    fn push_set(&mut self, set: Set) {
        if self.take("*") {
            self.steps.push(Step::Repeat(set));
            self.last = Last::Repetition;
        } else {
            self.push(Step::One(set));
        }
    }

    /// The numbers of `{2}`, `{2,}` or `{2,3}`, behind the brace; nothing if something else stands there, and then the
    /// brace is itself.
    fn counts(&mut self) -> Option<(usize, Option<usize>)> {
        let before = self.rest;
        let counts = self.number().and_then(|least| {
            let most = if self.take(",") {
                self.number()
            } else {
                Some(least)
            };
            self.take("}").then_some((least, most))
        });
        if counts.is_none() {
            self.rest = before;
        }
        counts
    }

    /// A number without needless zeros. One that is much too large stays much too large.
    fn number(&mut self) -> Option<usize> {
        let len = self
            .rest
            .iter()
            .take_while(|it| it.is_ascii_digit())
            .count();
        let (digits, rest) = self.rest.split_at(len);
        if digits.is_empty() || digits.len() > 1 && digits[0] == '0' {
            return None;
        }
        self.rest = rest;
        let digits = digits.iter().filter_map(|it| it.to_digit(10));
        Some(digits.fold(0, |number: usize, digit| {
            number.saturating_mul(10).saturating_add(digit as usize)
        }))
    }

    /// Repeats the last step, `least` times at least and, if there is an end to it, `most` times at most.
    fn repeat(&mut self, least: usize, most: Option<usize>) -> Result<(), Malformed> {
        let most_allowed = most.unwrap_or(least);
        if self.last != Last::Step || least > most_allowed || most_allowed > MOST_REPEATED {
            return Err(Malformed);
        }
        let step = self.steps.pop().ok_or(Malformed)?;
        self.steps.extend(std::iter::repeat_n(step.clone(), least));
        match (most, step) {
            (Some(most), step) => {
                for _ in least..most {
                    self.steps.extend([Step::Optional { len: 1 }, step.clone()]);
                }
            }
            (None, Step::One(set)) => self.steps.push(Step::Repeat(set)),
            // A condition that holds once holds as often as one likes.
            (None, _) => {}
        }
        self.last = Last::Repetition;
        Ok(())
    }

    /// `(.*/)?`: any number of folders, none too.
    fn folders(&mut self) -> Result<(), Malformed> {
        if !self.take(".*/)?") {
            return Err(Malformed);
        }
        self.steps.push(Step::Optional { len: 2 });
        self.steps.push(Step::Repeat(Set::one('\n').inverted()));
        self.steps.push(Step::One(Set::one('/')));
        self.last = Last::Repetition;
        Ok(())
    }

    /// What stands behind a backslash, outside brackets.
    fn escape(&mut self) -> Result<(), Malformed> {
        let &name = self.rest.first().ok_or(Malformed)?;
        let anchor = match name {
            'A' => Some(Anchor::Start),
            'z' => Some(Anchor::End),
            'b' => Some(Anchor::WordEdge(true)),
            'B' => Some(Anchor::WordEdge(false)),
            _ => None,
        };
        if let Some(anchor) = anchor {
            self.rest = &self.rest[1..];
            self.push(Step::Anchor(anchor));
        } else if name == 'Q' {
            self.rest = &self.rest[1..];
            self.quotation();
        } else if let Some(set) = self.named_by_letter() {
            self.push_set(set);
        } else {
            let literal = self.escaped()?;
            self.push(Step::One(Set::one(literal)));
        }
        Ok(())
    }

    /// `\Q…\E`: everything in between is itself.
    fn quotation(&mut self) {
        while let Some((&next, rest)) = self.rest.split_first() {
            if self.take("\\E") {
                return;
            }
            self.rest = rest;
            self.push(Step::One(Set::one(next)));
        }
    }

    /// The set of `\d`, `\s`, `\w` and their opposites, behind the backslash.
    fn named_by_letter(&mut self) -> Option<Set> {
        let (&letter, rest) = self.rest.split_first()?;
        let set = match letter.to_ascii_lowercase() {
            'd' => Set::ranges(&[('0', '9')]),
            's' => Set::ranges(&[('\t', '\n'), ('\x0c', '\r'), (' ', ' ')]),
            'w' => Set::ranges(&[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')]),
            _ => return None,
        };
        self.rest = rest;
        Some(if letter.is_ascii_uppercase() {
            set.inverted()
        } else {
            set
        })
    }

    /// The one character that an escape stands for, behind the backslash. Categories of Unicode (`\pL`) are refused,
    /// though Go knows them.
    fn escaped(&mut self) -> Result<char, Malformed> {
        let name = self.take_one()?;
        let code = match name {
            'a' => 7,
            'f' => 12,
            'n' => 10,
            'r' => 13,
            't' => 9,
            'v' => 11,
            'x' => {
                let digits = [self.take_one()?, self.take_one()?].map(|it| it.to_digit(16));
                let [Some(high), Some(low)] = digits else {
                    return Err(Malformed);
                };
                high * 16 + low
            }
            '1'..='7' if !self.rest.first().is_some_and(|it| it.is_digit(8)) => {
                return Err(Malformed);
            }
            '0'..='7' => {
                let mut code = name.to_digit(8).ok_or(Malformed)?;
                for _ in 0..2 {
                    if let Some(digit) = self.rest.first().and_then(|it| it.to_digit(8)) {
                        self.rest = &self.rest[1..];
                        code = code * 8 + digit;
                    }
                }
                code
            }
            _ if name.is_ascii() && !name.is_ascii_alphanumeric() => return Ok(name),
            _ => return Err(Malformed),
        };
        char::from_u32(code).ok_or(Malformed)
    }

    /// What stands in brackets, behind the opening one.
    fn brackets(&mut self) -> Result<Set, Malformed> {
        let inverted = self.take("^");
        let mut set = Set::ranges(&[]);
        let mut first = true;
        while first || !self.take("]") {
            first = false;
            set.extend(self.in_brackets()?);
        }
        Ok(if inverted { set.inverted() } else { set })
    }

    /// One class, character or range.
    fn in_brackets(&mut self) -> Result<Set, Malformed> {
        if let Some(class) = self.class()? {
            return Ok(class);
        }
        let before = self.rest;
        if self.take("\\")
            && let Some(set) = self.named_by_letter()
        {
            return Ok(set);
        }
        self.rest = before;
        let low = self.bound()?;
        let mut high = low;
        // A `-` before the closing bracket is itself.
        if self.rest.len() >= 2 && self.rest[0] == '-' && self.rest[1] != ']' {
            self.rest = &self.rest[1..];
            high = self.bound()?;
        }
        if high < low {
            return Err(Malformed);
        }
        Ok(Set::ranges(&[(low, high)]))
    }

    fn bound(&mut self) -> Result<char, Malformed> {
        match self.take_one()? {
            '\\' => self.escaped(),
            literal => Ok(literal),
        }
    }

    /// `[:alpha:]` and its like; nothing if something else stands here.
    fn class(&mut self) -> Result<Option<Set>, Malformed> {
        let Some(inner) = self.rest.strip_prefix(&['[', ':']) else {
            return Ok(None);
        };
        let Some(len) = inner.windows(2).position(|it| it == [':', ']']) else {
            return Ok(None);
        };
        let name: String = inner[..len].iter().collect();
        let (name, inverted) = match name.strip_prefix('^') {
            Some(name) => (name, true),
            None => (name.as_str(), false),
        };
        let set = Set::named(name).ok_or(Malformed)?;
        self.rest = &inner[len + 2..];
        Ok(Some(if inverted { set.inverted() } else { set }))
    }

    fn take_one(&mut self) -> Result<char, Malformed> {
        let (&next, rest) = self.rest.split_first().ok_or(Malformed)?;
        self.rest = rest;
        Ok(next)
    }

    fn take(&mut self, text: &str) -> bool {
        let len = text.chars().count();
        let found = self.rest.len() >= len
            && self
                .rest
                .iter()
                .copied()
                .zip(text.chars())
                .all(|(a, b)| a == b);
        if found {
            self.rest = &self.rest[len..];
        }
        found
    }
}
