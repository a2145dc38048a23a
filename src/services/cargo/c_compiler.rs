//! A C compiler for the target of a Rust agent, for dependencies that bring C code.
//!
//! Compilers for musl come first: one for glibc compiles with the wrong headers, which is good enough for most code and
//! still better than none.

use std::env::split_paths;
use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// What can compile C for a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum CCompiler {
    /// A compiler of this name.
    Gcc {
        /// Its name on the search path.
        name: &'static str,
        /// Whether its headers are those of glibc.
        for_glibc: bool,
    },
    /// `cargo zigbuild`, which brings its own.
    Zig,
}

/// The candidates for x86-64 and 64-bit ARM, the better first.
const X86_64: [&str; 2] = ["x86_64-linux-musl-gcc", "x86_64-unknown-linux-musl-gcc"];
const AARCH64: [&str; 2] = ["aarch64-linux-musl-gcc", "aarch64-unknown-linux-musl-gcc"];
/// The one of Debian's `musl-tools`, which compiles for the machine that it runs on.
const NATIVE: &str = "musl-gcc";
/// Debian's cross compiler for 64-bit ARM.
const AARCH64_GLIBC: &str = "aarch64-linux-gnu-gcc";
const X86_64_GLIBC: &str = "x86_64-linux-gnu-gcc";

/// The best compiler for `architecture` on the search path.
pub(super) fn find(architecture: &str, search_path: &OsStr) -> Option<CCompiler> {
    let is_own = cfg!(target_os = "linux") && architecture == std::env::consts::ARCH;
    let (names, glibc) = match architecture {
        "x86_64" => (X86_64, X86_64_GLIBC),
        _ => (AARCH64, AARCH64_GLIBC),
    };
    let exists = |name: &&'static str| is_on(search_path, name);
    let gcc = |name, for_glibc| CCompiler::Gcc { name, for_glibc };
    if let Some(name) = names
        .into_iter()
        .chain(is_own.then_some(NATIVE))
        .find(|it| exists(it))
    {
        return Some(gcc(name, false));
    }
    if is_on(search_path, "cargo-zigbuild") {
        return Some(CCompiler::Zig);
    }
    // On this machine's own architecture that is the ordinary compiler: musl's is one package away.
    (!is_own && exists(&glibc)).then(|| gcc(glibc, true))
}

/// What to install to get one.
pub(super) fn hint(architecture: &str) -> String {
    let is_own = cfg!(target_os = "linux") && architecture == std::env::consts::ARCH;
    let package = match (is_own, architecture) {
        (true, _) => {
            "a C compiler for musl (`musl-gcc`, in Debian's package `musl-tools`)".to_owned()
        }
        (false, "aarch64") => format!(
            "a C compiler for that target (`{}`, or `{AARCH64_GLIBC}` in Debian's package `gcc-aarch64-linux-gnu`)",
            AARCH64[0]
        ),
        (false, _) => format!(
            "a C compiler for that target (`{}`, or `{X86_64_GLIBC}` in Debian's package `gcc-x86-64-linux-gnu`)",
            X86_64[0]
        ),
    };
    format!(
        "install {package}, or `cargo-zigbuild` and zig (`cargo install cargo-zigbuild`, `pip install ziglang`)"
    )
}

fn is_on(search_path: &OsStr, name: &str) -> bool {
    let is_program = |path: PathBuf| {
        path.metadata()
            .is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0)
    };
    split_paths(search_path)
        .filter(|it| *it != Path::new(""))
        .any(|folder| is_program(folder.join(name)))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn found(architecture: &str, programs: &[&str]) -> Option<CCompiler> {
        let folder = tempfile::tempdir().unwrap();
        for name in programs {
            let path = folder.path().join(name);
            fs::write(&path, "").unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        find(architecture, folder.path().as_os_str())
    }

    #[test]
    fn compilers_for_musl_come_before_zig_and_zig_before_glibc() {
        let other = if std::env::consts::ARCH == "aarch64" {
            ("x86_64", "x86_64-linux-musl-gcc", "x86_64-linux-gnu-gcc")
        } else {
            ("aarch64", "aarch64-linux-musl-gcc", "aarch64-linux-gnu-gcc")
        };
        let (architecture, musl, glibc) = other;
        let gcc = |name, for_glibc| Some(CCompiler::Gcc { name, for_glibc });
        assert_eq!(found(architecture, &[]), None);
        assert_eq!(found(architecture, &["gcc", "cc", "musl-gcc"]), None);
        assert_eq!(found(architecture, &[glibc]), gcc(glibc, true));
        assert_eq!(
            found(architecture, &[glibc, "cargo-zigbuild"]),
            Some(CCompiler::Zig)
        );
        assert_eq!(
            found(architecture, &[glibc, "cargo-zigbuild", musl]),
            gcc(musl, false)
        );
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn for_this_machine_musl_gcc_will_do_and_the_ordinary_compiler_will_not() {
        let own = std::env::consts::ARCH;
        let gcc = Some(CCompiler::Gcc {
            name: NATIVE,
            for_glibc: false,
        });
        assert_eq!(found(own, &["musl-gcc"]), gcc);
        assert_eq!(found(own, &["gcc", X86_64_GLIBC, AARCH64_GLIBC]), None);
        assert!(hint(own).contains("musl-tools"));
    }
}
