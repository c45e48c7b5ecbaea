//! What `#[task]` accepts, and what the compiler says about what it does not.
//!
//! After a change of messages, `TRYBUILD=overwrite cargo test -p taskq-tests --test ui` writes the
//! snapshots anew. Read each as somebody who made that mistake: is the first message enough to mend
//! the program?

mod leans;

use std::io::{self, Write as _};
use std::process::Command;
use std::{env, str};

/// The rustc that wrote the messages in `ui/fail`. Another words some of them in its own way.
const WRITTEN_BY: &str = "rustc 1.95.";

#[test]
fn ui() {
    let cases = trybuild::TestCases::new();
    cases.pass("ui/pass/*.rs");
    // Whoever works on messages says so by this variable, and `.ci/run` does.
    if env::var_os("TRYBUILD").is_some() || rustc().starts_with(WRITTEN_BY) {
        cases.compile_fail("ui/fail/*/*.rs");
    } else {
        let why = format!(
            "the messages in ui/fail are those of {WRITTEN_BY}x, and this is {}",
            rustc()
        );
        let _ = writeln!(
            io::stderr(),
            "skipped: {why}; `TRYBUILD=wip cargo test --test ui` compares them"
        );
    }
}

fn rustc() -> String {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("--version").output();
    let output = output.expect("rustc is beside cargo").stdout;
    str::from_utf8(&output)
        .unwrap_or_default()
        .trim()
        .to_owned()
}
