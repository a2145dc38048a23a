//! Names of agents: the service's rule, and the two repairs that people need.
//!
//! A typed name is repaired only where it has hyphens; a name inferred from a path is made legal however it can be.

use std::str::FromStr;

use super::Invalid;

const MAX_LEN: usize = 48;

/// A name that the service accepts for an agent: `[a-zA-Z][a-zA-Z0-9_]{0,47}`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct AgentName(String);

text_value!(AgentName, as_str);

/// A typed name, and whether its hyphens had to become underscores.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TypedName {
    pub(crate) name: AgentName,
    pub(crate) repaired: bool,
}

impl AgentName {
    /// Reads a name that a person typed: hyphens become underscores, anything else must be right.
    pub(crate) fn typed(text: &str) -> Result<TypedName, Invalid> {
        let name: Self = text.replace('-', "_").parse().map_err(|_| invalid(text))?;
        let repaired = name.as_str() != text;
        Ok(TypedName { name, repaired })
    }

    /// Makes a name from a path without its extension: everything but letters, digits and underscores becomes an
    /// underscore, what cannot lead is dropped, and a path that is too long loses its beginning.
    pub(crate) fn inferred(path: &str) -> Result<Self, Invalid> {
        let mapped: String = path
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
            .collect();
        let mut name = mapped.trim_start_matches('_').to_owned();
        if name.starts_with(|c: char| c.is_ascii_digit()) {
            name.insert_str(0, "agent_");
        }
        if name.len() > MAX_LEN {
            // The end of a path says more than its beginning.
            let end = &name[name.len() - MAX_LEN..];
            name = end
                .trim_start_matches(|c: char| !c.is_ascii_alphabetic())
                .to_owned();
        }
        if is_name(&name) {
            return Ok(Self(name));
        }
        Err(
            Invalid::new(format!("no agent name can be made from `{path}`"))
                .hint("give one with `--name`"),
        )
    }
}

impl FromStr for AgentName {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if is_name(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(invalid(text))
        }
    }
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && text.len() <= MAX_LEN
}

fn invalid(text: &str) -> Invalid {
    let error = Invalid::new(match text {
        "" => "the agent's name is empty".to_owned(),
        _ => format!("`{text}` is not an agent name"),
    });
    match AgentName::inferred(text) {
        Ok(name) => error.hint(format!(
            "use 1 to 48 letters, digits and underscores, a letter first, for example `{name}`"
        )),
        Err(_) => error.hint("use 1 to 48 letters, digits and underscores, a letter first"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hyphens_of_a_typed_name_become_underscores_and_nothing_else_is_touched() {
        let typed = AgentName::typed("my-agent").unwrap();
        assert_eq!((typed.name.as_str(), typed.repaired), ("my_agent", true));
        let typed = AgentName::typed("my_agent").unwrap();
        assert_eq!((typed.name.as_str(), typed.repaired), ("my_agent", false));
        for wrong in [
            "",
            "1st",
            "my agent",
            "a.b",
            "-a",
            "_a",
            "naïve",
            &"a".repeat(49),
        ] {
            assert!(AgentName::typed(wrong).is_err(), "{wrong}");
        }
        assert!(AgentName::typed(&"a".repeat(48)).is_ok());
        assert_eq!(
            AgentName::typed("my agent").unwrap_err().in_lines(),
            "`my agent` is not an agent name\nuse 1 to 48 letters, digits and underscores, a letter first, for example `my_agent`"
        );
    }

    #[test]
    fn inferred_names_are_made_legal() {
        let inferred = |path: &str| AgentName::inferred(path).map(|name| name.to_string());
        assert_eq!(
            inferred("agents/writer/main").as_deref(),
            Ok("agents_writer_main")
        );
        assert_eq!(inferred("my-svc/main").as_deref(), Ok("my_svc_main"));
        assert_eq!(inferred("1dir/a").as_deref(), Ok("agent_1dir_a"));
        assert_eq!(inferred("__main__").as_deref(), Ok("main__"));
        assert_eq!(inferred("añadir").as_deref(), Ok("a_adir"));
        let long = format!("{}/writer/agent", "x".repeat(60));
        assert_eq!(
            inferred(&long),
            Ok(format!("{}_writer_agent", "x".repeat(35)))
        );
        assert!(inferred("名前").is_err());
        assert!(inferred("").is_err());
    }
}
