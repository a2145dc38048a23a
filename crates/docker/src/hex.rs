//! Digests as text: the names that the docker command and this crate derive from other names.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

/// The SHA-256 digest of a text, in 64 hexadecimal digits.
pub(crate) fn sha256(text: &str) -> String {
    Sha256::digest(text)
        .iter()
        .fold(String::new(), |mut digits, byte| {
            // Writing to a string cannot fail.
            let _ = write!(digits, "{byte:02x}");
            digits
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_folder_of_a_context() {
        // The folder that Docker Desktop on Linux and macOS makes for its own context.
        let desktop = "fe9c6bd7a66301f49ca9b6a70b217107cd1284598bfc254700c989b916da791e";
        assert_eq!(sha256("desktop-linux"), desktop);
    }
}
