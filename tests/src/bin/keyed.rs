//! A worker's binary with a payload that is encrypted, and with the keys of its environment: one version of a program in the
//! middle of a rotation.

use std::env;
use std::process::ExitCode;

use sqlx::PgConnection;
use sqlx::postgres::PgPoolOptions;
use taskq::encryption::{self, Keys};
use taskq::{Payload, Secret, Worker, task};

/// As the tests declare it.
#[derive(serde::Serialize, serde::Deserialize, Payload)]
struct Vault {
    n: i64,
    #[taskq(encrypted)]
    code: Secret<String>,
}

#[task(handles = Vault)]
async fn vault(tx: &mut PgConnection, #[payload] vault: Vault) -> Result<(), sqlx::Error> {
    let n = if vault.code.ends_with(&format!("-{}", vault.n)) {
        vault.n
    } else {
        -1
    };
    sqlx::query("insert into effect values ($1)")
        .bind(n)
        .execute(tx)
        .await?;
    Ok(())
}

/// `give FROM TO` enqueues; all else is the command line.
#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<ExitCode, Box<dyn std::error::Error>> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
    if let Ok(keys) = env::var("TASKQ_KEYS") {
        encryption::install(keys.parse::<Keys>()?);
    }
    let pool = PgPoolOptions::new()
        .max_connections(20)
        .connect(&env::var("DATABASE_URL")?)
        .await?;
    let arguments: Vec<String> = env::args().skip(1).collect();
    if let [give, from, to] = &arguments[..]
        && give == "give"
    {
        let mut conn = pool.acquire().await?;
        for n in from.parse::<i64>()?..to.parse()? {
            let code = Secret::from(format!("cAnAry-{n}"));
            taskq::enqueue(&mut conn, Vault { n, code }).await?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    Ok(taskq::cli::main(Worker::builder(pool)).await)
}
