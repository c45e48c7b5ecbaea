//! Asking before a deploy which tasks a program would not run: by its command line, and by the library.

use std::process::{Output, Stdio};

use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool, raw_sql};
use taskq::operate::{CheckReport, Stranded};
use taskq::testing::Database;
use taskq::{Worker, WorkerError, task};
use tokio::process::Command;
use tokio::time::timeout;

use crate::support::{LIMIT, database, execute, one, until, while_working, worker};

/// Runs `check` as a process.
async fn run(url: &str, arguments: &[&str]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_operated"))
        .arg("check")
        .args(arguments)
        .env("DATABASE_URL", url)
        .env("REPORT_PEAK", "1")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = timeout(LIMIT, output).await.expect("it ends in time");
    output.expect("it runs")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("text")
}

/// The most memory that the process had, in MiB, as it says at its end.
fn peak(output: &Output) -> u64 {
    let line = text(&output.stderr)
        .lines()
        .find(|line| line.starts_with("VmHWM"));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    let kibibytes: u64 = number.expect("a peak").parse().expect("a number");
    kibibytes / 1024
}

/// A role that may read and nothing else, in a session that may not write either. Its name is the
/// database's own, because roles outlive the database.
struct Reader {
    name: String,
    url: String,
    pool: PgPool,
}

impl Reader {
    async fn of(database: &Database, pool: &PgPool, name: &str) -> Self {
        let name = format!("taskq_{name}_{}", std::process::id());
        let grants = format!(
            "create role {name}; grant usage on schema taskq to {name};
             grant select on taskq.task, taskq.lease, taskq.migration, taskq.schedule, taskq.schedule_definition
             to {name}"
        );
        raw_sql(AssertSqlSafe(grants))
            .execute(pool)
            .await
            .expect("granted");
        let url = database.url();
        let separator = if url.contains('?') { '&' } else { '?' };
        Self {
            url: format!(
                "{url}{separator}options[role]={name}&options[default_transaction_read_only]=on"
            ),
            name,
            pool: pool.clone(),
        }
    }

    async fn drop(self) {
        let text = format!("drop owned by {0}; drop role {0}", self.name);
        raw_sql(AssertSqlSafe(text))
            .execute(&self.pool)
            .await
            .expect("dropped");
    }
}

/// All rows, with where they stand, who wrote them and who locked them.
async fn fingerprint(pool: &PgPool) -> String {
    one(
        pool,
        "select md5(string_agg(concat_ws(' ', ctid, xmin, xmax, task), ';' order by task_id)) from taskq.task",
    )
    .await
}

