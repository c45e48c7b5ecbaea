//! A task is declared in a function's body, beside another of the same name.

#![forbid(unsafe_code)]
#![deny(warnings, missing_docs)]

use taskq::Payload;

fn first() -> &'static str {
    #[taskq::task(name = "first")]
    async fn purge(_days: i64) {}

    Purge::TASK_TYPE
}

fn second() -> &'static str {
    #[taskq::task(name = "second")]
    async fn purge(_days: i64) {}

    Purge::TASK_TYPE
}

fn main() {
    assert_eq!((first(), second()), ("first", "second"));
}
