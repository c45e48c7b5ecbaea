//! No snapshot of a message may depend on what else a machine has installed.
//!
//! rustc quotes the source of what it names, if it is there: of std with the component `rust-src`, of a
//! dependency wherever Cargo keeps it. A message that leads there is another one on the next machine.

use std::fs;
use std::path::{Path, PathBuf};

/// Where a message may lead: to the case itself, and to taskq.
const OURS: [&str; 2] = ["ui/", "$WORKSPACE/"];

/// What only the path of something installed has in it, wherever in the text it stands. `$RUST` and
/// `$CARGO` are what trybuild writes for the folders of the toolchain and of the registry.
const INSTALLED: [&str; 9] = [
    "$RUST",
    "$CARGO",
    "/rustc/",
    "/rustlib/",
    "/library/alloc",
    "/library/core",
    "/library/std",
    "/registry/src/",
    "/git/checkouts/",
];

#[test]
fn no_snapshot_leans_on_what_else_is_installed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut searched = 0;
    let mut leaning = Vec::new();
    for path in snapshots(&folder.join("ui")) {
        searched += 1;
        let text = fs::read_to_string(&path).expect("a snapshot is text");
        let shown = path.strip_prefix(folder).unwrap_or(&path).display();
        for (number, line) in (1..).zip(text.lines()) {
            if let Some(foreign) = lean(line) {
                leaning.push(format!("tests/{shown}:{number}: {foreign}\n    {line}"));
            }
        }
    }
    assert!(searched > 100, "the snapshots are elsewhere");
    assert!(
        leaning.is_empty(),
        "{}\n\nThese lines differ on a machine that has other components or another cache. Have the mistake \
         reported at the user's token and without a way through std or a dependency: by a trait with \
         `#[diagnostic::on_unimplemented]` that is asserted of the user's type, as in taskq/src/private, and not \
         by a constant that panics.",
        leaning.join("\n")
    );
}

/// Returns what a line of a message names that is neither the case nor ours.
fn lean(line: &str) -> Option<&str> {
    let place = ["-->", ":::"]
        .iter()
        .find_map(|arrow| line.trim_start().strip_prefix(arrow))
        .map(str::trim);
    let foreign = place.filter(|place| !OURS.iter().any(|ours| place.starts_with(ours)));
    foreign.or_else(|| INSTALLED.into_iter().find(|part| line.contains(part)))
}

fn snapshots(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder of cases");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths
        .flat_map(|path| match path.is_dir() {
            true => snapshots(&path),
            false => vec![path],
        })
        .filter(|path| path.extension().is_some_and(|it| it == "stderr"))
        .collect()
}

#[test]
fn a_message_that_leads_to_something_installed_is_found() {
    for (line, foreign) in [
        (" --> $RUST/core/src/panic.rs", "$RUST/core/src/panic.rs"),
        (
            "   ::: $CARGO/serde-1.0.0/src/lib.rs",
            "$CARGO/serde-1.0.0/src/lib.rs",
        ),
        (
            " --> /rustc/59807616/library/core/src/panic.rs:1:2",
            "/rustc/59807616/library/core/src/panic.rs:1:2",
        ),
        (
            " --> /home/ada/shop/src/main.rs:3:4",
            "/home/ada/shop/src/main.rs:3:4",
        ),
        (
            "  = note: the full name is in `/root/.cargo/registry/src/a/b.rs`",
            "/registry/src/",
        ),
    ] {
        assert_eq!(lean(line), Some(foreign), "{line}");
    }
}

#[test]
fn a_message_about_the_case_or_taskq_leans_on_nothing() {
    for line in [
        "error[E0277]: tasks of the type `Charge` keep no result",
        " --> ui/fail/result/payload_forgets_it.rs:6:25",
        " ::: $WORKSPACE/taskq/src/private/mod.rs",
        "4 | #[taskq::task(crate = $crate)]",
        "  | -----------------^^^^^^",
    ] {
        assert_eq!(lean(line), None, "{line}");
    }
}
