//! Databases that default to another isolation level, in which a statement does not see what others commit meanwhile.

use taskq::task;

use crate::support::{database, execute, isolated, one, until, worker};

#[task(concurrency = 3)]
async fn waits() {}

#[task]
async fn hides(#[secret] word: String) {
    drop(word);
}

/// What another worker says of limits and secret fields while this one starts is not seen by its statements.
#[tokio::test]
async fn a_worker_starts_beside_others_whatever_isolation_the_database_defaults_to() {
    let (_database, pool) = database().await;
    let isolated = isolated(&pool);
    let start = || {
        let worker = worker(&isolated).only::<(Waits, Hides)>();
        worker.build()
    };
    start().await.expect("it starts");
    for said in [
        "update taskq.limit_definition set declared_until = declared_until + interval '1 minute'",
        "insert into taskq.secret_field (task_type, field) values ('hides', 'word')",
    ] {
        execute(&pool, "delete from taskq.secret_field").await;
        let mut other = pool.begin().await.expect("begun");
        sqlx::query(said).execute(&mut *other).await.expect("said");
        let commit = async {
            until("it waits", async || {
                one::<bool>(
                    &pool,
                    "select exists (select from pg_stat_activity
                         where datname = current_database() and wait_event_type = 'Lock')",
                )
                .await
            })
            .await;
            other.commit().await.expect("committed");
        };
        let (started, ()) = tokio::join!(start(), commit);
        started.unwrap_or_else(|error| panic!("{said}: {error:?}"));
    }
}
