//! Where something listens inside a container: what the kernel says of it, or else what its log says.
//!
//! Best effort. The kernel is asked where containers are processes of this machine (Linux, no virtual machine in between);
//! a log is read for the lines that common servers write.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Addresses on which something listens inside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Listening(Vec<SocketAddr>);

impl Listening {
    /// Asks the kernel for the sockets of container `id`, whose main process is `pid` on the engine's machine; `None` if
    /// that is not this machine, or it does not tell.
    pub(crate) fn of_process(pid: u32, id: &str) -> Option<Self> {
        let read = |file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}"));
        // In a virtual machine the number is another machine's: here it may be anybody's.
        if !read("cgroup").ok()?.contains(id) {
            return None;
        }
        let mut sockets = of_table(&read("net/tcp").ok()?);
        sockets.extend(of_table(&read("net/tcp6").unwrap_or_default()));
        Some(Self(sockets))
    }

    /// Reads what servers say of themselves.
    pub(crate) fn told<'a>(lines: impl Iterator<Item = &'a str>) -> Self {
        Self(lines.flat_map(of_line).collect())
    }

    /// The loopback address on `port`, if that is the only one there: nothing outside the container reaches it, and
    /// nothing else can be bound to all addresses on that port any more.
    pub(crate) fn only_inside(&self, port: u16) -> Option<SocketAddr> {
        let mut there = self.0.iter().filter(|it| it.port() == port);
        let first = there.next().copied()?;
        let all_inside = is_inside(&first) && there.all(is_inside);
        all_inside.then_some(first)
    }

    /// An address that is reached from outside on another port than `port`, if nothing listens on that.
    pub(crate) fn elsewhere(&self, port: u16) -> Option<SocketAddr> {
        let Self(sockets) = self;
        if sockets.iter().any(|it| it.port() == port) {
            return None;
        }
        let reached = sockets.iter().find(|it| !is_inside(it));
        reached.or_else(|| sockets.first()).copied()
    }
}

fn is_inside(address: &SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

/// Reads a table such as `/proc/net/tcp`.
fn of_table(table: &str) -> Vec<SocketAddr> {
    const LISTEN: &str = "0A";
    // The engine's own name server, in every container on a network of its own.
    const NAME_SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 11));
    let rows = table.lines().map(|line| line.split_ascii_whitespace());
    rows.filter_map(|mut columns| {
        let local = columns.nth(1)?;
        (columns.nth(1)? == LISTEN).then(|| socket(local)).flatten()
    })
    .filter(|it| it.ip() != NAME_SERVER)
    .collect()
}

