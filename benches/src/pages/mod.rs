//! The pages of the dashboard, on tables as they are after a bad week: what each takes, warm and cold; what fifty viewers
//! ask of the database beside one; and what 32 workers do whose metrics are scraped.

mod browser;
mod places;

use std::fmt::Write as _;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use sqlx::PgPool;
use taskq::dashboard;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use self::browser::Browser;
use self::places::Place;
use crate::arguments::Arguments;
use crate::modes::Effort;
use crate::server::{Database, Server, pool_of};

const FILL: &str = include_str!("fill.sql");

/// What is written anew into tables that were kept.
const AGAIN: &str = include_str!("again.sql");

/// How often each page is asked for.
const TIMES: usize = 9;

/// How often a page that shares what it has found, so that nobody has found it before.
const ALONE: usize = 5;

/// For how long it shares that, and a little longer.
const SHARED: Duration = Duration::from_millis(2_100);

/// How many viewers are compared with one.
const VIEWERS: usize = 50;

/// For how long they watch.
const WATCHING: Duration = Duration::from_secs(10);

/// How many workers are scraped.
const WORKERS: usize = 32;

/// How many connections each has: for its claims, its heartbeats and what it does for all, and no handler needs one.
const CONNECTIONS: u32 = 7;

/// For how long: two of the intervals at which one of them asks the tables.
const SCRAPING: Duration = Duration::from_secs(30);

/// What one page took.
#[derive(Debug, Serialize)]
struct Page {
    page: String,
    median_ms: f64,
    worst_ms: f64,
    /// The median of visits before which nobody came for a while, of a page that shares what it has found with whoever comes
    /// within two seconds.
    alone_ms: Option<f64>,
    /// The first time after a restart, with nothing of the tables in memory.
    cold_ms: f64,
    /// Whether it says that it stopped before the end.
    stopped: bool,
}

/// How many statements were made for one viewer of a page, and for many.
#[derive(Debug, Serialize)]
struct Watched {
    page: String,
    one: i64,
    many: i64,
}

/// Measures, and returns a table for people or lines for programs.
pub async fn measure(server: &Server, effort: &Effort, arguments: &Arguments) -> Result<String> {
    server.count_statements().await?;
    let db = filled(server, effort.many).await?;
    let mut places = places::all(&db.pool).await?;
    places.retain(|place| arguments.wants_situation(&place.name));
    let pages = pages(server, &db, &places).await?;
    let watched = watched(&db, &places).await?;
    let scraped = match arguments.situation {
        None => Some(scraped(&db).await?),
        Some(_) => None,
    };
    match server.stays {
        true => db.pool.close().await,
        false => server.drop_database(db).await?,
    }
    match arguments.json {
        true => lines(&pages, &watched, scraped),
        false => Ok(table(&pages, &watched, scraped, effort)),
    }
}

/// Returns a database with so many tasks: one that an earlier run has kept, if it was filled by the same statements.
async fn filled(server: &Server, many: u64) -> Result<Database> {
    let name = format!("pages_{many}");
    if server.stays
        && let Some(db) = server.find(&name).await?
    {
        if db.was_filled_by(FILL).await? {
            again(&db).await?;
            return Ok(db);
        }
        db.pool.close().await;
    }
    let db = server.make(name).await?;
    taskq::migrate(&db.pool).await?;
    db.execute("create extension pg_stat_statements").await?;
    eprintln!("pages: filling the tables");
    db.fill(format!(
        "set bench.waiting = {many}; set bench.dead = {}; set bench.finished = {};\n{FILL}",
        many * 3 / 10,
        many * 10,
    ))
    .await?;
    again(&db).await?;
    db.record_fill(FILL).await?;
    Ok(db)
}

async fn again(db: &Database) -> Result<()> {
    db.fill(AGAIN.to_owned()).await?;
    db.execute("vacuum analyze").await?;
    eprintln!("pages: asking for them");
    Ok(())
}

