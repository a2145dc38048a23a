//! The little that must be known of a Linux program before it is put into an image: for which processor it is, and
//! whether it needs a loader that the image may not have.
//!
//! Only the header and the program headers are read; nothing is validated beyond that.

/// A processor, as an ELF file names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Machine {
    /// `EM_X86_64`.
    X86_64,
    /// `EM_AARCH64`.
    Aarch64,
    /// Any other, by its number.
    Other(u16),
}

/// What the headers say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Elf {
    /// For which processor it is.
    pub(crate) machine: Machine,
    /// Whether it runs without a dynamic loader.
    pub(crate) is_static: bool,
}

/// The file is no 64-bit little-endian ELF program, or is cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotElf;

impl Machine {
    /// The processor that Rust calls `name`.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "x86_64" => Some(Self::X86_64),
            "aarch64" => Some(Self::Aarch64),
            _ => None,
        }
    }

    /// What Rust calls it; a number for one that is not known here.
    pub(crate) fn name(self) -> String {
        match self {
            Self::X86_64 => "x86_64".to_owned(),
            Self::Aarch64 => "aarch64".to_owned(),
            Self::Other(number) => format!("machine {number}"),
        }
    }
}

impl Elf {
    /// Reads the headers of the program in `bytes`.
    ///
    /// # Errors
    ///
    /// Fails if that is no 64-bit little-endian ELF file.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, NotElf> {
        const PT_INTERP: u32 = 3;
        if !bytes.starts_with(b"\x7fELF\x02\x01") {
            return Err(NotElf);
        }
        let machine = match u16_at(bytes, 18)? {
            62 => Machine::X86_64,
            183 => Machine::Aarch64,
            other => Machine::Other(other),
        };
        let table = usize::try_from(u64_at(bytes, 32)?).map_err(|_| NotElf)?;
        let (size, count) = (u16_at(bytes, 54)?, u16_at(bytes, 56)?);
        let mut is_static = true;
        for index in 0..usize::from(count) {
            let at = index
                .checked_mul(usize::from(size))
                .and_then(|it| it.checked_add(table))
                .ok_or(NotElf)?;
            is_static &= u32_at(bytes, at)? != PT_INTERP;
        }
        Ok(Self { machine, is_static })
    }
}

fn bytes_at<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N], NotElf> {
    let rest = bytes.get(at..).ok_or(NotElf)?;
    rest.first_chunk().copied().ok_or(NotElf)
}

fn u16_at(bytes: &[u8], at: usize) -> Result<u16, NotElf> {
    bytes_at(bytes, at).map(u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32, NotElf> {
    bytes_at(bytes, at).map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Result<u64, NotElf> {
    bytes_at(bytes, at).map(u64::from_le_bytes)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A program of nothing but headers.
    pub(crate) fn program(machine: u16, with_loader: bool) -> Vec<u8> {
        let mut bytes = vec![0; 64];
        bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
        bytes[18..20].copy_from_slice(&machine.to_le_bytes());
        bytes[32] = 64;
        bytes[54] = 56;
        bytes[56] = 2;
        for kind in [1_u32, if with_loader { 3 } else { 2 }] {
            bytes.extend(kind.to_le_bytes());
            bytes.extend([0; 52]);
        }
        bytes
    }

    #[test]
    fn headers_tell_the_processor_and_the_loader() {
        let read = |machine, with_loader| Elf::read(&program(machine, with_loader)).unwrap();
        assert_eq!(read(62, false).machine, Machine::X86_64);
        assert_eq!(read(183, false).machine, Machine::Aarch64);
        assert_eq!(read(243, false).machine, Machine::Other(243));
        assert!(read(62, false).is_static);
        assert!(!read(62, true).is_static);
    }

    #[test]
    fn a_test_program_of_this_machine_is_read() {
        let this = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        if cfg!(target_os = "linux") {
            let elf = Elf::read(&this).unwrap();
            assert_eq!(elf.machine, Machine::named(std::env::consts::ARCH).unwrap());
            assert_eq!(elf.is_static, cfg!(target_feature = "crt-static"));
        } else {
            assert_eq!(Elf::read(&this), Err(NotElf));
        }
    }

    #[test]
    fn what_is_cut_off_or_something_else_is_refused() {
        let whole = program(62, true);
        for len in 0..whole.len() - 52 {
            assert_eq!(Elf::read(&whole[..len]), Err(NotElf), "{len} bytes");
        }
        assert_eq!(Elf::read(b"#!/bin/sh\n"), Err(NotElf));
        let mut far = whole;
        far[32..40].fill(0xff);
        assert_eq!(Elf::read(&far), Err(NotElf));
    }
}