/// Reads `0100007F:1F90`: words of four bytes as this machine's processor orders them, and the port.
fn socket(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| {
        let digits = address.get(at * 8..(at + 1) * 8)?;
        u32::from_str_radix(digits, 16).ok().map(u32::to_ne_bytes)
    };
    let ip = match address.len() {
        8 => IpAddr::from(word(0)?),
        32 => {
            let mut bytes = [0; 16];
            for (at, part) in bytes.chunks_exact_mut(4).enumerate() {
                part.copy_from_slice(&word(at)?);
            }
            IpAddr::from(bytes).to_canonical()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

/// Reads `Uvicorn running on http://127.0.0.1:8080 (Press CTRL+C to quit)` and its like.
fn of_line(line: &str) -> Vec<SocketAddr> {
    const VERBS: [&str; 4] = ["running on", "listening", "serving", "server started"];
    let lower = line.to_ascii_lowercase();
    if !VERBS.iter().any(|verb| lower.contains(verb)) {
        return Vec::new();
    }
    let is_gap = |it: char| it.is_whitespace() || "()<>\"'`,;=".contains(it);
    let words: Vec<&str> = lower.split(is_gap).filter(|it| !it.is_empty()).collect();
    let addresses: Vec<_> = words.iter().filter_map(|word| of_word(word)).collect();
    if !addresses.is_empty() {
        return addresses;
    }
    // `Listening on port 3000` means all addresses.
    let mut ports = words.windows(2).filter_map(|pair| match pair {
        ["port", number] => number.trim_end_matches(['.', '!']).parse().ok(),
        _ => None,
    });
    let port = ports.next().filter(|port| *port != 0);
    port.map(|port| SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port))
        .into_iter()
        .collect()
}

/// Reads `http://localhost:8080/`, `0.0.0.0:8080` or `[::1]:8080`.
fn of_word(word: &str) -> Option<SocketAddr> {
    let word = word.split_once("://").map_or(word, |(_, rest)| rest);
    let word = word.split('/').next()?.trim_end_matches(['.', '!']);
    if let Ok(address) = word.parse() {
        return Some(address);
    }
    let (host, port) = word.rsplit_once(':')?;
    let ip = match host {
        "localhost" => Ipv4Addr::LOCALHOST,
        "*" => Ipv4Addr::UNSPECIFIED,
        _ => return None,
    };
    Some(SocketAddr::new(ip.into(), port.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(log: &str) -> Listening {
        Listening::told(log.lines())
    }

    fn addresses(log: &str) -> Vec<String> {
        told(log).0.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_lines_of_common_servers_are_understood() {
        for (line, address) in [
            (
                "INFO:     Uvicorn running on http://127.0.0.1:8080 (Press CTRL+C to quit)",
                "127.0.0.1:8080",
            ),
            (
                "INFO:     Uvicorn running on http://0.0.0.0:8080 (Press CTRL+C to quit)",
                "0.0.0.0:8080",
            ),
            (" * Running on http://127.0.0.1:5000", "127.0.0.1:5000"),
            (
                "[2024-05-01 10:00:00 +0000] [7] [INFO] Listening at: http://127.0.0.1:8000 (7)",
                "127.0.0.1:8000",
            ),
            (
                "[INFO] Running on http://127.0.0.1:8000 (CTRL + C to quit)",
                "127.0.0.1:8000",
            ),
            (
                "Serving HTTP on 0.0.0.0 port 8000 (http://0.0.0.0:8000/) ...",
                "0.0.0.0:8000",
            ),
            (
                "======== Running on http://0.0.0.0:8080 ========",
                "0.0.0.0:8080",
            ),
            (
                "Server listening on http://localhost:3000.",
                "127.0.0.1:3000",
            ),
            ("listening on [::1]:8080", "[::1]:8080"),
            ("Example app listening on port 3000!", "0.0.0.0:3000"),
        ] {
            assert_eq!(addresses(line), [address], "{line}");
        }
        for line in [
            "connecting to http://127.0.0.1:9000",
            "listening for events",
            "Listening on port many",
            "",
        ] {
            assert!(addresses(line).is_empty(), "{line}");
        }
    }

    #[test]
    fn a_server_that_names_all_its_addresses_is_not_only_inside() {
        let flask = " * Running on all addresses (0.0.0.0)\n * Running on http://127.0.0.1:8080\n \
                     * Running on http://172.18.0.2:8080";
        assert_eq!(told(flask).only_inside(8080), None);
        assert_eq!(told(flask).elsewhere(8080), None);
        let local = told(" * Running on http://127.0.0.1:8080");
        let address = "127.0.0.1:8080".parse().ok();
        assert_eq!(local.only_inside(8080), address);
        assert_eq!(local.elsewhere(8080), None);
    }

    #[test]
    fn another_port_is_found() {
        let log = "listening on 127.0.0.1:6060\nlistening on 0.0.0.0:9000";
        assert_eq!(told(log).only_inside(8080), None);
        let address = "0.0.0.0:9000".parse().ok();
        assert_eq!(told(log).elsewhere(8080), address);
        assert_eq!(Listening::default().elsewhere(8080), None);
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn the_kernels_table_is_understood() {
        let tcp = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
                   0: 0B00007F:A2C1 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1\n   \
                   1: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 10001        0 2 1\n   \
                   2: 020012AC:1F90 010012AC:9C40 01 00000000:00000000 00:00000000 00000000 10001        0 3 1\n";
        let tcp6 = "  sl  local_address rem_address st\n   \
                    0: 00000000000000000000000000000000:2328 00000000000000000000000000000000:0000 0A 00000000:00000000\n   \
                    1: 0000000000000000FFFF00000100007F:1F91 00000000000000000000000000000000:0000 0A 00000000:00000000\n   \
                    2: 00000000000000000000000001000000:1F92 00000000000000000000000000000000:0000 0A 00000000:00000000\n";
        let found: Vec<_> = of_table(tcp).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["127.0.0.1:8080"]);
        let found: Vec<_> = of_table(tcp6).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["[::]:9000", "127.0.0.1:8081", "[::1]:8082"]);
        assert!(of_table("nonsense\n0: x:y z 0A\n").is_empty());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_process_that_is_not_the_containers_tells_nothing() {
        let id = "0123456789abcdef".repeat(4);
        assert_eq!(Listening::of_process(std::process::id(), &id), None);
    }
}
