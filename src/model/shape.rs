//! Checks JSON against the shape that the service's API gives it, and says where it differs.
//!
//! The shapes themselves are data in the modules that use them. The first difference is reported, by its path
//! (`customJWTAuthorizer.allowedScopes[1]`).

use serde_json::Value;

use super::{Invalid, nearest};

/// What a JSON value must look like.
#[derive(Debug)]
pub(crate) enum Shape {
    /// A string of `min` to `max` characters that follows `rule`.
    Text {
        min: usize,
        max: usize,
        rule: Option<Rule>,
    },
    /// One of these strings.
    Choice(&'static [&'static str]),
    /// An array of `min` to `max` items.
    List {
        min: usize,
        max: usize,
        of: &'static Shape,
    },
    /// An object of `min` to `max` free keys.
    Map {
        min: usize,
        max: usize,
        key: &'static Shape,
        value: &'static Shape,
    },
    /// An object of known keys.
    Struct(&'static [Field]),
    /// An object with exactly one of known keys.
    Union(&'static [Field]),
}

/// A known key of an object.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) required: bool,
    pub(crate) shape: &'static Shape,
}

/// What a string must match beyond its length.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) matches: fn(&str) -> bool,
    /// Completes the sentence "… must be".
    pub(crate) wanted: &'static str,
}

impl Field {
    /// A key that must be there.
    pub(crate) const fn required(name: &'static str, shape: &'static Shape) -> Self {
        Self {
            name,
            required: true,
            shape,
        }
    }

    /// A key that may be left out.
    pub(crate) const fn optional(name: &'static str, shape: &'static Shape) -> Self {
        Self {
            name,
            required: false,
            shape,
        }
    }
}

impl Shape {
    /// Any string.
    pub(crate) const ANY_TEXT: Self = Self::Text {
        min: 0,
        max: usize::MAX,
        rule: None,
    };

    /// A string that follows `rule`, whatever its length.
    pub(crate) const fn text(rule: Rule) -> Self {
        Self::Text {
            min: 0,
            max: usize::MAX,
            rule: Some(rule),
        }
    }

    /// Reports the first difference between `value`, which stands at `path`, and this shape.
    pub(crate) fn check(&self, value: &Value, path: &str) -> Result<(), Invalid> {
        match (self, value) {
            (Self::Text { min, max, rule }, Value::String(text)) => {
                check_text(text, (*min, *max), rule.as_ref(), path)
            }
            (Self::Choice(words), Value::String(text)) if words.contains(&text.as_str()) => Ok(()),
            (Self::Choice(words), _) => Err(Invalid::new(format!(
                "`{path}` must be one of {}",
                words.join(", ")
            ))),
            (Self::List { min, max, of }, Value::Array(items)) => {
                check_len(items.len(), (*min, *max), "item", path)?;
                items
                    .iter()
                    .enumerate()
                    .try_for_each(|(index, item)| of.check(item, &format!("{path}[{index}]")))
            }
            (
                Self::Map {
                    min,
                    max,
                    key,
                    value,
                },
                Value::Object(entries),
            ) => {
                check_len(entries.len(), (*min, *max), "key", path)?;
                entries.iter().try_for_each(|(name, entry)| {
                    let path = join(path, name);
                    key.check(&Value::String(name.clone()), &path)?;
                    value.check(entry, &path)
                })
            }
            (Self::Struct(fields), Value::Object(entries)) => {
                check_fields(fields, entries, path)?;
                let missing = fields
                    .iter()
                    .find(|it| it.required && !entries.contains_key(it.name));
                missing.map_or(Ok(()), |it| {
                    Err(Invalid::new(format!(
                        "`{}` is missing",
                        join(path, it.name)
                    )))
                })
            }
            (Self::Union(fields), Value::Object(entries)) => {
                check_fields(fields, entries, path)?;
                if entries.len() == 1 {
                    return Ok(());
                }
                let names: Vec<_> = fields.iter().map(|it| it.name).collect();
                Err(Invalid::new(format!(
                    "`{path}` must have exactly one of {}",
                    names.join(", ")
                )))
            }
            _ => Err(Invalid::new(format!(
                "`{path}` must be {}, not {}",
                self.noun(),
                kind(value)
            ))),
        }
    }

    fn noun(&self) -> &'static str {
        match self {
            Self::Text { .. } | Self::Choice(_) => "a string",
            Self::List { .. } => "a list",
            Self::Map { .. } | Self::Struct(_) | Self::Union(_) => "an object",
        }
    }
}

fn check_text(
    text: &str,
    (min, max): (usize, usize),
    rule: Option<&Rule>,
    path: &str,
) -> Result<(), Invalid> {
    let len = text.chars().count();
    if !(min..=max).contains(&len) {
        return Err(Invalid::new(format!(
            "`{path}` has {len} characters and must have {}",
            range(min, max)
        )));
    }
    match rule {
        Some(rule) if !(rule.matches)(text) => {
            Err(Invalid::new(format!("`{path}` must be {}", rule.wanted)))
        }
        _ => Ok(()),
    }
}

fn check_len(
    len: usize,
    (min, max): (usize, usize),
    what: &str,
    path: &str,
) -> Result<(), Invalid> {
    if (min..=max).contains(&len) {
        return Ok(());
    }
    let plural = if len == 1 { "" } else { "s" };
    Err(Invalid::new(format!(
        "`{path}` has {len} {what}{plural} and must have {}",
        range(min, max)
    )))
}

fn check_fields(
    fields: &[Field],
    entries: &serde_json::Map<String, Value>,
    path: &str,
) -> Result<(), Invalid> {
    for (name, entry) in entries {
        let Some(field) = fields.iter().find(|it| it.name == name) else {
            return Err(unknown_key(name, path, fields));
        };
        field.shape.check(entry, &join(path, name))?;
    }
    Ok(())
}

fn unknown_key(name: &str, path: &str, fields: &[Field]) -> Invalid {
    let error = Invalid::new(format!(
        "`{}` is not a key that the service knows",
        join(path, name)
    ));
    let names: Vec<_> = fields.iter().map(|it| it.name).collect();
    error.hint(match nearest(name, names.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("known here: {}", names.join(", ")),
    })
}

fn range(min: usize, max: usize) -> String {
    match (min, max) {
        (min, usize::MAX) => format!("at least {min}"),
        (0, max) => format!("at most {max}"),
        (min, max) if min == max => format!("exactly {min}"),
        (min, max) => format!("{min} to {max}"),
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
