//! The web server depends on the payloads alone, so no handler is in its binary. That the same texts are
//! found where there are handlers is tested in `contracts-worker`.

/// What only the handler says, and the name of the type that `#[task]` made for it.
const OF_THE_HANDLER: [&str; 2] = ["a welcome mail in", "SendEmailWelcomeHandler"];

/// What whoever enqueues has as well.
const OF_THE_PAYLOAD: &str = "send_email_welcome";

#[test]
fn the_web_server_links_no_handler() {
    let binary = std::fs::read(env!("CARGO_BIN_EXE_contracts-web")).expect("the binary");
    assert!(contains(&binary, OF_THE_PAYLOAD));
    for text in OF_THE_HANDLER {
        assert!(!contains(&binary, text), "{text}");
    }
}

fn contains(binary: &[u8], text: &str) -> bool {
    let mut ends = (0..binary.len()).map(|at| &binary[at..]);
    ends.any(|end| end.starts_with(text.as_bytes()))
}
