//! To-do-driven development: enqueue first, write the handlers later, and let the queue keep the
//! list of what is missing.
//!
//! ```text
//! cargo run --example todo
//! ```
//!
//! Three acts, told on standard output; what the workers log in between is on standard error. A
//! real program has one worker that knows every handler linked into it. Here each act names its
//! handlers with `.only`, as if the program had been deployed three times.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::PgPool;
use taskq::Worker;
use taskq::handler::TaskSet;
use taskq::testing::Database;
use tokio::time::sleep;

/// In which order the tasks ran.
#[derive(Default)]
struct Diary(Mutex<Vec<&'static str>>);

impl Diary {
    fn note(&self, what: &'static str) {
        self.lines().push(what);
    }

    fn lines(&self) -> std::sync::MutexGuard<'_, Vec<&'static str>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[taskq::task]
async fn greet(diary: &Diary) {
    diary.note("greet");
}

#[taskq::task]
async fn resize_photo(diary: &Diary, photo_id: i64) {
    tracing::debug!(photo_id, "resized");
    diary.note("resize_photo");
}

#[taskq::task]
async fn send_invoice(diary: &Diary, invoice_id: i64) {
    tracing::debug!(invoice_id, "sent");
    diary.note("send_invoice");
}

/// Smaller runs earlier: a task of priority -10 before all those of priority 0.
#[taskq::task(priority = -10)]
async fn call_doctor(diary: &Diary, patient: String) {
    tracing::debug!(patient, "called");
    diary.note("call_doctor");
}

/// The signature is decided, the rest is not. A panic is a failed attempt like any other.
#[taskq::task]
async fn water_plants(room: String) {
    todo!("buy a watering can for the {room}")
}

/// The third deployment has this in place of the one above: same name, same payload.
#[taskq::task(name = "water_plants", payload = WaterPlantsAtLast)]
async fn water_plants_at_last(diary: &Diary, room: String) {
    tracing::debug!(room, "watered");
    diary.note("water_plants");
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    taskq_examples::log_warnings_to_stderr();
    let database = Database::fresh().await?;
    play(&database.pool()).await
}

async fn play(pool: &PgPool) -> anyhow::Result<()> {
    println!("ACT ONE: wishful thinking\n");
    println!("The web server is written first. It enqueues by name, in plain SQL, whatever it");
    println!("wishes for; only `greet` has a handler. The worker runs that one, leaves the rest");
    println!("alone, and logs what is missing:\n");
    wish(pool).await?;
    let diary = Arc::new(Diary::default());
    work::<(Greet,)>(pool, &diary, async {
        until_none(pool, "task_type = 'greet'").await;
        // The census is taken while the worker starts; a moment later it is in the log.
        sleep(Duration::from_secs(1)).await;
    })
    .await?;
    print_tasks(pool).await?;

    println!("ACT TWO: the list gets shorter\n");
    println!("Handlers have been written. `water_plants` is a `todo!()`, so its attempts fail and");
    println!("are retried later, and nobody else waits for it. And there is an emergency:");
    println!("`call_doctor`, enqueued last, with a priority of its own.\n");
    let mut tx = pool.begin().await?;
    CallDoctor::enqueue(&mut tx, "Ada".to_owned()).await?;
    tx.commit().await?;
    let diary = Arc::new(Diary::default());
    type Written = (Greet, ResizePhoto, SendInvoice, CallDoctor, WaterPlants);
    work::<Written>(pool, &diary, async {
        until_none(
            pool,
            "task_type in ('resize_photo', 'send_invoice', 'call_doctor')",
        )
        .await;
        until_none(pool, "task_type = 'water_plants' and attempts = 0").await;
    })
    .await?;
    print_order(&diary.lines());
    print_tasks(pool).await?;

    println!("ACT THREE: done\n");
    println!(
        "Somebody writes `water_plants`, and corrects the name that was misspelt. Nothing was"
    );
    println!("lost meanwhile. (The retries would come by themselves; we do not wait for them.)\n");
    sqlx::query("update taskq.task set run_at = now() where task_type = 'water_plants'")
        .execute(pool)
        .await?;
    sqlx::query(
        "update taskq.task set task_type = 'send_invoice' where task_type = 'send_invoyce'",
    )
    .execute(pool)
    .await?;
    type Finished = (
        Greet,
        ResizePhoto,
        SendInvoice,
        CallDoctor,
        WaterPlantsAtLast,
    );
    work::<Finished>(pool, &Arc::default(), until_none(pool, "true")).await?;
    print_tasks(pool).await?;
    Ok(())
}

/// Enqueues tasks that nobody can run yet.
async fn wish(pool: &PgPool) -> sqlx::Result<()> {
    sqlx::raw_sql(
        "insert into taskq.task (task_type) values ('greet');

         insert into taskq.task (task_type, payload)
         select 'resize_photo', jsonb_build_object('photo_id', number)
         from generate_series(1, 1000) as number;

         insert into taskq.task (task_type, payload)
         select 'send_invoice', jsonb_build_object('invoice_id', number)
         from generate_series(1, 5) as number;

         insert into taskq.task (task_type, payload)
         values ('send_invoyce', '{\"invoice_id\": 6}');

         insert into taskq.task (task_type, payload)
         values ('water_plants', '{\"room\": \"kitchen\"}'), ('water_plants', '{\"room\": \"hall\"}')",
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// Runs a worker that knows the handlers `S`, until `stop` ends.
async fn work<S: TaskSet>(
    pool: &PgPool,
    diary: &Arc<Diary>,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    Worker::builder(pool.clone())
        .only::<S>()
        .state_arc(diary.clone())
        .queue("default", 10)
        .build()
        .await?
        .run_until(stop)
        .await?;
    Ok(())
}

/// Ends when no unfinished task is such as `condition` says.
async fn until_none(pool: &PgPool, condition: &str) {
    let query = format!(
        "select exists (
             select from taskq.tasks where state in ('waiting', 'running') and {condition}
         )"
    );
    while sqlx::query_scalar(sqlx::AssertSqlSafe(query.as_str()))
        .fetch_one(pool)
        .await
        .unwrap_or(true)
    {
        sleep(Duration::from_millis(50)).await;
    }
}

fn print_order(diary: &[&str]) {
    let places = |wanted: &str| -> Vec<String> {
        let places = diary
            .iter()
            .enumerate()
            .filter(|(_, what)| **what == wanted);
        places.map(|(at, _)| (at + 1).to_string()).collect()
    };
    println!("{} tasks ran.", diary.len());
    println!(
        "  call_doctor    came as number {}",
        places("call_doctor").join(", ")
    );
    println!(
        "  send_invoice   came as numbers {}",
        places("send_invoice").join(", ")
    );
    println!("  resize_photo   filled the rest: 1000 waiting photos held up no invoice, because");
    println!("                 types of the same priority share the worker equally\n");
}

/// Prints the to-do list.
async fn print_tasks(pool: &PgPool) -> sqlx::Result<()> {
    let rows: Vec<(String, i64, i32, String)> = sqlx::query_as(
        "select task_type, count(*), max(attempts), coalesce(max(errors -> -1 ->> 'error'), '')
         from taskq.tasks
         group by task_type
         order by task_type",
    )
    .fetch_all(pool)
    .await?;
    match rows.is_empty() {
        true => println!("  taskq.tasks is empty."),
        false => println!(
            "  {:<14} {:>7}  {:>8}  LAST ERROR",
            "TASK TYPE", "WAITING", "ATTEMPTS"
        ),
    }
    for (task_type, waiting, attempts, error) in rows {
        println!("  {task_type:<14} {waiting:>7}  {attempts:>8}  {error}");
    }
    println!();
    Ok(())
}
