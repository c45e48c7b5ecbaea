//! Enqueue from plain SQL: a bare insert is enough, from any language, or in a trigger.
//!
//! ```text
//! $ cargo run --example plain_sql
//! welcome, ada@example.com
//! welcome, grace@example.com
//! ```

use taskq::Worker;
use taskq::testing::Database;

/// The name of the function is the task type, and its owned arguments are the fields of the payload.
#[taskq::task]
async fn welcome_user(email: String) {
    println!("welcome, {email}");
}

/// Every column of `taskq.task` but `task_type` has a default.
const ONE_STATEMENT: &str = "
    with usr_ as (
        insert into usr (email)
        values ('ada@example.com')
        returning email
    )
    insert into taskq.task (task_type, payload)
    select 'welcome_user', jsonb_build_object('email', email)
    from usr_
";

/// From now on it does not matter which program inserts a user.
const TRIGGER: &str = "
    create function usr_welcome() returns trigger language plpgsql as $$
    begin
        insert into taskq.task (task_type, payload, priority)
        values ('welcome_user', jsonb_build_object('email', new.email), 5);
        return null;
    end
    $$;

    create trigger usr_welcome after insert on usr
    for each row execute function usr_welcome();
";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let database = Database::fresh().await?;
    let pool = database.pool();
    let tables = "create table usr (email text primary key)";
    let insert = "insert into usr (email) values ('grace@example.com')";
    for statement in [tables, ONE_STATEMENT, TRIGGER, insert] {
        sqlx::raw_sql(statement).execute(&pool).await?;
    }

    Worker::builder(pool.clone())
        .queue("default", 1)
        .build()
        .await?
        .run_until(taskq_examples::all_finished(&pool))
        .await?;
    Ok(())
}
