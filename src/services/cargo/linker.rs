//! The linker of a static build: the one that comes with Rust, so that no C toolchain is needed, unless the user has chosen
//! one for the target.

use std::fs;
use std::path::{Path, PathBuf};

/// The linker of the toolchain, as a name that `rustc` knows.
pub(super) const RUST_LLD: &str = "rust-lld";

/// Whether the toolchain in `sysroot` has its own linker.
pub(super) fn comes_with(sysroot: &Path) -> bool {
    let hosts = fs::read_dir(sysroot.join("lib/rustlib"))
        .into_iter()
        .flatten();
    hosts
        .flatten()
        .any(|host| host.path().join("bin").join(RUST_LLD).is_file())
}

/// Whether one of cargo's configuration files for the package in `folder` names a linker for `target`.
pub(super) fn is_configured(folder: &Path, cargo_home: Option<&Path>, target: &str) -> bool {
    let of_folders = folder.ancestors().map(|it| it.join(".cargo"));
    let names = ["config.toml", "config"];
    of_folders
        .chain(cargo_home.map(Path::to_owned))
        .flat_map(|folder| names.map(|name| folder.join(name)))
        .any(|path| names_linker(&path, target))
}

/// A file that cannot be understood is cargo's to complain about.
fn names_linker(path: &PathBuf, target: &str) -> bool {
    fs::read_to_string(path)
        .ok()
        .and_then(|text| text.parse::<toml::Table>().ok())
        .and_then(|config| config.get("target")?.get(target)?.get("linker").map(|_| ()))
        .is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_linker_is_found_in_every_folder_that_cargo_reads() {
        const TARGET: &str = "aarch64-unknown-linux-musl";
        let top = tempfile::tempdir().unwrap();
        let home = tempfile::tempdir().unwrap();
        let package = top.path().join("a/b");
        let write = |folder: &Path, name: &str, text: &str| {
            fs::create_dir_all(folder).unwrap();
            fs::write(folder.join(name), text).unwrap();
        };
        let is_configured = || is_configured(&package, Some(home.path()), TARGET);
        write(
            &package.join(".cargo"),
            "config.toml",
            "[target.x86_64-unknown-linux-musl]\nlinker = 'x'\n",
        );
        write(
            &package,
            "config.toml",
            &format!("[target.{TARGET}]\nlinker = 'x'\n"),
        );
        write(home.path(), "config.toml", "not toml");
        assert!(!is_configured());
        write(
            &top.path().join("a/.cargo"),
            "config",
            &format!("[target.{TARGET}]\nlinker = 'x'\n"),
        );
        assert!(is_configured());
        fs::remove_dir_all(top.path().join("a/.cargo")).unwrap();
        assert!(!is_configured());
        write(
            home.path(),
            "config.toml",
            &format!("[target.{TARGET}]\nlinker = 'x'\n"),
        );
        assert!(is_configured());
    }
}
