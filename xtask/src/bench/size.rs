//! The size of the static program of the Rust hello agent, beside a bare axum server built in the same way: with the settings
//! of this workspace, and with those that make it smallest while a panic still ends nothing but its invocation.

use super::report::{Report, Row};
use crate::hosts::have_target;
use crate::sh::{Cmd, Failed, Result, target_dir};

/// What the settings are called, and the variables that set them.
const PROFILES: [(&str, &[(&str, &str)]); 2] = [
    ("the workspace's profile", &[]),
    (
        "opt-level s, fat LTO, one codegen unit",
        &[
            ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "s"),
            ("CARGO_PROFILE_RELEASE_LTO", "fat"),
            ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1"),
        ],
    ),
];

/// Builds both programs with both settings. A size does not vary, so there are no rounds.
pub(crate) fn measure(report: &mut Report) -> Result<()> {
    let triple = format!("{}-unknown-linux-musl", std::env::consts::ARCH);
    have_target(&triple)?;
    for (name, settings) in PROFILES {
        let mut row = Row::new(
            format!("Rust hello, static program, {name}"),
            "bare axum",
            "MB",
        );
        row.push(
            size("hello-rust", &triple, settings)?,
            size("bench-bare-axum", &triple, settings)?,
        );
        report.add(row);
    }
    Ok(())
}

/// Builds a package for `triple` by itself, as a user's agent is, and returns the size of its program in MB.
fn size(package: &str, triple: &str, settings: &[(&str, &str)]) -> Result<f64> {
    // A folder of its own: settings that change would otherwise rebuild everything again and again.
    let folder = target_dir()?.join(if settings.is_empty() {
        "size"
    } else {
        "size-small"
    });
    let linker = format!(
        "CARGO_TARGET_{}_LINKER",
        triple.to_uppercase().replace('-', "_")
    );
    let mut command = Cmd::cargo("build --release --locked")
        .args(["-p", package, "--target", triple])
        .env(&linker, "rust-lld")
        .env("CARGO_TARGET_DIR", &folder);
    for (variable, value) in settings {
        command = command.env(variable, value);
    }
    command.run()?;
    let program = folder.join(triple).join("release").join(package);
    let bytes = std::fs::metadata(&program)
        .map_err(|error| Failed(format!("{}: {error}", program.display())))?
        .len();
    let bytes = u32::try_from(bytes).map_err(|_| Failed("the program has over 4 GB".to_owned()))?;
    Ok(f64::from(bytes) / 1e6)
}