#[tokio::test]
async fn thirty_seven_bad_rows_of_three_kinds_are_found_among_a_hundred_thousand() {
    let (database, pool) = database().await;
    let reader = Reader::of(&database, &pool, "finds").await;
    let empty = run(&reader.url, &[]).await;
    assert_eq!(empty.status.code(), Some(0), "{empty:?}");
    assert_eq!(
        text(&empty.stdout),
        "0 waiting and 0 running tasks: this program would run them all\n"
    );

    // Good ones of each version and name, due and not, and the bad ones between them.
    execute(
        &pool,
        r#"insert into taskq.task (task_type, payload_version, payload, run_at)
           select
               case
                   when n % 9000 = 77 then 'send_crad'
                   when n % 20000 = 50 or n % 10 = 3 then 'purge'
                   when n % 10 = 7 then 'post_card'
                   else 'send_card'
               end,
               case
                   when n % 20000 = 50 then 3
                   else n % 2
               end,
               case
                   when n % 5000 = 1234 then jsonb_build_object('usr_id', 'user ' || n)
                   when n % 10 = 3 then to_jsonb(n)
                   else jsonb_build_object('usr_id', n)
               end,
               now() + make_interval(days => n % 3 - 1)
           from generate_series(1, 100000) as n"#,
    )
    .await;
    let before = fingerprint(&pool).await;
    let found = run(&reader.url, &["--json"]).await;
    assert_eq!(found.status.code(), Some(1), "{found:?}");
    assert_eq!(fingerprint(&pool).await, before, "nothing is changed");

    let mut report: Value = serde_json::from_slice(&found.stdout).expect("JSON");
    let error = report["findings"][1]["error"].take();
    assert_eq!(
        error,
        "payload does not decode at `usr_id`: invalid type: string \"user 1234\", expected i64"
    );
    let ids = |first: i64, step: i64, count: i64| -> Vec<i64> {
        (0..count).map(|at| first + at * step).collect()
    };
    assert_eq!(
        report,
        json!({
            "waiting": 100_000, "running": 0, "stranded": 37, "omitted": 0, "schedules": [],
            "findings": [
                {
                    "task_type": "purge", "reason": "newer_version", "version": 3, "known": 2,
                    "count": 5, "task_ids": ids(50, 20_000, 5),
                },
                {
                    "task_type": "send_card", "reason": "invalid", "path": "usr_id", "error": null,
                    "count": 20, "task_ids": ids(1234, 5000, 10),
                },
                {
                    "task_type": "send_crad", "reason": "unknown_type", "similar": "send_card",
                    "count": 12, "task_ids": ids(77, 9000, 10),
                },
            ],
        })
    );

    let shown = run(&reader.url, &[]).await;
    assert_eq!(shown.status.code(), Some(1));
    for line in [
        "100000 waiting and 0 running tasks: this program would not run 37 of them",
        "purge: 5 of version 3, and this program knows none after 2",
        "  task_id 50, 20050, 40050, 60050, 80050",
        "send_crad: 12 of a type that is not implemented; did you mean `send_card`?",
    ] {
        let mut lines = text(&shown.stdout).lines();
        assert!(
            lines.any(|it| it == line),
            "{line} in\n{}",
            text(&shown.stdout)
        );
    }
    assert!(text(&shown.stdout).contains("\nsend_card: 20 invalid at `usr_id`: "));
    reader.drop().await;

    let (nothing, everything) = (peak(&empty), peak(&found));
    println!("peak: {nothing} MiB of an empty table, {everything} MiB of 100,000 rows");
    assert!(everything < nothing + 8);
}

#[tokio::test]
async fn memory_does_not_grow_with_the_payloads() {
    const MORE: u64 = 64;
    let (database, pool) = database().await;
    let url = database.url();
    // What compresses well is small where it is stored, and large where it is read.
    for storage in ["extended", "external"] {
        let alter = format!(
            "truncate taskq.task; alter table taskq.task alter column payload set storage {storage}"
        );
        raw_sql(AssertSqlSafe(alter))
            .execute(&pool)
            .await
            .expect(storage);
        let enqueue = async |count: i64| {
            sqlx::query(
                "insert into taskq.task (task_type, payload)
                 select 'send_card', jsonb_build_object('usr_id', n, 'lang', repeat('x', 1048000))
                 from generate_series(1, $1) as n",
            )
            .bind(count)
            .execute(&pool)
            .await
            .expect("enqueued");
        };
        enqueue(1).await;
        let one = run(&url, &[]).await;
        enqueue(MORE as i64).await;
        let many = run(&url, &[]).await;
        assert_eq!(many.status.code(), Some(0), "{many:?}");
        assert!(text(&many.stdout).starts_with("65 waiting"));
        let (one, many) = (peak(&one), peak(&many));
        println!("peak, {storage}: {one} MiB of one payload, {many} MiB of 65");
        assert!(many < one + 16, "{storage}: {one} MiB, {many} MiB");
    }
}

#[tokio::test]
async fn a_check_that_cannot_look_says_so() {
    let (database, pool) = database().await;
    execute(&pool, "drop schema taskq cascade").await;
    let output = run(&database.url(), &["--json"]).await;
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    assert!(text(&output.stderr).contains("run `taskq::migrate(&pool)` first"));
}

#[derive(serde::Serialize)]
struct Fragile(u32);

impl<'de> serde::Deserialize<'de> for Fragile {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = u32::deserialize(deserializer)?;
        assert!(number != 13, "unlucky");
        Ok(Self(number))
    }
}

