//! What a static program needs around it in an image that starts from nothing: certificate authorities, a user with a
//! name, and folders that it may write to.
//!
//! The archive holds no time and no name of this machine: it is the same wherever it is made.

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tar::{Builder, EntryType, Header};
use webpki_root_certs::TLS_SERVER_ROOT_CERTS;

const PASSWD: &str = "root:x:0:0:root:/:/\nagent:x:10001:10001:agent:/home/agent:/\n";
const GROUP: &str = "root:x:0:\nagent:x:10001:\n";
/// The number of the agent's user and of its group.
const AGENT: u64 = 10001;

/// The archive that the Dockerfile unpacks into the image.
pub(super) fn archive() -> io::Result<Vec<u8>> {
    let mut tar = Builder::new(Vec::new());
    for (path, mode, owner) in [
        ("app/", 0o755, AGENT),
        ("etc/", 0o755, 0),
        ("etc/ssl/", 0o755, 0),
        ("etc/ssl/certs/", 0o755, 0),
        ("home/", 0o755, 0),
        ("home/agent/", 0o700, AGENT),
        ("tmp/", 0o1777, 0),
    ] {
        let mut header = header(EntryType::Directory, mode, owner);
        tar.append_data(&mut header, path, io::empty())?;
    }
    for (path, content) in [
        ("etc/group", GROUP.to_owned()),
        ("etc/passwd", PASSWD.to_owned()),
        ("etc/ssl/certs/ca-certificates.crt", certificates()),
    ] {
        let mut header = header(EntryType::Regular, 0o644, 0);
        header.set_size(content.len() as u64);
        tar.append_data(&mut header, path, content.as_bytes())?;
    }
    tar.into_inner()
}

fn header(kind: EntryType, mode: u32, owner: u64) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(owner);
    header.set_gid(owner);
    header.set_mtime(0);
    header.set_size(0);
    header
}

/// The authorities that browsers trust, as PEM.
fn certificates() -> String {
    const LINE: usize = 64;
    let mut text = String::new();
    for certificate in TLS_SERVER_ROOT_CERTS {
        let encoded = STANDARD.encode(certificate);
        text.push_str("-----BEGIN CERTIFICATE-----\n");
        let mut rest = encoded.as_str();
        while !rest.is_empty() {
            let (line, after) = rest.split_at(rest.len().min(LINE));
            text.push_str(line);
            text.push('\n');
            rest = after;
        }
        text.push_str("-----END CERTIFICATE-----\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn the_archive_is_the_same_each_time_and_holds_what_a_program_needs() {
        let bytes = archive().unwrap();
        assert_eq!(bytes, archive().unwrap());
        let mut archive = tar::Archive::new(bytes.as_slice());
        let entries: Vec<String> = archive
            .entries()
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let header = entry.header();
                assert_eq!(header.mtime().unwrap(), 0);
                format!(
                    "{:o} {} {}",
                    header.mode().unwrap(),
                    header.uid().unwrap(),
                    entry.path().unwrap().display()
                )
            })
            .collect();
        assert_eq!(
            entries,
            [
                "755 10001 app/",
                "755 0 etc/",
                "755 0 etc/ssl/",
                "755 0 etc/ssl/certs/",
                "755 0 home/",
                "700 10001 home/agent/",
                "1777 0 tmp/",
                "644 0 etc/group",
                "644 0 etc/passwd",
                "644 0 etc/ssl/certs/ca-certificates.crt",
            ]
        );
    }

    #[test]
    fn every_certificate_is_there_and_unharmed() {
        let bytes = archive().unwrap();
        let mut archive = tar::Archive::new(bytes.as_slice());
        let mut entries = archive.entries().unwrap().map(Result::unwrap);
        let mut pem = String::new();
        let mut entry = entries
            .find(|it| it.path().unwrap().ends_with("ca-certificates.crt"))
            .unwrap();
        entry.read_to_string(&mut pem).unwrap();
        assert!(pem.lines().all(|it| it.len() <= 64));
        let decoded: Vec<Vec<u8>> = pem
            .split("-----BEGIN CERTIFICATE-----\n")
            .skip(1)
            .map(|it| it.strip_suffix("-----END CERTIFICATE-----\n").unwrap())
            .map(|it| STANDARD.decode(it.replace('\n', "")).unwrap())
            .collect();
        let expected: Vec<Vec<u8>> = TLS_SERVER_ROOT_CERTS.iter().map(|it| it.to_vec()).collect();
        assert_eq!(decoded, expected);
        assert!(decoded.len() > 100);
    }
}
