//! The tests that the guide names are there.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn chapter(name: &str) -> String {
    fs::read_to_string(root().join("docs/guide").join(name)).expect("readable")
}

/// Returns what stands between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Returns the cells of the rows of tables, each with the heading of its column.
fn cells(text: &str) -> Vec<(&str, &str)> {
    let mut cells = Vec::new();
    let mut headings: Option<Vec<&str>> = None;
    for line in text.lines() {
        let Some(row) = line.strip_prefix('|') else {
            headings = None;
            continue;
        };
        let row: Vec<&str> = row
            .trim_end_matches('|')
            .split('|')
            .map(str::trim)
            .collect();
        match &headings {
            None => headings = Some(row),
            Some(_) if row[0].starts_with("---") => {}
            Some(headings) => cells.extend(headings.iter().copied().zip(row)),
        }
    }
    cells
}

/// Returns what is wrong with the name of a test: a file or folder, and perhaps a function in it.
fn missing(name: &str) -> Option<String> {
    let (path, function) = match name.split_once("::") {
        Some((path, function)) => (path, Some(function)),
        None => (name, None),
    };
    let folder = if path.starts_with("tests/") {
        ""
    } else {
        "tests/it"
    };
    let place = root().join(folder).join(path);
    if !place.exists() {
        return Some(format!("there is no {path}"));
    }
    let function = function?;
    let text = fs::read_to_string(place).expect("readable");
    let is_there = text
        .split("#[tokio::test")
        .skip(1)
        .chain(text.split("#[test]").skip(1));
    let is_there = is_there
        .chain(text.split("#[sqlx::test").skip(1))
        .filter_map(|it| it.split_once("fn "))
        .any(|(_, it)| it.starts_with(&format!("{function}(")));
    (!is_there).then(|| format!("{path} has no test `{function}`"))
}

#[test]
fn every_test_that_the_guide_names_is_there() {
    let text = chapter("proved.md");
    let of_tests = ["a test of it", "of its failure", "with two"];
    let cells = cells(&text);
    let named: Vec<&str> = cells
        .iter()
        .filter(|(heading, _)| of_tests.contains(heading))
        .flat_map(|(_, cell)| quoted(cell))
        .collect();
    assert!(named.len() > 90, "{}", named.len());
    let missing: Vec<String> = named.into_iter().filter_map(missing).collect();
    assert!(missing.is_empty(), "{missing:#?}");
    let unshown: Vec<&str> = cells
        .chunks(4)
        .filter(|row| row.len() != 4 || !row[1].1.contains(".rs") && !row[1].1.contains("tests/"))
        .map(|row| row[0].1)
        .collect();
    assert!(unshown.is_empty(), "a row without a test: {unshown:?}");
}

#[test]
fn every_file_of_tests_that_a_chapter_names_is_there() {
    let chapters = fs::read_dir(root().join("docs/guide")).expect("a folder");
    let mut count = 0;
    for path in chapters.map(|entry| entry.expect("an entry").path()) {
        let text = fs::read_to_string(&path).expect("readable");
        for (heading, cell) in cells(&text) {
            if !["test", "tests", "in `tests/it`"].contains(&heading) {
                continue;
            }
            for name in quoted(cell) {
                count += 1;
                assert_eq!(missing(name), None, "{}", path.display());
            }
        }
    }
    assert!(count > 50, "{count}");
}

#[test]
fn what_is_not_there_is_found() {
    assert_eq!(missing("proved.rs::what_is_not_there_is_found"), None);
    assert_eq!(missing("tests/it/proved.rs"), None);
    assert!(missing("proved.rs::cells").is_some(), "it is no test");
    assert!(missing("disproved.rs").is_some());
}
