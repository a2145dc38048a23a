//! Who may speak to the front door: programs on this machine, and no web page from elsewhere.
//!
//! A browser will send requests to a local port for any page, under the page's own name (`Origin`) or under a name that
//! was made to point here (`Host`). Both are checked; nothing here identifies a user.

use std::net::IpAddr;

use http::header::{HOST, ORIGIN};
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Uri};

/// What a request must look like to be let in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Guard {
    listens_on: IpAddr,
}

/// Why a request is not let in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Foreign {
    #[error("the host `{0}` is not this machine")]
    Host(String),
    #[error("the origin `{0}` is not this machine")]
    Origin(String),
}

impl Guard {
    /// Creates the guard of a listener on this address.
    pub(crate) fn new(listens_on: IpAddr) -> Self {
        Self { listens_on }
    }

    /// Lets a request in if every host and origin that it names is this machine.
    pub(crate) fn check(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Foreign> {
        if let Some(authority) = uri.authority()
            && !self.is_host(authority)
        {
            return Err(Foreign::Host(authority.to_string()));
        }
        for host in headers.get_all(HOST) {
            if !authority(host).is_some_and(|it| self.is_host(&it)) {
                return Err(Foreign::Host(lossy(host)));
            }
        }
        for origin in headers.get_all(ORIGIN) {
            if !self.is_origin(origin, headers) {
                return Err(Foreign::Origin(lossy(origin)));
            }
        }
        Ok(())
    }

    fn is_host(&self, authority: &Authority) -> bool {
        // Whoever listens on every address is reached by any of them. A number cannot be made to point elsewhere.
        self.is_this_machine(authority)
            || self.listens_on.is_unspecified() && address(authority).is_some()
    }

    fn is_origin(&self, origin: &HeaderValue, headers: &HeaderMap) -> bool {
        let uri = Uri::try_from(origin.as_bytes()).ok();
        // `null` and other opaque origins have no scheme.
        let web = uri.filter(|it| matches!(it.scheme_str(), Some("http" | "https")));
        let Some(from) = web.and_then(|it| it.authority().cloned()) else {
            return false;
        };
        // A page of this very listener, under the name by which it was let in.
        let own = headers.get(HOST).and_then(authority);
        self.is_this_machine(&from) || own.is_some_and(|own| own == from)
    }

    fn is_this_machine(&self, authority: &Authority) -> bool {
        authority.host().eq_ignore_ascii_case("localhost")
            || address(authority).is_some_and(|it| it.is_loopback() || it == self.listens_on)
    }
}

fn authority(value: &HeaderValue) -> Option<Authority> {
    let authority = Authority::try_from(value.as_bytes()).ok()?;
    // A user part has no place in a `Host`.
    (!authority.as_str().contains('@')).then_some(authority)
}

fn address(authority: &Authority) -> Option<IpAddr> {
    let host = authority.host();
    let bare = host.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    bare.unwrap_or(host).parse().ok()
}

fn lossy(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOPBACK: &str = "127.0.0.1";

    fn check(listens_on: &str, headers: &[(http::HeaderName, &'static str)]) -> bool {
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| (name.clone(), HeaderValue::from_static(value)))
            .collect();
        let guard = Guard::new(listens_on.parse().unwrap());
        guard.check(&Uri::from_static("/ping"), &headers).is_ok()
    }

    #[test]
    fn names_of_this_machine_are_let_in_with_any_port() {
        for host in [
            "localhost",
            "LOCALHOST:1",
            "127.0.0.1:8080",
            "[::1]:9",
            "[::1]",
        ] {
            assert!(check(LOOPBACK, &[(HOST, host)]), "{host}");
        }
        assert!(
            check(LOOPBACK, &[]),
            "no browser sends a request without a host"
        );
    }

    #[test]
    fn other_hosts_are_foreign() {
        for host in [
            "example.com",
            "localhost.example.com",
            "127.0.0.1.example.com:8080",
            "192.168.1.7:8080",
            "user@localhost",
            "",
            "a b",
        ] {
            assert!(!check(LOOPBACK, &[(HOST, host)]), "{host}");
        }
        assert!(!check(
            LOOPBACK,
            &[(HOST, "localhost"), (HOST, "example.com")]
        ));
    }

    #[test]
    fn a_foreign_host_in_the_request_line_is_seen_too() {
        let guard = Guard::new(LOOPBACK.parse().unwrap());
        let check = |uri| guard.check(&Uri::from_static(uri), &HeaderMap::new());
        assert!(check("http://localhost:8080/ping").is_ok());
        assert!(check("http://example.com/ping").is_err());
    }

    #[test]
    fn pages_of_this_machine_are_let_in_and_others_are_not() {
        for origin in [
            "http://localhost:3000",
            "http://127.0.0.1",
            "https://[::1]:1",
        ] {
            let headers = [(HOST, "localhost:8080"), (ORIGIN, origin)];
            assert!(check(LOOPBACK, &headers), "{origin}");
        }
        for origin in [
            "null",
            "",
            "https://example.com",
            "http://localhost.example.com",
            "file://",
            "chrome-extension://abc",
        ] {
            let headers = [(HOST, "localhost:8080"), (ORIGIN, origin)];
            assert!(!check(LOOPBACK, &headers), "{origin}");
        }
    }

    #[test]
    fn the_address_it_was_told_to_listen_on_is_its_own() {
        let own = [
            (HOST, "192.168.1.7:8080"),
            (ORIGIN, "http://192.168.1.7:8080"),
        ];
        assert!(check("192.168.1.7", &own));
        assert!(check("0.0.0.0", &own));
        assert!(!check("0.0.0.0", &[(HOST, "example.com")]));
        let other_page = [(HOST, "192.168.1.7:8080"), (ORIGIN, "http://192.168.1.9")];
        assert!(!check("0.0.0.0", &other_page));
    }
}
