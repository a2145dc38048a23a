//! What the environment says about compiling for another target: how cargo and the `cc` crate call their variables.
//!
//! The values come from `env`; nothing here reads the environment.

use std::ffi::OsString;
use std::path::PathBuf;

use super::env::Env;

/// The variables that decide which tools build for a target.
#[derive(Debug, Clone)]
pub(crate) struct Variables {
    env: Env,
}

impl Variables {
    /// Takes what is needed of the environment.
    pub(crate) fn of(env: &Env) -> Self {
        Self { env: env.clone() }
    }

    /// The folders that programs are looked for in.
    pub(crate) fn search_path(&self) -> OsString {
        self.env.search_path()
    }

    /// Whether a linker for `target` is chosen.
    pub(crate) fn has_linker(&self, target: &str) -> bool {
        self.is_set(&linker(target))
    }

    /// Whether a C compiler for `target` is chosen.
    pub(crate) fn has_c_compiler(&self, target: &str) -> bool {
        let names = [format!("CC_{target}"), c_compiler(target)];
        names.iter().any(|it| self.is_set(it)) || self.is_set("TARGET_CC")
    }

    /// Cargo's folder for the user, where there is one.
    pub(crate) fn cargo_home(&self) -> Option<PathBuf> {
        let given = self.env.raw("CARGO_HOME").filter(|it| !it.is_empty());
        given
            .map(PathBuf::from)
            .or_else(|| Some(self.env.home()?.join(".cargo")))
    }

    fn is_set(&self, name: &str) -> bool {
        self.env.raw(name).is_some_and(|it| !it.is_empty())
    }
}

/// The variable that chooses cargo's linker for `target`.
pub(crate) fn linker(target: &str) -> String {
    format!(
        "CARGO_TARGET_{}_LINKER",
        target.to_ascii_uppercase().replace('-', "_")
    )
}

/// The variable that chooses the C compiler for `target`.
pub(crate) fn c_compiler(target: &str) -> String {
    format!("CC_{}", target.replace('-', "_"))
}

/// The variable with flags for the C compiler for `target`.
pub(crate) fn c_flags(target: &str) -> String {
    format!("CFLAGS_{}", target.replace('-', "_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(names: &[&str]) -> Variables {
        let pairs = names.iter().map(|name| (name.into(), "x".into()));
        Variables::of(&Env::from_variables(pairs))
    }

    #[test]
    fn chosen_tools_are_seen_under_every_name() {
        const TARGET: &str = "aarch64-unknown-linux-musl";
        assert!(variables(&["CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_LINKER"]).has_linker(TARGET));
        assert!(!variables(&["CARGO_TARGET_X86_64_UNKNOWN_LINUX_MUSL_LINKER"]).has_linker(TARGET));
        for name in [
            "CC_aarch64-unknown-linux-musl",
            "CC_aarch64_unknown_linux_musl",
            "TARGET_CC",
        ] {
            assert!(variables(&[name]).has_c_compiler(TARGET), "{name}");
        }
        // One for this machine is none for the target.
        assert!(!variables(&["CC"]).has_c_compiler(TARGET));
    }

    #[test]
    fn cargos_folder_is_in_the_home_unless_moved() {
        assert_eq!(variables(&["HOME"]).cargo_home(), Some("x/.cargo".into()));
        assert_eq!(
            variables(&["HOME", "CARGO_HOME"]).cargo_home(),
            Some("x".into())
        );
        assert_eq!(variables(&[]).cargo_home(), None);
    }
}
