//! What pages load beside themselves: one style sheet, one script and one icon, in the binary. Their names have a hash of
//! their contents, so a browser may keep them for ever and never has an old one.

use axum::body::Body;
use axum::http::Response;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};

/// A file in the binary.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asset {
    stem: &'static str,
    extension: &'static str,
    content_type: &'static str,
    text: &'static str,
}

pub(super) const STYLE: Asset = Asset {
    stem: "style",
    extension: "css",
    content_type: "text/css; charset=utf-8",
    text: include_str!("../../assets/dashboard/style.css"),
};

pub(super) const SCRIPT: Asset = Asset {
    stem: "script",
    extension: "js",
    content_type: "text/javascript; charset=utf-8",
    text: include_str!("../../assets/dashboard/script.js"),
};

pub(super) const ICON: Asset = Asset {
    stem: "icon",
    extension: "svg",
    content_type: "image/svg+xml",
    text: include_str!("../../assets/dashboard/icon.svg"),
};

pub(super) const ALL: [Asset; 3] = [STYLE, SCRIPT, ICON];

impl Asset {
    /// Returns its name, which another content would not have.
    pub(super) fn name(self) -> String {
        format!("{}-{:016x}.{}", self.stem, hash(self.text), self.extension)
    }

    pub(super) fn response(self) -> Response<Body> {
        let mut response = Response::new(Body::from(self.text));
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            self.content_type.parse().expect("it is ASCII"),
        );
        let kept = "private, max-age=31536000, immutable";
        headers.insert(CACHE_CONTROL, kept.parse().expect("it is ASCII"));
        response
    }
}

/// FNV-1a: it only has to tell one release's file from another's.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