/// A dashboard of this database at a port of this machine.
struct Site {
    browser: Browser,
    pool: PgPool,
    serving: JoinHandle<()>,
}

impl Site {
    async fn open(db: &Database) -> Result<Self> {
        let pool = pool_of(&db.url, 10).await?;
        let server = dashboard::server(taskq::operate(&pool));
        let bound = server.bind("127.0.0.1:0".parse()?).await?;
        let link = bound.link();
        let (_, token) = link.split_once("token=").context("the link has a token")?;
        Ok(Self {
            browser: Browser {
                address: bound.address(),
                token: token.to_owned(),
            },
            pool,
            serving: tokio::spawn(async move {
                bound.run_until(std::future::pending::<()>()).await.ok();
            }),
        })
    }

    async fn close(self) {
        self.serving.abort();
        self.pool.close().await;
    }
}

async fn pages(server: &Server, db: &Database, places: &[Place]) -> Result<Vec<Page>> {
    let mut pages = Vec::new();
    let site = Site::open(db).await?;
    for place in places {
        let mut taken = Vec::new();
        let mut stopped = false;
        site.browser.get(&place.path).await?;
        for _ in 0..TIMES {
            let answer = site.browser.get(&place.path).await?;
            stopped = answer.text.contains("data-stopped");
            taken.push(answer.took);
        }
        let mut alone = Vec::new();
        let times = match place.name.starts_with("overview") {
            true => ALONE,
            false => 0,
        };
        for _ in 0..times {
            sleep(SHARED).await;
            alone.push(site.browser.get(&place.path).await?.took);
        }
        alone.sort();
        taken.sort();
        pages.push(Page {
            page: place.name.clone(),
            median_ms: ms(taken[TIMES / 2]),
            worst_ms: ms(taken[TIMES - 1]),
            alone_ms: alone.get(ALONE / 2).copied().map(ms),
            cold_ms: 0.0,
            stopped,
        });
    }
    site.close().await;
    for (page, place) in pages.iter_mut().zip(places) {
        forget_all(server, db).await?;
        let site = Site::open(db).await?;
        let answer = site.browser.get(&place.path).await?;
        page.cold_ms = ms(answer.took);
        page.stopped |= answer.text.contains("data-stopped");
        site.close().await;
        eprintln!("{page:?}");
    }
    Ok(pages)
}

/// Restarts the server, and has the system forget its files, so that they are read from the disk again.
async fn forget_all(server: &Server, db: &Database) -> Result<()> {
    let folder = server.setting("data_directory").await?;
    server.restart().await?;
    let forget =
        format!("find '{folder}' -type f -exec dd if={{}} iflag=nocache count=0 status=none ';'");
    let status = Command::new("sh").args(["-c", &forget]).status()?;
    ensure!(status.success(), "the files of {folder} are not forgotten");
    // The pool of the bench finds that its sessions are gone.
    sqlx::query("select 1").execute(&db.pool).await.ok();
    Ok(())
}

async fn watched(db: &Database, places: &[Place]) -> Result<Vec<Watched>> {
    let mut all = Vec::new();
    for place in places.iter().filter(|it| it.is_watched) {
        let mut asked = [0, 0];
        for (viewers, asked) in [1, VIEWERS].into_iter().zip(&mut asked) {
            let site = Site::open(db).await?;
            let mut streams = Vec::new();
            let page = place.path.replacen('?', "&", 1);
            for _ in 0..viewers {
                streams.push(site.browser.open(&format!("events?page={page}")).await?);
            }
            let before = statements(db).await?;
            sleep(WATCHING).await;
            *asked = statements(db).await? - before;
            drop(streams);
            site.close().await;
        }
        let watched = Watched {
            page: place.name.clone(),
            one: asked[0],
            many: asked[1],
        };
        eprintln!("{watched:?}");
        all.push(watched);
    }
    Ok(all)
}

/// Returns how many statements were made so far in this database, but for those of the bench itself.
async fn statements(db: &Database) -> Result<i64> {
    counted(db, "not query like '%pg_stat_statements%'").await
}

