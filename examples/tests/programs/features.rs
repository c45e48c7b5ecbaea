//! The examples of one feature each: every one prints what its header says.
//!
//! Nothing has to be added here for a further example. Its header has a block that begins with
//! `$ cargo run --example name`, and goes on with all that the program prints.

use std::fs;
use std::path::PathBuf;

use futures_util::{StreamExt, stream};
use taskq::testing::Database;

use crate::program::Program;

/// What these print is not the same each time, or too long for a header: see `stories`.
const STORIES: [&str; 5] = ["dashboard", "drain", "morning", "todo", "verification"];

/// How many run at once.
const AT_ONCE: usize = 4;

#[tokio::test]
async fn each_example_prints_what_its_header_says() {
    // Examples make databases of their own, on the server of this one.
    let database = Database::fresh().await.unwrap();
    let url = database.url();
    let features = names_of("", "rs").filter(|name| !STORIES.contains(&name.as_str()));
    let differences: Vec<String> = stream::iter(features)
        .map(|name| difference(name, &url))
        .buffer_unordered(AT_ONCE)
        .filter_map(async |difference| difference)
        .collect()
        .await;
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

async fn difference(name: String, url: &str) -> Option<String> {
    let said = output_in_header(&name);
    let printed = Program::start(&name, &[], url).printed().await;
    let printed: Vec<&str> = printed.lines().map(str::trim_end).collect();
    (said != printed).then(|| {
        let [said, printed] = [said.join("\n"), printed.join("\n")];
        format!("--- the header of {name}.rs says\n{said}\n--- it prints\n{printed}")
    })
}

#[test]
fn each_example_is_in_the_manifest_and_in_the_readme() {
    let manifest = text_of("Cargo.toml");
    let readme = text_of("README.md");
    for name in names_of("", "rs") {
        let path = format!("path = \"{name}.rs\"");
        assert!(manifest.contains(&path), "{name} is not in Cargo.toml");
        let row = format!("| [`{name}`]({name}.rs) | ");
        assert!(readme.contains(&row), "{name} is not in README.md");
    }
}

#[test]
fn the_chapters_that_the_readme_names_are_there() {
    let readme = text_of("README.md");
    let links = readme.split("(../docs/guide/").skip(1);
    let files = links.filter_map(|rest| rest.split_once(')'));
    let named: Vec<&str> = files.map(|(file, _)| file).collect();
    assert!(named.len() > 10, "{named:?}");
    let chapters: Vec<String> = names_of("../docs/guide", "md").collect();
    for file in named {
        let chapter = file.trim_end_matches(".md");
        assert!(chapters.iter().any(|it| it == chapter), "no chapter {file}");
    }
}

/// Returns what the header says that the program prints.
fn output_in_header(name: &str) -> Vec<String> {
    let text = text_of(&format!("{name}.rs"));
    let header = text.lines().map_while(|line| line.strip_prefix("//!"));
    let command = format!("$ cargo run --example {name}");
    let said: Vec<String> = header
        .map(|line| line.strip_prefix(' ').unwrap_or(line).to_owned())
        .skip_while(|line| *line != command)
        .skip(1)
        .take_while(|line| line != "```")
        .collect();
    assert!(
        !said.is_empty(),
        "the header of {name}.rs has no `{command}` with what it prints"
    );
    said
}

/// Returns the names of the files in this folder of the package, without their extension.
fn names_of(folder: &str, extension: &str) -> impl Iterator<Item = String> {
    let entries = fs::read_dir(path(folder)).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let files = paths.filter(move |path| path.extension().is_some_and(|found| found == extension));
    files.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
}

fn text_of(file: &str) -> String {
    fs::read_to_string(path(file)).unwrap()
}

fn path(inside: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), inside].iter().collect()
}