#[derive(serde::Deserialize)]
struct PackV1 {
    items: Vec<u32>,
}

fn from_v1(old: PackV1) -> Pack {
    Pack {
        parts: old.items.into_iter().map(Fragile).collect(),
        label: "none".into(),
    }
}

#[task(version = 2, upgrade = from_v1)]
async fn pack(parts: Vec<Fragile>, #[garde(length(max = 5))] label: String) {
    let _ = (parts.first().map(|it| it.0), label);
}

fn found(report: &CheckReport) -> Vec<String> {
    let found = report.findings.iter().map(|finding| {
        let reason = match &finding.reason {
            Stranded::Invalid { path, error } => format!("{path} {error}"),
            other => format!("{other:?}"),
        };
        format!("{} {reason} {:?}", finding.task_type, finding.task_ids)
    });
    found.collect()
}

#[tokio::test]
async fn a_check_decodes_as_a_worker_does() {
    let (_database, pool) = database().await;
    execute(
        &pool,
        r#"insert into taskq.task (task_type, payload_version, payload, queue) values
           ('pack', 2, '{"parts": [1], "label": "a"}', 'default'),
           ('pack', 1, '{"items": [1]}', 'nobodys'),
           ('pack', 0, '{"items": [1]}', 'default'),
           ('pack', 1, '{"items": [1, "x"]}', 'default'),
           ('pack', 2, '{"parts": [], "label": "too long"}', 'default'),
           ('pack', 2, '{"parts": [1, 13], "label": "a"}', 'default'),
           ('pack', 0, '{}', 'default')"#,
    )
    .await;
    let report = worker(&pool).only::<(Pack,)>().check().await.expect("read");
    assert_eq!((report.waiting, report.stranded), (7, 4));
    let mut found = found(&report);
    let (place, what) = found[0].rsplit_once(": unlucky").expect("a panic");
    assert!(place.starts_with("pack . panicked at tests/it/check.rs:"));
    found[0] = format!("unlucky{what}");
    assert_eq!(
        found,
        [
            "unlucky [6, 7]",
            "pack items[1] payload does not decode at `items[1]`: invalid type: string \"x\", expected u32 [4]",
            "pack label the payload has values that its task type refuses: `label`: length is greater than 5 [5]",
        ]
    );
}

#[tokio::test]
async fn running_tasks_are_checked_since_they_may_come_back() {
    #[task]
    async fn linger(n: u32) {
        let _ = n;
        std::future::pending::<()>().await;
    }
    // The program that comes next.
    mod next {
        #[taskq::task]
        pub(super) async fn linger(number: u32) {
            let _ = number;
        }
    }

    let (_database, pool) = database().await;
    execute(
        &pool,
        r#"insert into taskq.task (task_type, payload) select 'linger', jsonb_build_object('n', n)
           from generate_series(1, 12) as n;
           insert into taskq.task (task_type, payload) values ('linger', '{"number": 1}')"#,
    )
    .await;
    let before = worker(&pool)
        .only::<(Linger,)>()
        .grace_period(std::time::Duration::ZERO);
    let report = while_working(before, async {
        until("running", async || {
            one::<i64>(
                &pool,
                "select count(*) from taskq.tasks where state = 'running'",
            )
            .await
                == 10
        })
        .await;
        // In a task of its own, as anybody may.
        let next = Worker::builder(pool.clone()).only::<(next::Linger,)>();
        let check = tokio::spawn(async move { next.check().await });
        check.await.expect("no panic").expect("read")
    })
    .await;
    assert_eq!((report.waiting, report.running), (3, 10));
    assert_eq!((report.stranded, report.findings[0].count), (12, 12));
}

#[tokio::test]
async fn a_program_that_cannot_start_cannot_check() {
    #[task(name = "twice")]
    async fn one_way() {}
    #[task(name = "twice")]
    async fn other_way() {}

    let (_database, pool) = database().await;
    let check = worker(&pool).only::<(OneWay, OtherWay)>().check().await;
    assert!(
        matches!(check, Err(WorkerError::DuplicateTaskType { .. })),
        "{check:?}"
    );
}
