//! Where a server listens: how the place is written, how the default is chosen, and how it is bound.
//!
//! Variables are passed in as values; the process environment is read in `run.rs` only.

use std::fmt;
use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use tokio::net::{TcpListener, UnixListener, UnixStream};

/// The port of the contract.
const DEFAULT_PORT: u16 = 8080;

/// Where to listen, written `host:port` or `unix:/path`.
///
/// ```
/// use agentcore_runtime::Address;
///
/// let address: Address = "unix:/run/agent.sock".parse()?;
/// assert_eq!(address.to_string(), "unix:/run/agent.sock");
/// # Ok::<(), agentcore_runtime::InvalidAddress>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// `host:port`; an IPv6 address stands in brackets, and port 0 lets the system choose one.
    Tcp(String),
    /// The absolute path of a Unix-domain socket.
    Unix(PathBuf),
}

impl Address {
    /// Chooses the place from the marks that the surroundings set.
    ///
    /// `listen` is the value of `AGENTCORE_LISTEN`; without it the port is 8080, on every interface if
    /// `docker_container` (the value of `DOCKER_CONTAINER`) is not empty, and on loopback otherwise.
    ///
    /// # Errors
    ///
    /// Fails if `listen` is neither empty nor an address.
    pub fn from_marks(
        listen: Option<&str>,
        docker_container: Option<&str>,
    ) -> Result<Self, InvalidAddress> {
        let is_set = |mark: &&str| !mark.is_empty();
        if let Some(text) = listen.filter(is_set) {
            return text.parse();
        }
        let host = match docker_container.filter(is_set) {
            Some(_) => "0.0.0.0",
            None => "127.0.0.1",
        };
        Ok(Self::Tcp(format!("{host}:{DEFAULT_PORT}")))
    }

    /// Begins to listen.
    ///
    /// A Unix socket is made for its owner only (mode 0600). A socket file left over from a server that is gone is
    /// replaced; one that answers is not.
    ///
    /// # Errors
    ///
    /// Fails, with a sentence for people, if the place is taken, does not exist or is not allowed.
    pub async fn bind(&self) -> io::Result<Listener> {
        match self {
            Self::Tcp(address) => match TcpListener::bind(address).await {
                Ok(listener) => Ok(Listener::Tcp(listener)),
                Err(error) => Err(explain_tcp(address, &error)),
            },
            Self::Unix(path) => {
                remove_stale(path).await?;
                let listener = UnixListener::bind(path).map_err(|error| in_words(path, &error))?;
                fs::set_permissions(path, Permissions::from_mode(0o600))
                    .map_err(|error| in_words(path, &error))?;
                Ok(Listener::Unix(listener))
            }
        }
    }
}

impl FromStr for Address {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = |reason| InvalidAddress {
            text: text.to_owned(),
            reason,
        };
        if let Some(path) = text.strip_prefix("unix:") {
            if !path.starts_with('/') {
                return Err(invalid("a socket needs an absolute path"));
            }
            return Ok(Self::Unix(path.into()));
        }
        let (host, port) = text
            .rsplit_once(':')
            .ok_or(invalid("there is no `:` before a port"))?;
        if port.parse::<u16>().is_err() || !port.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(invalid("the port is not a number from 0 to 65535"));
        }
        if host.is_empty() {
            return Err(invalid("the host is missing"));
        }
        let bracketed = host.starts_with('[') && host.ends_with(']');
        if host.contains(':') && !bracketed {
            return Err(invalid("an IPv6 address must stand in brackets"));
        }
        Ok(Self::Tcp(text.to_owned()))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => f.write_str(address),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// A text that is no [`Address`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an address: {reason} (write `host:port` or `unix:/path`)")]
pub struct InvalidAddress {
    text: String,
    reason: &'static str,
}

/// A socket that listens.
#[derive(Debug)]
pub enum Listener {
    /// On a port.
    Tcp(TcpListener),
    /// On a Unix-domain socket.
    Unix(UnixListener),
}

impl Listener {
    /// Returns where this listens, the port included that the system chose.
    ///
    /// # Errors
    ///
    /// Fails if the system does not say, or if a Unix socket has no path.
    pub fn address(&self) -> io::Result<Address> {
        match self {
            Self::Tcp(listener) => Ok(Address::Tcp(listener.local_addr()?.to_string())),
            Self::Unix(listener) => match listener.local_addr()?.as_pathname() {
                Some(path) => Ok(Address::Unix(path.to_owned())),
                None => Err(io::Error::other("the socket has no path")),
            },
        }
    }
}

