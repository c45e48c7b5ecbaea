//! The statements themselves: each is understood by the server, and says what it is for.

use std::fs;
use std::path::{Path, PathBuf};

use sqlx::{AssertSqlSafe, Executor, SqlSafeStr};

use crate::support::{database, one};

/// Returns the statements of every room.
fn statements() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../taskq/src/store/sql");
    files_in(&root)
        .iter()
        .flat_map(|room| files_in(room))
        .collect()
}

/// Returns the texts that begin with this file. One that ends within a list goes on in `shrink.sql` and one of the ends,
/// a scan in `lanes.sql`, how a task of its own completes in `own_left.sql` or `own_silent.sql`; these begin none.
fn texts(file: &Path) -> Vec<String> {
    let read = |path: &Path| fs::read_to_string(path).expect("readable");
    let text = read(file);
    let part = |name: &str| file.with_file_name(name);
    let ends = [
        &["keep.sql", "move.sql"][..],
        &["refused.sql"],
        &["keep.sql", "completed.sql"],
        &["completed.sql"],
        &["members.sql", "keep.sql", "move.sql"],
        &["members.sql", "completed.sql"],
    ];
    let is_part = |name: &&str| file.ends_with(name);
    let of_others = [
        "shrink.sql",
        "lanes.sql",
        "skip_locked.sql",
        "untouched.sql",
        "each.sql",
        "batches.sql",
        "leased.sql",
        "taken.sql",
        "into.sql",
        "beside.sql",
        "own.sql",
        "told.sql",
        "shared.sql",
        "claimed.sql",
        "own_left.sql",
        "own_silent.sql",
    ];
    if of_others.iter().any(is_part) || ends.iter().any(|end| end.iter().any(is_part)) {
        return Vec::new();
    }
    if file.ends_with("claim/claim.sql") {
        let ways = [
            &["each.sql", "into.sql", "leased.sql", "claimed.sql"][..],
            &["batches.sql", "into.sql", "leased.sql", "claimed.sql"],
            &["taken.sql", "beside.sql", "into.sql", "own.sql", "told.sql"],
            &["taken.sql", "into.sql", "shared.sql", "claimed.sql"],
        ];
        let of_way = |way: &[&str]| way.iter().map(|name| read(&part(name))).collect::<String>();
        let mut texts = Vec::new();
        for among_others in ["skip_locked.sql", "untouched.sql"] {
            let begin = format!("{text}{}", read(&part(among_others)));
            texts.extend(ways.map(|way| format!("{begin}{}", of_way(way))));
        }
        return texts;
    }
    if text.ends_with(",\n") {
        let middle = read(&part("shrink.sql"));
        let texts = |end: &&[&str]| end.iter().map(|name| read(&part(name))).collect::<String>();
        return ends
            .iter()
            // What vanished workers held has not completed.
            .filter(|end| !(file.ends_with("rescue.sql") && end.contains(&"completed.sql")))
            .map(|end| format!("{text}{middle}{}", texts(end)))
            .collect();
    }
    if text.contains("\n-- Goes on in own_left.sql or own_silent.sql.\n") {
        let ends = ["own_left.sql", "own_silent.sql"];
        return ends
            .map(|end| format!("{text}{}", read(&part(end))))
            .to_vec();
    }
    if text.contains("\n-- Goes on in lanes.sql.\n") {
        return vec![text + &read(&part("lanes.sql"))];
    }
    vec![text]
}

fn files_in(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    files
}

#[tokio::test]
async fn every_statement_is_prepared_against_the_migrated_tables() {
    let (_database, pool) = database().await;
    let files = statements();
    assert!(files.len() > 10);
    for file in files {
        for text in texts(&file) {
            // A `COPY` is not prepared; `it/enqueue.rs` runs it.
            if !text.contains("\ncopy ") {
                let prepared = AssertSqlSafe(text.clone()).into_sql_str();
                let prepared = pool.prepare(prepared).await;
                assert!(prepared.is_ok(), "{}: {:?}", file.display(), prepared.err());
            }
            let says = |what: &str| assert!(text.contains(what), "{}: {what}", file.display());
            assert!(
                text.starts_with("-- "),
                "{} says what it is for",
                file.display()
            );
            says("Locks: ");
        }
    }
}

/// A database may have an encoding that knows no other letters.
#[test]
fn the_statements_and_the_migrations_are_in_ascii() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut files = statements();
    files.extend(files_in(&root.join("migrations")));
    for file in files
        .iter()
        .filter(|file| file.extension().is_some_and(|it| it == "sql"))
    {
        let text = fs::read_to_string(file).expect("readable");
        assert!(text.is_ascii(), "{}", file.display());
    }
}

#[tokio::test]
async fn ids_and_counters_that_grow_have_sixty_four_bits() {
    let (_database, pool) = database().await;
    let narrow: i64 = one(
        &pool,
        "select count(*) from information_schema.columns
         where table_schema = 'taskq' and column_name ~ '(^|_)(task_id|position)$' and data_type <> 'bigint'",
    )
    .await;
    assert_eq!(narrow, 0);
}

/// A dependent with `DATABASE_URL` set compiles, because nothing here is checked against it.
#[test]
fn the_library_has_no_query_that_is_checked_at_compile_time() {
    fn sources(path: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(path).expect("a folder") {
            let path = entry.expect("an entry").path();
            match path.is_dir() {
                true => sources(&path, found),
                false => found.push(path),
            }
        }
    }
    let mut found = Vec::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    sources(&root.join("../taskq/src"), &mut found);
    sources(&root.join("../taskq-macros/src"), &mut found);
    for file in found {
        let text = fs::read_to_string(&file).unwrap_or_default();
        for name in ["query", "query_as", "query_scalar", "query_file"] {
            assert!(!text.contains(&format!("{name}!(")), "{}", file.display());
        }
    }
    let manifest = fs::read_to_string(root.join("../Cargo.toml")).expect("the manifest");
    let sqlx = manifest
        .lines()
        .find(|line| line.starts_with("sqlx = "))
        .expect("sqlx");
    assert!(
        sqlx.contains("default-features = false")
            && !sqlx.contains("\"macros\"")
            && !sqlx.contains("\"time\"")
    );
}

/// What a claim, a scan or a heartbeat costs must not grow with what is not to be done.
#[test]
fn no_statement_sorts_at_random_or_counts_a_table() {
    for file in statements() {
        let name = file
            .file_name()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        let text = fs::read_to_string(&file).expect("readable");
        let statement: String = text
            .lines()
            .filter(|line| !line.trim_start().starts_with("--"))
            .collect::<Vec<_>>()
            .join("\n");
        assert!(!statement.contains("order by random"), "{name}");
        // It chooses a place by chance, and reads no others for that.
        assert!(
            !statement.contains("random()") || name == "anywhere.sql",
            "{name}"
        );
        // The census counts up to a limit, an enqueue what it inserts; own_left the one row that was deleted, and move what it moves.
        let counts = [
            "census.sql",
            "enqueue_unique.sql",
            "newer.sql",
            "own_left.sql",
            // The members that it ends.
            "members.sql",
            "move.sql",
            "refused.sql",
            // What it enqueues, and what it has looked at.
            "tick.sql",
            // What is claimed, which nobody asks for again and again.
            "running.sql",
            // The workers that live.
            "gauges.sql",
            "lanes.sql",
            // What is left to encrypt anew, for whoever changes the keys of what is stored.
            "left_with_older_keys.sql",
            // What the tables of a test hold.
            "types.sql",
        ]
        .contains(&name.as_str());
        assert!(counts || !statement.contains("count(*)"), "{name}");
    }
}
