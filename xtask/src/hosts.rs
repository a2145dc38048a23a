//! `cargo xtask hosts`: the programs that serve Python agents in containers, static, one for each architecture.
//!
//! No C toolchain is needed for another architecture: the linker that comes with Rust does it. They are put beside the
//! release build of `agentcore`, which finds them there.

#[path = "../../src/services/elf.rs"]
mod elf;

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use elf::{Elf, Machine};

use crate::sh::{Cmd, Failed, Result, heading, say, target_dir, text, warn};

/// The arguments of `cargo xtask hosts`.
#[derive(Debug, Args)]
pub(crate) struct HostsArgs {
    /// Build for this architecture only
    #[arg(long, value_enum)]
    arch: Option<Arch>,
}

/// An architecture that images are built for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Arch {
    #[value(name = "x86_64", alias = "amd64")]
    X86_64,
    #[value(name = "aarch64", alias = "arm64")]
    Aarch64,
}

/// Builds the host binaries and puts them beside the release program.
pub(crate) fn run(args: &HostsArgs) -> Result<()> {
    let target = target_dir()?;
    let folder = target.join("release");
    fs::create_dir_all(&folder)?;
    let wanted = args
        .arch
        .map_or_else(|| vec![Arch::X86_64, Arch::Aarch64], |it| vec![it]);
    for arch in wanted {
        heading(&format!("agentcore-host for {}", arch.name()));
        match build(arch, &target) {
            Ok(program) => {
                let placed = place(&program, &folder, arch)?;
                say(&format!(
                    "{} ({} KiB)",
                    placed.display(),
                    size(&placed)? / 1024
                ));
            }
            // What runs on this machine's own engine must be there, and so must what was asked for by name.
            Err(failed) if arch.is_own() || args.arch.is_some() => return Err(failed),
            Err(Failed(reason)) => warn(&format!(
                "there is no agentcore-host for {} (containers of other machines need it): {reason}",
                arch.name()
            )),
        }
    }
    Ok(())
}

impl Arch {
    fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        }
    }

    fn is_own(self) -> bool {
        self.name() == std::env::consts::ARCH
    }
}

/// Builds for `arch` and returns the program, checked.
fn build(arch: Arch, target_dir: &Path) -> Result<PathBuf> {
    let musl = format!("{}-unknown-linux-musl", arch.name());
    let triple = match have_target(&musl) {
        Ok(()) => musl,
        Err(Failed(reason)) if arch.is_own() && cfg!(target_os = "linux") => {
            warn(&format!(
                "{reason}; building with this machine's own C library instead"
            ));
            format!("{}-unknown-linux-gnu", arch.name())
        }
        Err(failed) => return Err(failed),
    };
    let is_musl = triple.ends_with("musl");
    let variable = |name: &str| {
        format!(
            "CARGO_TARGET_{}_{name}",
            triple.to_uppercase().replace('-', "_")
        )
    };
    let command = Cmd::cargo("build --release --locked -p agentcore-host --bin agentcore-host")
        // Named also where it is this machine's own: otherwise build scripts would get its flags.
        .args(["--target", &triple]);
    let command = if is_musl {
        command.env(&variable("LINKER"), "rust-lld")
    } else {
        command.env(&variable("RUSTFLAGS"), "-C target-feature=+crt-static")
    };
    command.run()?;
    let program = target_dir.join(&triple).join("release/agentcore-host");
    check(&program, arch)?;
    Ok(program)
}

/// Makes sure that the toolchain can compile for `triple`.
pub(crate) fn have_target(triple: &str) -> Result<()> {
    let installed = || {
        let asked = Cmd::new("rustc")
            .args(["--print", "target-libdir", "--target", triple])
            .output();
        asked.is_ok_and(|it| Path::new(text(&it.stdout).trim()).is_dir())
    };
    if installed() {
        return Ok(());
    }
    let added = Cmd::new("rustup").args(["target", "add", triple]).run();
    match added {
        Ok(()) if installed() => Ok(()),
        Ok(()) => Err(Failed(format!(
            "`rustup` does not manage the `rustc` that is used; install its target `{triple}`"
        ))),
        Err(Failed(reason)) => Err(Failed(format!(
            "{reason}; install the target with `rustup target add {triple}`"
        ))),
    }
}

/// Makes sure that the program runs in any image of the architecture.
fn check(program: &Path, arch: Arch) -> Result<()> {
    let wrong = |what: &str| Failed(format!("`{}` {what}", program.display()));
    let elf = Elf::read(&fs::read(program)?).map_err(|_| wrong("is not a 64-bit Linux program"))?;
    if Some(elf.machine) != Machine::named(arch.name()) {
        return Err(wrong(&format!(
            "is for {}, not for {}",
            elf.machine.name(),
            arch.name()
        )));
    }
    if !elf.is_static {
        return Err(wrong("is not static"));
    }
    Ok(())
}

/// Puts the program where the release program looks for it; a program that runs is replaced, not changed.
fn place(program: &Path, folder: &Path, arch: Arch) -> Result<PathBuf> {
    let placed = folder.join(format!("agentcore-host-{}", arch.name()));
    let new = folder.join(format!(".agentcore-host-{}.new", arch.name()));
    fs::copy(program, &new)?;
    fs::rename(&new, &placed)?;
    Ok(placed)
}

fn size(path: &Path) -> Result<u64> {
    Ok(fs::metadata(path)?.len())
}
