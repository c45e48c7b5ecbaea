//! Tests with `#[sqlx::test]`, as the guide shows them, and one that runs them.

use std::process::Stdio;

use taskq::testing::Cluster;
use tokio::process::Command;

/// The tests of the guide.
mod guide {
    use sqlx::{PgConnection, PgPool};
    use taskq::testing::{drain, tx};
    use taskq::{Worker, assert_enqueued};

    #[taskq::task]
    async fn welcome_user(tx: &mut PgConnection, usr_id: i64) -> sqlx::Result<()> {
        let welcome = "update usr set welcomed_at = now() where usr_id = $1";
        sqlx::query(welcome).bind(usr_id).execute(tx).await?;
        Ok(())
    }

    async fn sign_up(tx: &mut PgConnection) -> Result<i64, Box<dyn std::error::Error>> {
        let insert = sqlx::query_scalar("insert into usr default values returning usr_id");
        let usr_id = insert.fetch_one(&mut *tx).await?;
        WelcomeUser::enqueue(tx, usr_id).await?;
        Ok(usr_id)
    }

    /// `#[sqlx::test]` gives each test a database; this makes the tables in it.
    async fn tables(pool: &PgPool) -> Result<(), Box<dyn std::error::Error>> {
        taskq::migrate(pool).await?;
        let usr = "create table usr (usr_id bigint generated always as identity, welcomed_at timestamptz)";
        sqlx::query(usr).execute(pool).await?;
        Ok(())
    }

    #[ignore = "`they_pass_on_the_server_of_the_other_tests` runs it"]
    #[sqlx::test]
    async fn a_sign_up_enqueues_a_welcome(pool: PgPool) -> Result<(), Box<dyn std::error::Error>> {
        tables(&pool).await?;
        let mut tx = pool.begin().await?;
        let usr_id = sign_up(&mut tx).await?;
        assert_enqueued!(&mut tx, WelcomeUser { usr_id });
        Ok(())
    }

    #[ignore = "`they_pass_on_the_server_of_the_other_tests` runs it"]
    #[sqlx::test]
    async fn a_sign_up_is_welcomed(pool: PgPool) -> Result<(), Box<dyn std::error::Error>> {
        tables(&pool).await?;
        let mut tx = tx(&pool).await?;
        let usr_id = sign_up(&mut tx).await?;
        drain(Worker::builder(pool.clone())).in_tx(&mut tx).await?;
        let sql = "select welcomed_at is not null from usr where usr_id = $1";
        let is_welcome: bool = sqlx::query_scalar(sql)
            .bind(usr_id)
            .fetch_one(&mut *tx)
            .await?;
        assert!(is_welcome);
        Ok(())
    }

    #[ignore = "`they_pass_on_the_server_of_the_other_tests` runs it"]
    #[sqlx::test]
    async fn a_worker_welcomes_too(
        options: sqlx::postgres::PgPoolOptions,
        connect: sqlx::postgres::PgConnectOptions,
    ) -> Result<(), Box<dyn std::error::Error>> {
        // A worker needs more connections than the five that sqlx gives a test.
        let pool = options.max_connections(10).connect_with(connect).await?;
        tables(&pool).await?;
        sign_up(&mut *pool.acquire().await?).await?;
        let worker = Worker::builder(pool.clone()).queue("default", 2);
        assert_eq!(drain(worker).await?.completed, 1);
        Ok(())
    }

    /// So many at once that tests which meet would be found.
    macro_rules! each {
        ($($name:ident)+) => {
            $(
                #[ignore = "`they_pass_on_the_server_of_the_other_tests` runs it"]
                #[sqlx::test]
                async fn $name(pool: PgPool) -> Result<(), Box<dyn std::error::Error>> {
                    tables(&pool).await?;
                    let mut tx = tx(&pool).await?;
                    for _ in 0..10 {
                        sign_up(&mut tx).await?;
                    }
                    let counts = drain(Worker::builder(pool.clone())).in_tx(&mut tx).await?;
                    assert_eq!((counts.completed, counts.total()), (10, 10));
                    Ok(())
                }
            )+
        };
    }

    each!(one two three four five six seven eight nine ten eleven twelve thirteen);
}

/// `#[sqlx::test]` wants `DATABASE_URL`, and the tests of this repository find a server by themselves.
#[tokio::test]
async fn they_pass_on_the_server_of_the_other_tests() {
    let cluster = Cluster::ephemeral().await.expect("a server");
    let recipe = std::env::current_exe().expect("this program");
    let output = Command::new(recipe)
        .args(["--ignored", "--test-threads=16", "guide::"])
        .env("DATABASE_URL", cluster.url("postgres"))
        .stdin(Stdio::null())
        .output()
        .await
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("16 passed"), "{said}");
}
