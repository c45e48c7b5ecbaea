//! The dashboard that `tests/dashboard` drives in a browser: something of everything that a page can show, and that can be
//! done there.

use std::time::Duration;

use sqlx::{Connection, PgConnection, PgPool, raw_sql};
use taskq::operate::{Queue, TaskType};
use taskq::testing::Database;
use taskq::{LogLayer, Worker, dashboard};
use tokio::time::sleep;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

#[taskq::task(queue = "mail", max_attempts = 1)]
async fn send_card(usr_id: u32, locale: String) -> Result<(), String> {
    tracing::info!(usr_id, locale, "rendering the card");
    sleep(Duration::from_millis(u64::from(usr_id % 40))).await;
    tracing::debug!("not kept");
    match usr_id % 10 {
        2 => {
            tracing::info!(host = "mx.example.com", port = 25, tls = true, "connected");
            tracing::warn!(
                greylisted_for_s = 30,
                "451 <try again later> & come back, the mailbox of this recipient is busy; a second server was asked and said the same"
            );
            tracing::error!(code = 550, recipient = %format_args!("usr{usr_id}@example.com"), "refused");
            Err(format!("550 <usr{usr_id}@example.com>: no such mailbox"))
        }
        _ => Ok(()),
    }
}

#[taskq::task(queue = "media", concurrency(4))]
async fn render_video(attempt: &taskq::Attempt, video_id: u64) {
    attempt.progress(0.4, format!("frame {}", video_id * 100));
    for frame in 0..video_id * 100 {
        tracing::info!(frame, "drawn");
    }
    sleep(Duration::from_secs(20 + video_id % 5)).await;
}

#[taskq::task(sequence = order_id, max_attempts = 1)]
async fn ship_order(order_id: u32, step: String) -> Result<(), String> {
    match &*step {
        "pack" => Err(format!("out of stock for order {order_id}")),
        _ => Ok(()),
    }
}

#[taskq::task(fair = tenant_id, queue = "reports")]
async fn draw_report(tenant_id: u32) {
    let _ = tenant_id;
}

#[taskq::task(queue = "billing")]
async fn charge_card(amount: u32, #[secret] card: String) {
    let _ = (amount, card);
}

/// Says much at first, then something that is long, then little.
#[taskq::task(queue = "sync", max_attempts = 3, retry = "fixed(1ms)")]
async fn sync_contacts(
    attempt: &taskq::Attempt,
    usr_id: u32,
    #[secret] token: String,
) -> Result<(), String> {
    tracing::info!(usr_id, token, attempt = attempt.number(), "signed in");
    match attempt.number() {
        1 => {
            for page in 1..=700 {
                tracing::info!(page, of = 700, "read a page of contacts");
                if page % 60 == 0 {
                    tracing::warn!(page, status = 429, "asked to slow down");
                }
            }
            Err("the server closed the connection".to_owned())
        }
        2 => {
            let ids: Vec<u32> = (0..800).collect();
            tracing::info!(target: "contacts", ids = ?ids, "these have changed");
            let url = format!("https://contacts.example.com/{}", "deadbeef".repeat(30));
            tracing::warn!(url, "moved <b>for good</b>");
            tracing::error!("the answer was no JSON:\n<html>\n  <h1>502 Bad Gateway</h1>\n</html>");
            Err("the answer was no JSON".to_owned())
        }
        _ => {
            tracing::error!(errno = 111, "connection refused");
            Err("connection refused".to_owned())
        }
    }
}

/// Goes on and on.
#[taskq::task(queue = "sync", timeout = "1h")]
async fn follow_feed(attempt: &taskq::Attempt, feed_id: u32) {
    for event in 0.. {
        tracing::info!(feed_id, event, "read an event");
        attempt.progress(0.4, format!("event {event}"));
        sleep(Duration::from_millis(500)).await;
    }
}

#[derive(serde::Serialize, serde::Deserialize, taskq::Payload)]
#[taskq(queue = "sync", max_attempts = 1)]
struct ImportRow {
    row_id: u32,
}

#[taskq::task]
async fn import_rows(#[batch(5, "1s")] rows: Vec<ImportRow>) -> Result<(), String> {
    let first = rows.first().map_or(0, |row| row.row_id);
    tracing::info!(first, rows = rows.len(), "writing the rows");
    Err("relation \"contact\" does not exist".to_owned())
}

/// Every night.
#[taskq::task(cron = "0 2 * * *", timezone = "Europe/Zurich")]
async fn nightly() {}

