//! The table of verbs: what SQL, Rust, the command line and the guide have is the same.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use taskq::operate::{VERBS, Verb};

use crate::cli::output;
use crate::support::database;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn names(of: impl Fn(&Verb) -> &'static [&'static str]) -> BTreeSet<&'static str> {
    VERBS
        .iter()
        .flat_map(|verb| of(verb).iter().copied())
        .collect()
}

/// Commands that are about this program, and not about what is in the tables.
const NOT_OPERATING: [&str; 10] = [
    "bench",
    "run",
    "check",
    "completions",
    "tasks",
    "cron",
    "dashboard",
    "rekey",
    "top",
    "help",
];

async fn commands(arguments: &[&str]) -> BTreeSet<String> {
    let help = output(&[arguments, &["--help"]].concat()).await;
    let help = String::from_utf8(help.stdout).expect("text");
    let (_, list) = help.split_once("Commands:\n").unwrap_or_default();
    let list = list.split("\n\n").next().unwrap_or_default();
    let name = |line: &str| {
        line.split_whitespace()
            .next()
            .unwrap_or_default()
            .to_owned()
    };
    list.lines()
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .map(name)
        .collect()
}

#[tokio::test]
async fn each_verb_is_a_command_and_each_command_a_verb() {
    let said = names(|verb| verb.commands);
    let there = commands(&[]).await;
    assert!(there.len() > 15, "{there:?}");
    for command in &there {
        let is_verb = said
            .iter()
            .any(|verb| verb.split(' ').next() == Some(command));
        assert!(
            is_verb || NOT_OPERATING.contains(&command.as_str()),
            "`{command}` is not in VERBS"
        );
    }
    for verb in &said {
        let mut words = verb.split(' ');
        let command = words.next().unwrap_or_default();
        assert!(there.contains(command), "there is no command `{command}`");
        match words.next() {
            None => {}
            Some(option) if option.starts_with("--") => {
                let help = output(&[command, "--help"]).await;
                let help = String::from_utf8(help.stdout).expect("text");
                assert!(help.contains(option), "`{command}` has no `{option}`");
            }
            Some(under) => {
                let under_it = commands(&[command]).await;
                assert!(under_it.contains(under), "`{command}` has no `{under}`");
            }
        }
    }
}

#[tokio::test]
async fn each_verb_is_in_the_database_and_what_operators_may_call_is_a_verb() {
    let (_database, pool) = database().await;
    let there: Vec<String> = sqlx::query_scalar(
        "select proname::text from pg_proc where pronamespace = 'taskq'::regnamespace
         union
         select relname::text from pg_class where relnamespace = 'taskq'::regnamespace",
    )
    .fetch_all(&pool)
    .await
    .expect("readable");
    let said = names(|verb| verb.sql);
    for name in &said {
        assert!(
            there.iter().any(|other| other == name),
            "there is no taskq.{name}"
        );
    }
    // What the functions of the verbs call.
    let inner = [
        "put_pause",
        "end_pause",
        "put_limit",
        "end_limit",
        "write_down",
    ];
    let roles = fs::read_to_string(root().join("migrations/roles.sql")).expect("readable");
    let (_, operator) = roles
        .rsplit_once("grant execute on function")
        .expect("grants");
    let granted = operator.split("taskq.").skip(1).map(|text| {
        let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        &text[..end.unwrap_or(text.len())]
    });
    let granted: Vec<&str> = granted.collect();
    assert!(granted.len() > 15, "{granted:?}");
    for name in granted {
        assert!(
            said.contains(name) || inner.contains(&name),
            "taskq.{name} is not in VERBS"
        );
    }
}