impl From<TcpListener> for Listener {
    fn from(listener: TcpListener) -> Self {
        Self::Tcp(listener)
    }
}

impl From<UnixListener> for Listener {
    fn from(listener: UnixListener) -> Self {
        Self::Unix(listener)
    }
}

/// Removes the socket file of a server that is gone; refuses to touch anything else.
async fn remove_stale(path: &Path) -> io::Result<()> {
    let taken = |kind, what| Err(io::Error::new(kind, format!("`{}` {what}", path.display())));
    match fs::symlink_metadata(path) {
        Err(_) => return Ok(()), // Nothing there, or `bind` says better why not.
        Ok(found) if !found.file_type().is_socket() => {
            return taken(ErrorKind::AlreadyExists, "exists and is not a socket");
        }
        Ok(_) => {}
    }
    match UnixStream::connect(path).await {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        // Anything but a refusal may be a server that is alive: full, or not ours to reach.
        _ => taken(ErrorKind::AddrInUse, "is already in use"),
    }
}

fn explain_tcp(address: &str, error: &io::Error) -> io::Error {
    let (host, port) = address.rsplit_once(':').unwrap_or((address, ""));
    let text = match error.kind() {
        ErrorKind::AddrInUse => format!("port {port} on {host} is already in use"),
        ErrorKind::PermissionDenied => format!("port {port} on {host} is not allowed: {error}"),
        ErrorKind::AddrNotAvailable => format!("this machine has no address {host}"),
        _ => format!("cannot listen on {address}: {error}"),
    };
    io::Error::new(error.kind(), text)
}

fn in_words(path: &Path, error: &io::Error) -> io::Error {
    let text = format!("cannot listen on `{}`: {error}", path.display());
    io::Error::new(error.kind(), text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_marks_choose_the_address() {
        for (listen, docker, expected) in [
            (None, None, "127.0.0.1:8080"),
            (None, Some(""), "127.0.0.1:8080"),
            (None, Some("1"), "0.0.0.0:8080"),
            (Some(""), Some("1"), "0.0.0.0:8080"),
            (Some("127.0.0.1:9"), Some("1"), "127.0.0.1:9"),
            (Some("localhost:0"), None, "localhost:0"),
            (Some("[::1]:8080"), None, "[::1]:8080"),
            (Some("unix:/run/a b.sock"), Some("1"), "unix:/run/a b.sock"),
        ] {
            let address = Address::from_marks(listen, docker).unwrap();
            assert_eq!(address.to_string(), expected, "{listen:?} {docker:?}");
            assert_eq!(expected.parse(), Ok(address));
        }
    }

    #[test]
    fn a_malformed_mark_is_an_error_and_never_a_default() {
        for (listen, reason) in [
            ("8080", "there is no `:` before a port"),
            (":8080", "the host is missing"),
            ("localhost:", "the port is not a number from 0 to 65535"),
            ("localhost:+1", "the port is not a number from 0 to 65535"),
            (
                "localhost:65536",
                "the port is not a number from 0 to 65535",
            ),
            ("::1:8080", "an IPv6 address must stand in brackets"),
            ("unix:", "a socket needs an absolute path"),
            ("unix:agent.sock", "a socket needs an absolute path"),
        ] {
            let error = Address::from_marks(Some(listen), None).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!(
                    "`{listen}` is not an address: {reason} (write `host:port` or `unix:/path`)"
                )
            );
        }
    }

    #[tokio::test]
    async fn a_taken_port_is_named() {
        let first = Address::Tcp("127.0.0.1:0".into()).bind().await.unwrap();
        let address = first.address().unwrap();
        let error = address.bind().await.unwrap_err();
        let Address::Tcp(text) = address else {
            panic!("a port")
        };
        let port = text.rsplit_once(':').unwrap().1;
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        assert_eq!(
            error.to_string(),
            format!("port {port} on 127.0.0.1 is already in use")
        );
    }

    #[tokio::test]
    async fn only_a_stale_socket_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.sock");
        let address = Address::Unix(path.clone());

        let first = address.bind().await.unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let error = address.bind().await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("`{}` is already in use", path.display())
        );

        drop(first);
        assert!(path.exists(), "the file outlives its listener");
        address.bind().await.unwrap();

        fs::remove_file(&path).unwrap();
        fs::write(&path, "mine").unwrap();
        let error = address.bind().await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("`{}` exists and is not a socket", path.display())
        );
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    }
}
