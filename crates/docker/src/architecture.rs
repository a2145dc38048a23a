//! The processor architecture of an engine, an image or a program.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A processor architecture, under the names that Rust gives it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Architecture {
    /// Docker's `amd64`.
    X86_64,
    /// Docker's `arm64`.
    Aarch64,
    /// Any other, as it was told.
    Other(String),
}

impl Architecture {
    /// Reads a name as Docker (`amd64`), Rust or `uname -m` (`x86_64`) give it.
    pub fn parse(name: &str) -> Self {
        match name {
            "amd64" | "x86_64" => Self::X86_64,
            "arm64" | "aarch64" => Self::Aarch64,
            other => Self::Other(other.to_owned()),
        }
    }

    /// The name in Rust's target triples: `x86_64`.
    pub fn rust(&self) -> &str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
            Self::Other(name) => name,
        }
    }

    /// The name in Docker's platforms: `amd64`.
    pub fn docker(&self) -> &str {
        match self {
            Self::X86_64 => "amd64",
            Self::Aarch64 => "arm64",
            Self::Other(name) => name,
        }
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.rust())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_of_naming_it_mean_the_same() {
        for (docker, rust) in [
            ("amd64", "x86_64"),
            ("arm64", "aarch64"),
            ("riscv64", "riscv64"),
        ] {
            assert_eq!(Architecture::parse(docker), Architecture::parse(rust));
            assert_eq!(Architecture::parse(docker).rust(), rust);
            assert_eq!(Architecture::parse(rust).docker(), docker);
        }
    }
}