#[test]
fn each_verb_is_a_method_and_each_method_a_verb() {
    let folders = ["", "/bulk", "/doctor"].map(|room| format!("taskq/src/operate{room}"));
    let files = folders
        .iter()
        .flat_map(|folder| fs::read_dir(root().join(folder)).expect("a folder"))
        .map(|entry| entry.expect("an entry").path());
    let texts: Vec<String> = files
        .filter_map(|path| fs::read_to_string(path).ok())
        .collect();
    let said = names(|verb| verb.methods);
    let defines = |name: &str| {
        let heads = ["pub fn", "pub async fn"].map(|head| format!("{head} {name}"));
        let heads = heads.map(|head| [format!("{head}("), format!("{head}<")]);
        let heads = heads.concat();
        texts
            .iter()
            .any(|text| heads.iter().any(|head| text.contains(head)))
    };
    for method in &said {
        let name = method.rsplit("::").next().unwrap_or_default();
        assert!(defines(name), "there is no method `{method}`");
    }
    // Not verbs: whose tables, who speaks, and what is long.
    let others = ["schema", "as_user", "patience"];
    for block in texts
        .iter()
        .flat_map(|text| text.split("\nimpl Operator {").skip(1))
    {
        let block = block.split("\n}\n").next().unwrap_or_default();
        for line in block.lines().map(str::trim) {
            let head = line
                .strip_prefix("pub fn ")
                .or(line.strip_prefix("pub async fn "));
            let Some((name, _)) = head.and_then(|head| head.split_once('(')) else {
                continue;
            };
            assert!(
                said.contains(name) || others.contains(&name),
                "`{name}` is not in VERBS"
            );
        }
    }
}

#[tokio::test]
async fn the_documents_of_the_command_line_have_each_command() {
    let source = fs::read_to_string(root().join("taskq/src/cli/mod.rs")).expect("readable");
    let rows = source
        .lines()
        .filter_map(|line| line.strip_prefix("//! | `"));
    // "`cancel ID...`, `bulk list`" -> cancel, bulk
    let first_cells = rows.filter_map(|row| row.split(" | ").next());
    let named: BTreeSet<String> = first_cells
        .flat_map(|cell| cell.split("`, `").map(str::to_owned).collect::<Vec<_>>())
        .flat_map(|command| {
            let words = command.split([' ', '`']);
            let words: Vec<String> = words.map(str::to_owned).collect();
            [words[0].clone(), words[..words.len().min(2)].join(" ")]
        })
        .collect();
    let there = commands(&[]).await;
    for command in there.iter().filter(|command| *command != "help") {
        assert!(named.contains(command), "`{command}` has no row");
        for under in commands(&[command]).await {
            let both = format!("{command} {under}");
            let is_scope = ["queue", "type", "key", "schedule", "help"].contains(&under.as_str());
            let is_said =
                source.contains(&format!("`{both}")) || source.contains(&format!("`{under} NAME"));
            assert!(is_scope || is_said, "`{both}` has no row");
        }
    }
    for name in named.iter().filter(|name| !name.contains(' ')) {
        let is_there = there.contains(name)
            || ["and", "retry", "discard", "type", "key"].contains(&name.as_str());
        let is_under = source.contains("`schedules pause NAME`, `resume NAME`, `run NAME`")
            && ["resume", "run", "backfill", "remove"].contains(&name.as_str());
        assert!(
            is_there || is_under || name.starts_with('-'),
            "there is no command `{name}`"
        );
    }
}

#[test]
fn the_guide_has_the_table() {
    let guide = fs::read_to_string(root().join("docs/guide/find.md")).expect("readable");
    let (_, table) = guide
        .split_once("| --- | --- | --- | --- | --- |\n")
        .expect("the table");
    let table = table.split("\n\n").next().unwrap_or_default();
    let cell = |names: &[&str]| {
        let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
        names.join(", ")
    };
    let row = |verb: &Verb| {
        let (sql, methods) = (cell(verb.sql), cell(verb.methods));
        let changes = if verb.changes { " yes" } else { "" };
        format!(
            "| {} | {sql} | {methods} | {} |{changes} |",
            verb.name,
            cell(verb.commands)
        )
    };
    let rows: Vec<String> = VERBS.iter().map(row).collect();
    assert_eq!(table, rows.join("\n"), "it should be:\n{}", rows.join("\n"));
}