async fn counted(db: &Database, condition: &str) -> Result<i64> {
    let counted = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
        "select coalesce(sum(calls), 0)::bigint
         from pg_stat_statements
         where dbid = (select oid from pg_database where datname = current_database())
           and toplevel
           and {condition}"
    )));
    counted
        .fetch_one(&db.pool)
        .await
        .context("pg_stat_statements")
}

#[taskq::task(queue = "bench_pages")]
async fn is_scraped() -> Result<()> {
    Ok(())
}

/// Returns how often the tables were asked for metrics, while many workers were scraped each second.
async fn scraped(db: &Database) -> Result<i64> {
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let mut running = Vec::new();
    let mut exposed = Vec::new();
    for _ in 0..WORKERS {
        // Each is a process of its own elsewhere, and has a pool of its own.
        let pool = pool_of(&db.url, CONNECTIONS).await?;
        let worker = taskq::Worker::builder(pool)
            .queue("bench_pages", 1)
            .only::<(IsScraped,)>()
            .listen(false)
            .build()
            .await?;
        exposed.push(worker.metrics());
        let mut stopped = stopped.clone();
        running.push(tokio::spawn(worker.run_until(async move {
            stopped.changed().await.ok();
        })));
    }
    // All have said that they expose metrics, and one of them has found that it is to ask.
    sleep(Duration::from_secs(20)).await;
    let asked = || {
        counted(
            db,
            "query like '%schedule_late%' and not query like '%pg_stat_statements%'",
        )
    };
    let before = asked().await?;
    for _ in 0..SCRAPING.as_secs() {
        for metrics in &exposed {
            ensure!(!metrics.text().is_empty(), "a worker exposes nothing");
        }
        sleep(Duration::from_secs(1)).await;
    }
    let queries = asked().await? - before;
    stop.send(true)?;
    for worker in running {
        worker.await??;
    }
    Ok(queries)
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn table(pages: &[Page], watched: &[Watched], scraped: Option<i64>, effort: &Effort) -> String {
    let mut text = format!(
        "\npages: milliseconds, beside {} waiting, {} dead and {} finished tasks\n{:<58} {:>8} {:>8} {:>8} {:>8}  SAYS THAT IT STOPPED\n",
        effort.many,
        effort.many * 3 / 10,
        effort.many * 10,
        "",
        "MEDIAN",
        "WORST",
        "ALONE",
        "COLD"
    );
    for page in pages {
        let _ = writeln!(
            text,
            "{:<58} {:>8.1} {:>8.1} {:>8} {:>8.1}  {}",
            page.page,
            page.median_ms,
            page.worst_ms,
            page.alone_ms
                .map_or_else(String::new, |ms| format!("{ms:.1}")),
            page.cold_ms,
            if page.stopped { "yes" } else { "" }
        );
    }
    let seconds = WATCHING.as_secs();
    let _ = writeln!(
        text,
        "\nstatements in {seconds} s for open pages\n{:<58} {:>8} {:>8}",
        "", "ONE", VIEWERS
    );
    for page in watched {
        let _ = writeln!(text, "{:<58} {:>8} {:>8}", page.page, page.one, page.many);
    }
    if let Some(scraped) = scraped {
        let _ = writeln!(
            text,
            "\nqueries of metrics in {} s, of {WORKERS} workers that are scraped each second: {scraped}",
            SCRAPING.as_secs()
        );
    }
    text
}

fn lines(pages: &[Page], watched: &[Watched], scraped: Option<i64>) -> Result<String> {
    let mut lines = String::new();
    for page in pages {
        lines += &(serde_json::to_string(page)? + "\n");
    }
    for page in watched {
        lines += &(serde_json::to_string(page)? + "\n");
    }
    if let Some(scraped) = scraped {
        lines += &format!(
            "{}\n",
            serde_json::json!({ "workers": WORKERS, "queries": scraped })
        );
    }
    Ok(lines)
}
