//! The crate against a real engine and real files.
