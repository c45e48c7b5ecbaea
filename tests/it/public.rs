//! What the documentation of every public async item says.

use std::fs;
use std::path::{Path, PathBuf};

/// A public function that returns a future, with what stands in front of it.
struct AsyncItem {
    place: String,
    docs: String,
    signature: String,
}

/// Finds `pub async fn`, and `pub fn` that returns a future by another name.
fn async_items() -> Vec<AsyncItem> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../taskq/src");
    let mut files = Vec::new();
    find_sources(&root, &mut files);
    files.iter().flat_map(|file| items_of(file)).collect()
}

fn find_sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            find_sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn items_of(file: &Path) -> Vec<AsyncItem> {
    let text = fs::read_to_string(file).expect("readable");
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let mut items = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        if !line.starts_with("pub async fn ") && !line.starts_with("pub fn ") {
            continue;
        }
        let mut signature = String::new();
        for line in &lines[at..] {
            signature.push_str(line);
            if line.ends_with('{') || line.ends_with(';') {
                break;
            }
        }
        let returns_future = ["pub async fn ", "-> impl Future<", "-> Enqueue<"];
        if !returns_future.iter().any(|part| signature.contains(part)) {
            continue;
        }
        let above = lines[..at].iter().rev();
        let mut docs: Vec<&str> = above
            .take_while(|line| line.starts_with("//") || line.starts_with("#["))
            .copied()
            .collect();
        docs.reverse();
        items.push(AsyncItem {
            place: format!("{}:{}", file.display(), at + 1),
            docs: docs.join("\n"),
            signature,
        });
    }
    items
}

#[test]
fn every_public_async_item_says_what_happens_when_it_is_dropped() {
    let items = async_items();
    assert!(items.len() > 20, "{}", items.len());
    for item in items {
        assert!(item.docs.contains("/// # Cancel safety"), "{}", item.place);
    }
}

#[test]
fn every_public_async_item_that_may_fail_says_how() {
    for item in async_items() {
        let may_fail = item.signature.contains("Result<") || item.signature.contains("-> Enqueue<");
        let says_how = item.docs.contains("/// # Errors");
        assert!(says_how || !may_fail, "{}", item.place);
    }
}
