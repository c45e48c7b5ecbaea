//! Whether a change was asked for by one of our own pages: another site's page can send a form here, with the
//! browser's password.

use axum::http::header::ORIGIN;
use axum::http::request::Parts;

use super::request::host;

/// Tells why a change is refused that was asked for so; `None` if it is not.
///
/// A browser says in `Sec-Fetch-Site` from where it comes, on `https` and on localhost. Elsewhere, and where the browser is
/// old, the `Origin` must be the host that was asked. Nothing is kept from one request to the next, so any number of
/// processes may serve the pages together.
pub(super) fn refusal(request: &Parts) -> Option<&'static str> {
    let text = |name: &str| {
        request
            .headers
            .get(name)
            .map(|value| value.to_str().unwrap_or(""))
    };
    if let Some(site) = text("sec-fetch-site") {
        return (site != "same-origin").then_some("it was asked for by a page of another site");
    }
    let Some(origin) = text(ORIGIN.as_str()) else {
        return Some(
            "the browser does not say which page asks for it: neither Sec-Fetch-Site nor Origin is there",
        );
    };
    let host = host(request).unwrap_or_default();
    let of_origin = origin.split_once("://").map(|(_, host)| host);
    match of_origin.is_some_and(|it| !it.is_empty() && it.eq_ignore_ascii_case(host)) {
        true => None,
        false => Some(
            "it was asked for by a page of another host; a proxy must hand on the header Host as it came",
        ),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn refused(headers: &[(&'static str, &'static str)]) -> bool {
        let request = headers
            .iter()
            .fold(Request::new(()), |mut request, (name, value)| {
                let value = value.parse().expect("a value");
                request.headers_mut().insert(*name, value);
                request
            });
        refusal(&request.into_parts().0).is_some()
    }

    #[test]
    fn a_change_is_asked_for_by_a_page_of_the_same_origin() {
        assert!(!refused(&[("sec-fetch-site", "same-origin")]));
        for site in ["cross-site", "same-site", "none", ""] {
            let host = [("host", "a.example"), ("origin", "http://a.example")];
            assert!(
                refused(&[&host[..], &[("sec-fetch-site", site)]].concat()),
                "{site}"
            );
        }
    }

    #[test]
    fn from_http_2_on_the_host_is_in_the_address() {
        let request = |uri: &str| {
            let request = Request::post(uri).header("origin", "https://a.example");
            request.body(()).expect("a request").into_parts().0
        };
        assert_eq!(refusal(&request("https://a.example/cancel")), None);
        assert!(refusal(&request("https://b.example/cancel")).is_some());
    }

    #[test]
    fn without_that_header_the_origin_is_the_host() {
        assert!(!refused(&[
            ("host", "box.lan:3001"),
            ("origin", "http://box.lan:3001")
        ]));
        assert!(refused(&[
            ("host", "box.lan:3001"),
            ("origin", "http://box.lan")
        ]));
        assert!(refused(&[
            ("host", "box.lan"),
            ("origin", "http://evil.example")
        ]));
        assert!(refused(&[("host", "box.lan"), ("origin", "null")]));
        assert!(refused(&[("host", ""), ("origin", "null://")]));
        assert!(refused(&[("host", "box.lan")]));
        assert!(refused(&[]));
    }
}
