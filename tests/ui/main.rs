//! What `#[task]` accepts, and what the compiler says about what it does not.
//!
//! After a change of messages, `TRYBUILD=overwrite cargo test -p taskq-tests --test ui` writes the
//! snapshots anew. Read each as somebody who made that mistake: is the first message enough to mend
//! the program?

mod leans;

#[test]
fn ui() {
    let cases = trybuild::TestCases::new();
    cases.pass("ui/pass/*.rs");
    cases.compile_fail("ui/fail/*/*.rs");
}
