//! What a `pyproject.toml` says about dependencies, and whether the project is a package that must be installed itself.
//!
//! pip installs what is said in the standard's own tables. Where another tool's table would decide, pip would install
//! something else without a word, so that is an error here.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::model::Invalid;

/// What there is to install.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Pyproject {
    /// The requirements that are written in the file.
    pub(super) requirements: Vec<String>,
    /// Whether the project is a package.
    pub(super) is_package: bool,
    /// Whether its requirements are known only to what builds the package.
    pub(super) is_dynamic: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct File {
    project: Option<Project>,
    build_system: Option<toml::Table>,
    #[serde(default)]
    tool: Tools,
}

#[derive(Deserialize)]
struct Project {
    #[serde(default)]
    dependencies: Vec<String>,
    #[serde(default)]
    dynamic: Vec<String>,
}

#[derive(Default, Deserialize)]
struct Tools {
    #[serde(default)]
    uv: Uv,
    poetry: Option<Poetry>,
}

#[derive(Default, Deserialize)]
struct Uv {
    package: Option<bool>,
    #[serde(default)]
    sources: BTreeMap<String, toml::Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Poetry {
    #[serde(default)]
    package_mode: Option<bool>,
    #[serde(default)]
    dependencies: toml::Table,
}

impl Pyproject {
    /// Reads the file that people know as `shown`.
    ///
    /// # Errors
    ///
    /// Fails if it is no TOML, or if pip alone could not do what it says.
    pub(super) fn parse(text: &str, shown: &str) -> Result<Self, Invalid> {
        let File {
            project,
            build_system,
            tool: Tools { uv, poetry },
        } = toml::from_str(text).map_err(|error| {
            Invalid::new(format!(
                "`{shown}` cannot be understood: {}",
                one_line(&error)
            ))
        })?;
        let package_mode = poetry.as_ref().and_then(|it| it.package_mode);
        let is_package =
            uv.package.unwrap_or(build_system.is_some()) && package_mode != Some(false);
        let in_poetry = project.is_none()
            && poetry.is_some_and(|it| it.dependencies.keys().any(|name| name != "python"));
        let (requirements, mut is_dynamic) = match project {
            Some(Project {
                dependencies,
                dynamic,
            }) => (dependencies, dynamic.iter().any(|it| it == "dependencies")),
            None => (Vec::new(), false),
        };
        // Without the standard's table it is the build backend that knows them.
        is_dynamic |= in_poetry;
        if is_dynamic && !is_package {
            return Err(Invalid::new(format!(
                "the dependencies of `{shown}` are known only to the tool that manages it, and it is not a package that pip could build"
            ))
            .hint(export_hint()));
        }
        for requirement in &requirements {
            check(requirement, &uv, shown)?;
        }
        Ok(Self {
            requirements,
            is_package,
            is_dynamic,
        })
    }
}

/// Refuses what pip would take from another place than the one that the file names.
fn check(requirement: &str, uv: &Uv, shown: &str) -> Result<(), Invalid> {
    let name = normal_name(requirement);
    if uv.sources.keys().any(|it| normal_name(it) == name) {
        return Err(Invalid::new(format!(
            "`{shown}` takes `{name}` from a place that only uv knows (`tool.uv.sources`)"
        ))
        .hint(export_hint()));
    }
    if requirement.contains("file:") {
        return Err(Invalid::new(format!(
            "`{shown}` takes `{name}` from a file of this machine, which an image does not have"
        ))
        .hint("name a version of it, or list it by a relative path in a requirements file"));
    }
    if requirement.chars().any(char::is_control) {
        return Err(Invalid::new(format!(
            "the dependency `{name}` of `{shown}` is written in several lines"
        )));
    }
    Ok(())
}

fn export_hint() -> &'static str {
    "write them to a requirements file (`uv export --no-hashes -o requirements.txt`, or `poetry export -o requirements.txt`) and name that as `dependencies`"
}

