//! What a request says of itself: for which host it is, and with which word of whose.

use std::hint::black_box;
use std::net::IpAddr;

use axum::http::header::{AUTHORIZATION, HOST};
use axum::http::request::Parts;

/// Returns what comes after the scheme in the header `Authorization`.
pub(super) fn authorization<'r>(request: &'r Parts, scheme: &str) -> Option<&'r str> {
    let header = request.headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (said, rest) = header.split_once(' ')?;
    said.eq_ignore_ascii_case(scheme).then(|| rest.trim())
}

/// Compares without telling by its time where the first difference is.
pub(super) fn is_same(given: &[u8], known: &[u8]) -> bool {
    let mut difference = given.len() ^ known.len();
    for (index, byte) in given.iter().enumerate() {
        // What is longer than the known one differs already, and takes as long as it is.
        let known = known.get(index % known.len().max(1)).copied().unwrap_or(0);
        difference |= usize::from(black_box(byte ^ known));
    }
    black_box(difference) == 0
}

/// Returns the host that a request names: in its header, and from HTTP/2 on in its address.
pub(super) fn host(request: &Parts) -> Option<&str> {
    match request.headers.get(HOST) {
        Some(host) => host.to_str().ok(),
        None => request.uri.authority().map(|authority| authority.as_str()),
    }
}

/// Tells whether a request names this machine. A page of a foreign host whose name was made to lead here names that.
pub(super) fn is_for_this_machine(request: &Parts) -> bool {
    host(request).is_some_and(is_loopback_name)
}

fn is_loopback_name(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    let address = name.parse::<IpAddr>();
    name.eq_ignore_ascii_case("localhost")
        || address.is_ok_and(|it| it.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_the_same_if_all_their_bytes_are() {
        assert!(is_same(b"secret", b"secret"));
        for other in ["secre", "secrets", "Secret", "", "secretsecret"] {
            assert!(!is_same(other.as_bytes(), b"secret"), "{other}");
            assert!(!is_same(b"secret", other.as_bytes()), "{other}");
        }
    }

    #[test]
    fn a_loopback_name_is_one_that_leads_nowhere_else() {
        for host in [
            "localhost",
            "LOCALHOST:80",
            "127.0.0.1:3001",
            "127.1.2.3",
            "[::1]:3001",
        ] {
            assert!(is_loopback_name(host), "{host}");
        }
        for host in [
            "",
            "example.com",
            "localhost.example.com",
            "127.0.0.1.nip.io",
            "10.0.0.1",
            "[::2]",
            "0.0.0.0",
        ] {
            assert!(!is_loopback_name(host), "{host}");
        }
    }
}