/// What workers would have left behind in the hours before.
const PAST: &str = r#"
    insert into taskq.minute (minute, queue, task_type, completed, failed, died, waits, runs)
    select date_trunc('minute', now()) - n * interval '1 minute', 'mail', 'send_card',
           240 + (60 * sin(n / 7.0))::int + n * 37 % 50, 3 + n % 7, case when n < 12 then 30 - n * 2 else 0 end,
           array[10, 40, 60, 80, 30, 10, case when n < 14 then 60 else 5 end, case when n < 10 then 40 else 1 end],
           array[0, 20, 80, 90, 40, 12, 4, 1, case when n < 16 then 9 else 0 end]
    from generate_series(1, 58) as n;

    insert into taskq.minute_total
    select minute, completed, failed, died, waits, runs from taskq.minute;

    insert into taskq.dead (task_id, task_type, queue, priority, payload, created_at, state, attempts, crashes, finished_at, errors)
    select nextval(pg_get_serial_sequence('taskq.task', 'task_id')), 'send_card', 'mail', 0, jsonb_build_object('usr_id', n, 'locale', 'de'), now() - interval '2 hours',
           'discarded', 3, 0, at.at,
           jsonb_build_array(jsonb_build_object('attempt', 3, 'at', at.at, 'error', case n % 3
               when 0 then format('connection to 10.0.3.%s:25 timed out after %s ms', n % 200, n)
               when 1 then format('usr %s has no locale', n)
               else format('550 <usr%s@example.com>: no such mailbox', n)
           end))
    from generate_series(1, 1830) as n
    cross join lateral (select now() - n * interval '1.3 seconds') as at (at);

    insert into taskq.task (task_type, queue, payload)
    select 'send_letter', 'mail', jsonb_build_object('usr_id', n) from generate_series(1, 12) as n;

    insert into taskq.task (task_type, queue, payload)
    select 'charge_card', 'billing', jsonb_build_object('amount', n, 'card', '4111 1111 1111 1111') from generate_series(1, 30) as n;

    select taskq.upsert_schedule('weekly_digest', '0 7 * * 1', 'send_letter', '{"usr_id": 1}', by => 'ada');

    insert into taskq.refused (task_id, task_type, payload_version, payload, queue, priority, run_at, created_at, attempts, crashes, refusal)
    values (nextval(pg_get_serial_sequence('taskq.task', 'task_id')), 'send_card', 1, '{"usr_id": 5, "locale": "de"}', 'mail', 0, now(), now() - interval '1 hour', 1, 0,
            '{"code": "23514", "message": "new row for relation \"task\" violates check constraint \"only_adults\""}');

    insert into taskq.worker (worker_id, host, process_id, queues, task_types, started_at, seen_at, expires_at)
    values (gen_random_uuid(), 'web7', 4242, '{mail}', '{send_card}', now() - interval '9 hours', now() - interval '3 minutes', now() - interval '2 minutes');

    -- Somebody began it, and their process has ended.
    select taskq.begin_bulk(bulk_id)
    from taskq.freeze_bulk('retry', '{"state": ["dead"], "type": ["send_card"], "newer": 60}', 'newer:1m', by => 'grace', reason => 'after the fix', size => 10);
"#;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::registry()
        .with(LogLayer::new().build())
        .init();
    let database = Database::fresh().await?;
    let pool = database.pool();
    let mut forgotten = PgConnection::connect(&database.url()).await?;
    raw_sql("begin; select txid_current()")
        .execute(&mut forgotten)
        .await?;
    // Nobody waits five minutes for that to be old.
    let operator = taskq::operate(&pool).patience(Duration::from_secs(5));
    let server = dashboard::server(operator);
    let server = server.bind("127.0.0.1:0".parse()?).await?;
    let worker = Worker::builder(database.pool()).release("1.4.2");
    let worker = worker
        .queue("mail", 20)
        .queue("media", 4)
        .queue("sync", 3)
        .queue("default", 4)
        .build()
        .await?;
    stage(&pool).await?;
    println!("{}", server.link());
    let trickle = tokio::spawn(trickle(pool.clone()));
    let served = server.run_until(taskq::shutdown_signal());
    // It may be asked to stop, and the pages stay.
    let (worked, served) = tokio::join!(worker.run_until(taskq::shutdown_signal()), served);
    trickle.abort();
    worked?;
    served?;
    Ok(())
}

async fn stage(pool: &PgPool) -> anyhow::Result<()> {
    raw_sql(PAST).execute(pool).await?;
    let mut db = pool.acquire().await?;
    let videos = (1..=60).map(|video_id| RenderVideo { video_id });
    taskq::enqueue_many(&mut db, videos).await?;
    let steps = ["pay", "pack", "send", "thank"].map(|step| ShipOrder {
        order_id: 2,
        step: step.to_owned(),
    });
    taskq::enqueue_many(&mut db, steps).await?;
    SyncContacts::enqueue(&mut db, 7, "hunter2-hunter2".to_owned()).await?;
    FollowFeed::enqueue(&mut db, 3).await?;
    let rows = (1..=5).map(|row_id| ImportRow { row_id });
    taskq::enqueue_many(&mut db, rows).await?;
    let reports = (1..=9).map(|number| DrawReport {
        tenant_id: number % 3,
    });
    taskq::enqueue_many(&mut db, reports).await?;
    let operator = taskq::operate(pool).as_user("ada");
    let bank = operator.pause(Queue("billing"));
    bank.because("the bank is closed").await?;
    let disk = operator.limit(Queue("exports")).concurrency(0);
    disk.because("the disk is full").await?;
    let tenant = serde_json::json!({"tenant_id": 1});
    operator.weight("draw_report", &tenant).set(3).await?;
    let letters = operator.limit(TaskType("send_letter")).concurrency(2);
    letters.await?;
    Ok(())
}

/// Enqueues a few cards each second, so that something moves.
async fn trickle(pool: PgPool) -> anyhow::Result<()> {
    for round in 1_u32.. {
        let mut db = pool.acquire().await?;
        let cards = (0..7).map(|number| SendCard {
            usr_id: round * 7 + number,
            locale: "de".to_owned(),
        });
        taskq::enqueue_many(&mut db, cards).await?;
        sleep(Duration::from_secs(1)).await;
    }
    Ok(())
}