/// The name at the start of a requirement, in the form in which names are compared.
fn normal_name(requirement: &str) -> String {
    let end = requirement
        .find(|it: char| !(it.is_ascii_alphanumeric() || "-_.".contains(it)))
        .unwrap_or(requirement.len());
    let mut name = String::with_capacity(end);
    for character in requirement[..end].chars() {
        let separates = "-_.".contains(character);
        if separates && name.ends_with('-') {
            continue;
        }
        name.push(if separates {
            '-'
        } else {
            character.to_ascii_lowercase()
        });
    }
    name
}

/// The message of an error without the excerpt that it shows below.
fn one_line(error: &toml::de::Error) -> String {
    error.message().lines().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Pyproject, Invalid> {
        Pyproject::parse(text, "pyproject.toml")
    }

    fn pyproject(requirements: &[&str], is_package: bool, is_dynamic: bool) -> Pyproject {
        Pyproject {
            requirements: requirements.iter().map(|&it| it.to_owned()).collect(),
            is_package,
            is_dynamic,
        }
    }

    #[test]
    fn a_build_system_makes_a_package_unless_a_tool_says_otherwise() {
        let build = "[build-system]\nrequires = ['hatchling']\n";
        let list = "[project]\nname = 'x'\nversion = '1'\ndependencies = ['boto3>=1', \"y ; python_version < '3.13'\"]\n";
        let both = ["boto3>=1", "y ; python_version < '3.13'"];
        for (text, expected) in [
            (String::new(), pyproject(&[], false, false)),
            (
                "[tool.ruff]\nline-length = 100\n".to_owned(),
                pyproject(&[], false, false),
            ),
            (list.to_owned(), pyproject(&both, false, false)),
            (format!("{list}{build}"), pyproject(&both, true, false)),
            (
                format!("{list}{build}[tool.uv]\npackage = false\n"),
                pyproject(&both, false, false),
            ),
            (
                format!("{list}[tool.uv]\npackage = true\n"),
                pyproject(&both, true, false),
            ),
            (
                format!("{list}{build}[tool.poetry]\npackage-mode = false\n"),
                pyproject(&both, false, false),
            ),
            (
                format!("[project]\nname = 'x'\ndynamic = ['version', 'dependencies']\n{build}"),
                pyproject(&[], true, true),
            ),
            (
                format!(
                    "[tool.poetry]\nname = 'x'\n[tool.poetry.dependencies]\npython = '^3.12'\nboto3 = '*'\n{build}"
                ),
                pyproject(&[], true, true),
            ),
        ] {
            assert_eq!(parse(&text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_pip_would_get_wrong_is_refused() {
        let build = "[build-system]\nrequires = ['poetry-core']\n";
        for (text, message) in [
            ("[project]\nname = 'x'\ndynamic = ['dependencies']\n".to_owned(), "the dependencies of `pyproject.toml` are known only to the tool that manages it, and it is not a package that pip could build"),
            (format!("[tool.poetry]\npackage-mode = false\n[tool.poetry.dependencies]\nboto3 = '*'\n{build}"), "the dependencies of `pyproject.toml` are known only to the tool that manages it, and it is not a package that pip could build"),
            ("[project]\ndependencies = ['My_Lib[x]>1']\n[tool.uv.sources]\nmy-lib = { path = '../my-lib' }\n".to_owned(), "`pyproject.toml` takes `my-lib` from a place that only uv knows (`tool.uv.sources`)"),
            ("[project]\ndependencies = ['x @ file:///srv/x']\n".to_owned(), "`pyproject.toml` takes `x` from a file of this machine, which an image does not have"),
        ] {
            assert_eq!(parse(&text).unwrap_err().message, message);
        }
        let error = parse("[project\n").unwrap_err();
        assert!(
            error
                .message
                .starts_with("`pyproject.toml` cannot be understood: "),
            "{error}"
        );
        let error = parse("[project]\ndependencies = 'x'\n").unwrap_err();
        assert!(error.message.contains("invalid type"), "{error}");
    }

    #[test]
    fn names_are_compared_as_the_index_does() {
        for text in ["My_Lib", "my-lib[extra]>=1", "MY.-_lib ; x"] {
            assert_eq!(normal_name(text), "my-lib");
        }
    }
}
