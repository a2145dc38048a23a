//! An engine's address as people write it: `unix:///var/run/docker.sock`, `tcp://localhost:2375`, `ssh://me@build`.
//!
//! Defaults are the docker command's. Only addresses of this machine pass.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use super::candidates::SYSTEM_SOCKET;
use crate::Endpoint;

/// The port of an engine that listens without TLS.
const PLAIN_PORT: u16 = 2375;

/// Why an address cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HostProblem {
    /// The engine is on another machine, where the ports of its containers would be.
    Remote,
    /// The engine wants TLS.
    Tls,
    /// It is no address that a command can connect to on this system.
    Unsupported,
    /// It is not an address at all.
    Malformed,
}

/// Reads an address.
pub(super) fn parse(host: &str, tls: bool) -> Result<Endpoint, HostProblem> {
    let host = host.trim();
    let (scheme, rest) = host.split_once("://").unwrap_or(("tcp", host));
    match scheme {
        "unix" if rest.is_empty() => Ok(Endpoint::Unix(PathBuf::from(SYSTEM_SOCKET))),
        "unix" => Ok(Endpoint::Unix(PathBuf::from(rest))),
        "tcp" | "http" => {
            let address = tcp(rest)?;
            if tls {
                Err(HostProblem::Tls)
            } else {
                Ok(Endpoint::Tcp(address))
            }
        }
        "https" => tcp(rest).and(Err(HostProblem::Tls)),
        "ssh" => Err(HostProblem::Remote),
        "fd" | "npipe" => Err(HostProblem::Unsupported),
        _ => Err(HostProblem::Malformed),
    }
}

/// The address as it may be shown: what stands before an `@` may hold a password.
pub(super) fn shown(host: &str) -> String {
    let host = host.trim();
    let (scheme, rest) = match host.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), host),
    };
    match rest.rsplit_once('@') {
        Some((user, rest)) => {
            let user = user.split(':').next().unwrap_or_default();
            format!("{scheme}{user}@{rest}")
        }
        None => format!("{scheme}{rest}"),
    }
}

fn tcp(address: &str) -> Result<SocketAddr, HostProblem> {
    let address = address.strip_suffix('/').unwrap_or(address);
    let (host, port) = split_port(address)?;
    let ip = match host {
        "" | "localhost" => Ipv4Addr::LOCALHOST.into(),
        name if name.contains(['/', '@', '?', '#', ' ']) => return Err(HostProblem::Malformed),
        // A name is not asked for: what it means today says nothing of where its ports are tomorrow.
        name => name.parse::<IpAddr>().map_err(|_| HostProblem::Remote)?,
    };
    if ip.is_loopback() {
        Ok(SocketAddr::new(ip, port))
    } else {
        Err(HostProblem::Remote)
    }
}

fn split_port(address: &str) -> Result<(&str, u16), HostProblem> {
    let (host, port) = match address.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']').ok_or(HostProblem::Malformed)?;
            match port.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None if port.is_empty() => (host, None),
                None => return Err(HostProblem::Malformed),
            }
        }
        None => match address.rsplit_once(':') {
            Some((host, _)) if host.contains(':') => return Err(HostProblem::Malformed),
            Some((host, port)) => (host, Some(port)),
            None => (address, None),
        },
    };
    match port {
        None | Some("") => Ok((host, PLAIN_PORT)),
        Some(port) => port
            .parse()
            .map(|port| (host, port))
            .map_err(|_| HostProblem::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// An address and what it is when it is shown.
    const READ: &[(&str, &str)] = &[
        (
            "unix:///run/user/1000/docker.sock",
            "unix:///run/user/1000/docker.sock",
        ),
        ("unix://docker.sock", "unix://docker.sock"),
        ("unix://", "unix:///var/run/docker.sock"),
        (" unix:///x ", "unix:///x"),
        ("tcp://", "tcp://127.0.0.1:2375"),
        ("tcp://localhost", "tcp://127.0.0.1:2375"),
        ("tcp://:2375", "tcp://127.0.0.1:2375"),
        ("localhost:2400", "tcp://127.0.0.1:2400"),
        ("127.0.0.1", "tcp://127.0.0.1:2375"),
        ("tcp://127.8.9.10:1/", "tcp://127.8.9.10:1"),
        ("tcp://[::1]:2375", "tcp://[::1]:2375"),
        ("tcp://[::1]", "tcp://[::1]:2375"),
        ("http://localhost:2375", "tcp://127.0.0.1:2375"),
    ];

    const REFUSED: &[(&str, HostProblem)] = &[
        ("tcp://[::2]:2375", HostProblem::Remote),
        ("tcp://10.0.0.1", HostProblem::Remote),
        ("tcp://docker:2375", HostProblem::Remote),
        ("tcp://localhost.example:2375", HostProblem::Remote),
        ("tcp://::1:2375", HostProblem::Malformed),
        ("tcp://[::1", HostProblem::Malformed),
        ("tcp://[::1]x", HostProblem::Malformed),
        ("tcp://localhost:port", HostProblem::Malformed),
        ("tcp://localhost/path:1", HostProblem::Malformed),
        ("://x", HostProblem::Malformed),
        ("fd://3", HostProblem::Unsupported),
    ];

    #[test]
    fn addresses_are_read_with_the_docker_commands_defaults() {
        for (host, shown) in READ {
            assert_eq!(parse(host, false).unwrap().to_string(), *shown, "{host}");
        }
        for (host, problem) in REFUSED {
            assert_eq!(parse(host, false).unwrap_err(), *problem, "{host}");
        }
    }

    #[test]
    fn tls_matters_to_ports_and_not_to_sockets() {
        assert_eq!(parse("unix:///x", true), parse("unix:///x", false));
        assert_eq!(parse("tcp://localhost:2376", true), Err(HostProblem::Tls));
        assert_eq!(
            parse("https://localhost:2376", false),
            Err(HostProblem::Tls)
        );
        // What is wrong first is told first.
        assert_eq!(parse("tcp://10.0.0.1:2376", true), Err(HostProblem::Remote));
        assert_eq!(
            parse("https://10.0.0.1:2376", false),
            Err(HostProblem::Remote)
        );
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(host in "\\PC{0,60}", tls: bool) {
            let _ = parse(&host, tls);
            let _ = shown(&host);
        }

        #[test]
        fn what_is_accepted_is_on_this_machine(host in "(tcp://)?[a-z0-9.:\\[\\]]{0,20}(:[0-9]{1,5})?") {
            if let Ok(Endpoint::Tcp(address)) = parse(&host, false) {
                prop_assert!(address.ip().is_loopback());
            }
        }

        #[test]
        fn an_endpoint_is_read_back_as_it_is_shown(path in "/[a-z0-9/._ -]{0,30}[a-z]", number: u16, v6: bool) {
            let unix = Endpoint::Unix(PathBuf::from(path));
            let ip: IpAddr = if v6 { std::net::Ipv6Addr::LOCALHOST.into() } else { Ipv4Addr::LOCALHOST.into() };
            let tcp = Endpoint::Tcp(SocketAddr::new(ip, number));
            for endpoint in [unix, tcp] {
                prop_assert_eq!(parse(&endpoint.to_string(), false), Ok(endpoint));
            }
        }

        #[test]
        fn a_password_is_never_shown(user in "[a-z]{1,8}", password in "[A-Z]{4,12}", tail in "[a-z.:0-9/@]{0,12}") {
            let shown = shown(&format!("ssh://{user}:{password}@{tail}"));
            prop_assert!(!shown.contains(&password), "{}", shown);
        }
    }
}
