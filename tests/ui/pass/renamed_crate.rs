//! taskq has another name here, and `taskq` is another crate.

#![forbid(unsafe_code)]
#![deny(warnings, missing_docs)]

extern crate taskq as tq;
extern crate core as taskq;

mod facade {
    pub(crate) use ::tq as queue;
}

#[tq::task(crate = ::tq)]
async fn absolute(_id: i64) {}

#[tq::task(crate = tq)]
async fn relative(_id: i64) {}

#[tq::task(crate = "::tq")]
async fn in_a_string(_id: i64) {}

#[tq::task(crate = crate::facade::queue, derive(Clone))]
async fn re_exported(tx: &mut tq::Tx, _attempt: &tq::Attempt, _id: i64) {
    drop(InAString::enqueue(tx, 1));
}

fn main() {
    use tq::Payload as _;
    assert_eq!(Absolute::TASK_TYPE, "absolute");
    assert_eq!(Relative::TASK_TYPE, "relative");
    assert_eq!(ReExported { id: 1 }.clone().id, 1);
    assert_eq!(taskq::mem::size_of::<u8>(), 1);
}
