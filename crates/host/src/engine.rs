//! Which engine serves a Python agent: our own package and server, or the official SDK where it is installed.
//!
//! Decided where the agent runs, by what its interpreter can import, and said in one line.

use std::fmt;
use std::fs;
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::interpreter::Interpreter;

/// What serves a Python agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// Our server, with our `bedrock_agentcore` package in a worker process.
    Native,
    /// The official `bedrock-agentcore` package, with its own server.
    Sdk,
}

/// What the user asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EngineChoice {
    /// The official SDK if the interpreter has it, otherwise the native engine.
    #[default]
    Auto,
    /// The native engine, whatever is installed.
    Native,
    /// The official SDK, or an error.
    Sdk,
}

/// An engine, and why it is that one. Its `Display` is the line for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The engine.
    pub engine: Engine,
    /// Where our package stands on `sys.path`: first, so that it wins, or last, so that it shadows nothing.
    pub package_first: bool,
    sentence: String,
}

/// The official SDK was asked for, and the interpreter does not have it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the engine `sdk` needs the official `bedrock-agentcore` package, which {interpreter} does not have"
)]
pub struct SdkMissing {
    interpreter: String,
}

/// A text that names no engine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown engine `{found}`, expected `auto`, `native` or `sdk`")]
pub struct UnknownEngine {
    /// The text as it was given.
    pub found: String,
}

impl EngineChoice {
    /// Decides for an interpreter.
    ///
    /// # Errors
    ///
    /// Fails if the official SDK is asked for and not installed.
    pub fn decide(self, interpreter: &Interpreter) -> Result<Decision, SdkMissing> {
        let installed = interpreter.official_sdk.as_deref();
        let (engine, package_first, reason) = match (self, installed) {
            (Self::Auto, None) => (
                Engine::Native,
                false,
                "the official `bedrock-agentcore` package is not installed there".to_owned(),
            ),
            (Self::Auto, Some(version)) => {
                let reason = format!(
                    "`bedrock-agentcore` {version} is installed there; `engine: native` would replace it"
                );
                (Engine::Sdk, false, reason)
            }
            (Self::Native, None) => (Engine::Native, true, "as told".to_owned()),
            (Self::Native, Some(version)) => {
                let reason =
                    format!("as told; the installed `bedrock-agentcore` {version} is not used");
                (Engine::Native, true, reason)
            }
            (Self::Sdk, Some(version)) => (
                Engine::Sdk,
                false,
                format!("as told, `bedrock-agentcore` {version}"),
            ),
            (Self::Sdk, None) => {
                return Err(SdkMissing {
                    interpreter: interpreter.to_string(),
                });
            }
        };
        let sentence = format!("Engine {engine} with {interpreter}: {reason}.");
        Ok(Decision {
            engine,
            package_first,
            sentence,
        })
    }
}

/// Returns the version of an official SDK that lies beside the agent, in one of the folders that come first on its
/// `sys.path`: dependencies are shipped that way (`pip install --target`).
pub(crate) fn vendored_sdk(folders: &[&Path]) -> Option<String> {
    let has_package = |folder: &&&Path| folder.join("bedrock_agentcore/__init__.py").is_file();
    folders.iter().filter(has_package).find_map(|folder| {
        let mut entries = fs::read_dir(folder).ok()?;
        entries.find_map(|entry| {
            let name = entry.ok()?.file_name().into_string().ok()?;
            let version = name
                .strip_prefix("bedrock_agentcore-")?
                .strip_suffix(".dist-info")?;
            Some(version.to_owned())
        })
    })
}

impl SdkMissing {
    /// What the user can do about it.
    pub fn hint(&self) -> &'static str {
        "install it there (`python -m pip install bedrock-agentcore`), or use `--engine native`"
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Native => "native",
            Self::Sdk => "sdk",
        })
    }
}

impl fmt::Display for EngineChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Native => "native",
            Self::Sdk => "sdk",
        })
    }
}

impl FromStr for EngineChoice {
    type Err = UnknownEngine;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "native" => Ok(Self::Native),
            "sdk" => Ok(Self::Sdk),
            other => Err(UnknownEngine {
                found: other.to_owned(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interpreter::FoundBy;

    fn interpreter(sdk: Option<&str>) -> Interpreter {
        Interpreter {
            executable: "/usr/bin/python3".into(),
            version: (3, 12, 1),
            official_sdk: sdk.map(str::to_owned),
            user_base: None,
            found_by: FoundBy::Path,
        }
    }

    #[test]
    fn auto_takes_the_official_sdk_where_it_is_and_names_the_other_engine() {
        let decision = EngineChoice::Auto
            .decide(&interpreter(Some("1.25.0")))
            .unwrap();
        assert_eq!(decision.engine, Engine::Sdk);
        assert_eq!(
            decision.to_string(),
            "Engine sdk with Python 3.12.1 at `/usr/bin/python3` (found on PATH): \
             `bedrock-agentcore` 1.25.0 is installed there; `engine: native` would replace it."
        );
    }

    #[test]
    fn auto_without_the_official_sdk_is_native_and_shadows_nothing() {
        let decision = EngineChoice::Auto.decide(&interpreter(None)).unwrap();
        assert_eq!(
            (decision.engine, decision.package_first),
            (Engine::Native, false)
        );
    }

    #[test]
    fn native_puts_our_package_first() {
        let decision = EngineChoice::Native
            .decide(&interpreter(Some("1.25.0")))
            .unwrap();
        assert_eq!(
            (decision.engine, decision.package_first),
            (Engine::Native, true)
        );
    }

    #[test]
    fn an_sdk_beside_the_agent_is_seen_if_it_is_the_official_one() {
        let folder = tempfile::tempdir().unwrap();
        let folders = [Path::new("/nowhere"), folder.path()];
        fs::create_dir(folder.path().join("bedrock_agentcore-1.25.0.dist-info")).unwrap();
        assert_eq!(vendored_sdk(&folders), None);
        fs::create_dir(folder.path().join("bedrock_agentcore")).unwrap();
        fs::write(folder.path().join("bedrock_agentcore/__init__.py"), "").unwrap();
        assert_eq!(vendored_sdk(&folders).as_deref(), Some("1.25.0"));
    }

    #[test]
    fn sdk_without_the_package_is_an_error() {
        let error = EngineChoice::Sdk.decide(&interpreter(None)).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("which Python 3.12.1 at `/usr/bin/python3`"),
            "{error}"
        );
    }

    #[test]
    fn a_choice_is_read_as_it_is_written() {
        for choice in [EngineChoice::Auto, EngineChoice::Native, EngineChoice::Sdk] {
            assert_eq!(choice.to_string().parse(), Ok(choice));
            assert_eq!(serde_json::to_value(choice).unwrap(), choice.to_string());
        }
        assert!("rust".parse::<EngineChoice>().is_err());
    }
}
