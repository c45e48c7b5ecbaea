//! Each way of the guide to enqueue from elsewhere: a worker runs what was committed, and nothing else is there.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Mutex;

use diesel_async::AsyncConnection;
use sqlx::PgPool;
use taskq::Worker;
use taskq::testing::{Database, drain};
use taskq_elsewhere::{with_diesel, with_tokio_postgres};
use tokio::process::Command;
use tokio::sync::OnceCell;

#[taskq::task]
async fn welcome(welcomed: &Mutex<Vec<String>>, email: String) {
    welcomed.lock().expect("nobody panics here").push(email);
}

/// The email is looked at in the commit, after the enqueue: an enqueue that is outside of the transaction is found.
const TABLE: &str = "create table usr (email text not null unique deferrable initially deferred)";

async fn stage() -> (Database, PgPool) {
    let database = Database::fresh().await.expect("a database");
    let pool = database.pool_of(30);
    let made = sqlx::raw_sql(TABLE).execute(&pool).await;
    made.expect("a table of users");
    (database, pool)
}

/// Runs what is due, and returns who was welcomed.
async fn welcomed(pool: &PgPool) -> Vec<String> {
    let welcomed = std::sync::Arc::new(Mutex::<Vec<String>>::default());
    let worker = Worker::builder(pool.clone())
        .only::<(Welcome,)>()
        .state_arc(welcomed.clone());
    let counts = drain(worker).await.expect("it drains");
    assert_eq!(counts.completed, counts.total(), "{counts:?}");
    std::mem::take(&mut welcomed.lock().expect("nobody panics here"))
}

fn programs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("programs")
}

/// Where drivers of other languages are installed, once for all runs.
fn installed() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("elsewhere")
}

/// Runs a command, and returns what it printed, or why it failed.
async fn output(command: &mut Command) -> Result<String, String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .await
        .map_err(|error| error.to_string())?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

/// Signs up ada, then ada again, which must fail and leave nothing.
async fn sign_up_twice(sign_up: impl AsyncFn(&str) -> Result<String, String>) {
    let (database, pool) = stage().await;
    let said = sign_up(&database.url())
        .await
        .expect("the first is signed up");
    assert!(
        said.contains("1 created") || said.contains("1 | created"),
        "{said}"
    );
    let again = sign_up(&database.url()).await;
    let error = again.expect_err("there is one already");
    assert!(error.contains("usr_email_key"), "{error}");
    assert_eq!(welcomed(&pool).await, ["ada@example.com"]);
    let count = "select count(*) from taskq.tasks";
    let left: i64 = sqlx::query_scalar(count)
        .fetch_one(&pool)
        .await
        .expect("a count");
    assert_eq!(left, 0);
}

#[tokio::test]
async fn tokio_postgres_enqueues_in_its_transaction() {
    sign_up_twice(async |url| {
        let (mut client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls)
            .await
            .expect("connected");
        let connection = tokio::spawn(connection);
        let signed_up = with_tokio_postgres::sign_up(&mut client, "ada@example.com").await;
        drop(client);
        connection.await.expect("it ends").expect("in order");
        match signed_up {
            Ok(task_id) => Ok(format!("{task_id} created")),
            Err(error) => Err(format!("{error}: {:?}", error.as_db_error())),
        }
    })
    .await;
}

#[tokio::test]
async fn diesel_enqueues_in_its_transaction() {
    sign_up_twice(async |url| {
        let mut db = diesel_async::AsyncPgConnection::establish(url)
            .await
            .expect("connected");
        match with_diesel::sign_up(&mut db, "ada@example.com").await {
            Ok(task) => Ok(format!("{} {}", task.task_id, task.outcome)),
            Err(error) => Err(error.to_string()),
        }
    })
    .await;
}

#[tokio::test]
async fn psql_enqueues_in_its_transaction() {
    if let Err(error) = output(Command::new("psql").arg("--version")).await {
        eprintln!("skipped: psql cannot be run: {error}");
        return;
    }
    sign_up_twice(async |url| {
        let mut psql = Command::new("psql");
        psql.args([
            url,
            "--no-psqlrc",
            "--set=ON_ERROR_STOP=1",
            "--set=email=ada@example.com",
        ])
        .arg("--file")
        .arg(programs().join("sign_up.sql"));
        output(&mut psql).await
    })
    .await;
}

