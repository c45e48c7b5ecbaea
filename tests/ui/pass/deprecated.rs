//! A handler that is going away warns who enqueues it, and nobody else.

#![forbid(unsafe_code)]
#![deny(warnings, missing_docs)]

#[deprecated = "use `two`"]
#[taskq::task(derive(Clone))]
pub async fn one(id: i64) {
    assert!(id > 0);
}

#[taskq::task]
#[deprecated(since = "2.0.0", note = "use `two`")]
async fn other(_id: i64) {}

#[allow(deprecated)]
type Deprecated = (One, Other);

fn main() {
    #[expect(deprecated)]
    let one = One { id: 1 };
    #[expect(deprecated)]
    let _ = one.clone().id;
    let _: Option<Deprecated> = None;
}
