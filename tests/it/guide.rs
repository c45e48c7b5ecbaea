//! The documents: their SQL is understood by the server, and their links lead somewhere. Their programs are
//! compiled as documentation tests, in `tests/src/lib.rs`.

use std::fs;
use std::path::{Path, PathBuf};

use sqlx::{AssertSqlSafe, Executor, SqlSafeStr};

use crate::support::database;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Returns each document with its text.
fn documents() -> Vec<(PathBuf, String)> {
    ["", "docs", "docs/guide", "migrations", "benches"]
        .iter()
        .flat_map(|folder| fs::read_dir(root().join(folder)).expect("a folder"))
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .map(|path| (path.clone(), fs::read_to_string(path).expect("readable")))
        .collect()
}

/// Returns the blocks of a document that are in this language.
fn blocks<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    let opening = format!("\n```{language}\n");
    text.split(&opening)
        .skip(1)
        .filter_map(|rest| rest.split("\n```").next())
        .collect()
}

#[tokio::test]
async fn every_statement_of_the_guide_is_understood() {
    let (_database, pool) = database().await;
    pool.execute("create table usr (usr_id bigserial primary key, email text not null)")
        .await
        .expect("a table of the user's");
    let mut count = 0;
    for chapter in [
        "enqueue", "find", "groups", "limits", "operate", "order", "schedule", "watch",
    ] {
        let path = root().join(format!("docs/guide/{chapter}.md"));
        for statement in blocks(&fs::read_to_string(path).expect("readable"), "sql") {
            let prepared = pool
                .prepare(AssertSqlSafe(statement.to_owned()).into_sql_str())
                .await;
            assert!(prepared.is_ok(), "{statement}\n{:?}", prepared.err());
            count += 1;
        }
    }
    assert!(count > 7, "{count}");
}

#[test]
fn every_link_between_documents_leads_somewhere() {
    let documents = documents();
    assert!(documents.len() > 15);
    for (path, text) in &documents {
        for link in links(text) {
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => path.clone(),
                _ => path.parent().expect("a folder").join(file),
            };
            assert!(target.exists(), "{}: {link}", path.display());
            if !heading.is_empty() {
                let text = fs::read_to_string(target).expect("readable");
                let found = text.lines().any(|line| anchor(line) == heading);
                assert!(found, "{}: {link}", path.display());
            }
        }
    }
}

#[test]
fn every_chapter_is_in_both_tables_of_contents() {
    let read = |path: &str| fs::read_to_string(root().join(path)).expect("readable");
    let (front, guide) = (read("README.md"), read("docs/guide/README.md"));
    for chapter in fs::read_dir(root().join("docs/guide")).expect("a folder") {
        let name = chapter.expect("an entry").file_name();
        let name = name.to_str().expect("a name");
        if name != "README.md" {
            assert!(front.contains(&format!("(docs/guide/{name})")), "{name}");
            assert!(guide.contains(&format!("]: {name}\n")), "{name}");
        }
    }
}

#[test]
fn every_option_and_every_command_is_in_the_guide() {
    let read = |path: &str| fs::read_to_string(root().join(path)).expect("readable");
    let declare = read("docs/guide/declare.md");
    let options = declare.split("## Options").nth(1).expect("a heading");
    let options = options.split("\n## ").next().expect("its section");
    // The compiler lists them where one is unknown.
    let message = read("tests/ui/fail/option/unknown_and_unlike.stderr");
    let listed = message.split("the options are ").nth(1).expect("a list");
    let names: Vec<&str> = listed
        .lines()
        .next()
        .into_iter()
        .flat_map(|it| it.split('`').skip(1).step_by(2))
        .collect();
    assert!(names.len() > 30, "{names:?}");
    for name in names {
        let is_told = [" = ", "(", "`"].map(|next| options.contains(&format!("`{name}{next}")));
        assert!(is_told.contains(&true), "option `{name}`");
    }
    let guide: String = documents().into_iter().map(|(_, text)| text).collect();
    for command in taskq::cli::command().get_subcommands() {
        let name = command.get_name();
        let is_told = ["`", " ", "\n"].map(|next| {
            guide.contains(&format!("`{name}{next}"))
                || guide.contains(&format!("worker {name}{next}"))
        });
        assert!(is_told.contains(&true), "command `{name}`");
    }
}

#[test]
fn every_chapter_defines_the_names_of_its_links() {
    // In rustdoc they are defined for all chapters, so it does not notice.
    let source = root().join("taskq/src/guide.rs");
    let source = fs::read_to_string(source).expect("readable");
    let names: Vec<&str> = source
        .lines()
        .filter_map(|line| line.strip_prefix('[')?.split_once("]: ").map(|it| it.0))
        .collect();
    assert!(names.len() > 10);
    let chapters = documents().into_iter();
    for (path, text) in
        chapters.filter(|(path, _)| path.parent().expect("a folder").ends_with("guide"))
    {
        for name in &names {
            let used = text.matches(&format!("[{name}]")).count();
            let defined = text.matches(&format!("\n[{name}]: ")).count();
            let is_right = (used == 0 && defined == 0) || (used > defined && defined == 1);
            assert!(is_right, "{}: [{name}]", path.display());
        }
    }
}

/// Returns the targets of links that are not addresses.
fn links(text: &str) -> Vec<&str> {
    let inline = text
        .split("](")
        .skip(1)
        .filter_map(|it| it.split(')').next());
    let defined = text
        .lines()
        .filter_map(|line| line.strip_prefix('[')?.split_once("]: ").map(|it| it.1));
    inline
        .chain(defined)
        .filter(|link| !link.contains("://"))
        .collect()
}

/// Returns how a heading is linked to.
fn anchor(line: &str) -> String {
    if !line.starts_with('#') {
        return String::new();
    }
    line.trim_start_matches('#')
        .trim()
        .to_lowercase()
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}