#[tokio::test]
async fn a_trigger_enqueues_whoever_inserts() {
    let (_database, pool) = stage().await;
    let trigger = std::fs::read_to_string(programs().join("trigger.sql")).expect("a file");
    let made = sqlx::raw_sql(sqlx::AssertSqlSafe(trigger))
        .execute(&pool)
        .await;
    made.expect("a trigger");
    let mut tx = pool.begin().await.expect("a transaction");
    for email in ["ada@example.com", "grace@example.com"] {
        let insert = sqlx::query("insert into usr (email) values ($1)").bind(email);
        insert.execute(&mut *tx).await.expect("inserted");
    }
    tx.rollback().await.expect("undone");
    assert!(welcomed(&pool).await.is_empty());
    let insert = sqlx::query("insert into usr (email) values ('alan@example.com')");
    insert.execute(&pool).await.expect("inserted");
    assert_eq!(welcomed(&pool).await, ["alan@example.com"]);
}

/// Makes an environment of Python with the driver, or says why there is none.
async fn python() -> Result<PathBuf, String> {
    static PYTHON: OnceCell<Result<PathBuf, String>> = OnceCell::const_new();
    let make = async || {
        let folder = installed().join("python");
        let python = folder.join("bin/python");
        let has_driver = ["-c", "import psycopg"];
        if output(Command::new(&python).args(has_driver)).await.is_ok() {
            return Ok(python);
        }
        let mut venv = Command::new("python3");
        output(venv.args(["-m", "venv", "--clear"]).arg(&folder)).await?;
        let install = ["-m", "pip", "install", "--quiet", "psycopg[binary]==3.*"];
        output(Command::new(&python).args(install)).await?;
        Ok(python)
    };
    PYTHON.get_or_init(make).await.clone()
}

#[tokio::test]
async fn python_enqueues_in_its_transaction() {
    let python = match python().await {
        Ok(python) => python,
        Err(error) => {
            eprintln!("skipped: there is no Python with psycopg: {error}");
            return;
        }
    };
    sign_up_twice(async |url| {
        let mut program = Command::new(&python);
        program.arg(programs().join("sign_up.py"));
        output(program.args([url, "ada@example.com"])).await
    })
    .await;
}

/// Makes a folder in which Node finds the driver and the program, or says why there is none.
async fn node() -> Result<PathBuf, String> {
    let folder = installed().join("node");
    std::fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    let program = folder.join("sign_up.mjs");
    std::fs::copy(programs().join("sign_up.mjs"), &program).map_err(|error| error.to_string())?;
    if folder.join("node_modules/pg/package.json").exists() {
        return Ok(program);
    }
    let install = ["install", "--silent", "--no-audit", "--no-fund", "pg@8"];
    output(Command::new("npm").args(install).current_dir(&folder)).await?;
    Ok(program)
}

#[tokio::test]
async fn node_enqueues_in_its_transaction() {
    let program = match node().await {
        Ok(program) => program,
        Err(error) => {
            eprintln!("skipped: there is no Node with pg: {error}");
            return;
        }
    };
    sign_up_twice(async |url| {
        let mut node = Command::new("node");
        output(node.arg(&program).args([url, "ada@example.com"])).await
    })
    .await;
}

/// The guide must show what is tested.
#[test]
fn the_guide_quotes_these_programs() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let guide = std::fs::read_to_string(root.join("../../docs/guide/elsewhere.md"));
    let guide = guide.expect("the chapter");
    let mut quoted = 0;
    for (language, file) in [
        ("python", "programs/sign_up.py"),
        ("js", "programs/sign_up.mjs"),
        ("sql", "programs/sign_up.sql"),
        ("sql", "programs/trigger.sql"),
        ("rust,ignore", "src/with_tokio_postgres.rs"),
        ("rust,ignore", "src/with_diesel.rs"),
    ] {
        let text = std::fs::read_to_string(root.join(file)).expect("a file");
        // Without the comments of documentation, which a reader of the guide has beside it.
        let code: Vec<&str> = text
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
            .collect();
        let code = match file.ends_with(".rs") {
            true => code.join("\n").trim().to_owned(),
            false => text.trim().to_owned(),
        };
        let block = format!("```{language}\n{code}\n```");
        assert!(
            guide.contains(&block),
            "{file} is not what the guide says:\n{block}"
        );
        quoted += 1;
    }
    assert_eq!(quoted, 6);
}
