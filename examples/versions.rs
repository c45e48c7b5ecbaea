//! Change a payload while rows wait: upgrade steps lead from each version to the next.
//!
//! ```text
//! $ cargo run --example versions
//! welcome, Ada Lovelace, in en
//! welcome, Grace Hopper, in en
//! welcome, Tony Hoare, in de
//! ```

use std::sync::{Arc, Mutex, PoisonError};

use serde::Deserialize;
use taskq::Worker;
use taskq::testing::Database;

/// The payload as it was at first. Rows of that time may still wait.
#[derive(Deserialize)]
struct WelcomeUserV1 {
    first_name: String,
    last_name: String,
}

/// Then the two names became one.
#[derive(Deserialize)]
struct WelcomeUserV2 {
    name: String,
}

fn from_v1(old: WelcomeUserV1) -> WelcomeUserV2 {
    WelcomeUserV2 {
        name: format!("{} {}", old.first_name, old.last_name),
    }
}

fn from_v2(old: WelcomeUserV2) -> WelcomeUser {
    WelcomeUser {
        name: old.name,
        locale: "en".to_owned(),
    }
}

/// The handler knows the newest payload only. A row that fits none is set aside as `invalid`.
#[taskq::task(version = 3, upgrade = [from_v1, from_v2])]
async fn welcome_user(letters: &Letters, name: String, locale: String) {
    letters.add(format!("welcome, {name}, in {locale}"));
}

/// Versions share a worker in equal parts, so any of them may come first: sorted before printing.
#[derive(Default)]
struct Letters(Mutex<Vec<String>>);

impl Letters {
    fn add(&self, letter: String) {
        let mut letters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        letters.push(letter);
        letters.sort();
    }

    fn print(&self) {
        let letters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        println!("{}", letters.join("\n"));
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let database = Database::fresh().await?;
    let pool = database.pool();

    // What the programs of last year and of last month have enqueued. Each row says its version.
    sqlx::raw_sql(
        r#"insert into taskq.task (task_type, payload_version, payload) values
           ('welcome_user', 1, '{"first_name": "Ada", "last_name": "Lovelace"}'),
           ('welcome_user', 2, '{"name": "Grace Hopper"}')"#,
    )
    .execute(&pool)
    .await?;

    let mut tx = pool.begin().await?;
    WelcomeUser::enqueue(&mut tx, "Tony Hoare".to_owned(), "de".to_owned()).await?;
    tx.commit().await?;

    let letters = Arc::new(Letters::default());
    Worker::builder(pool.clone())
        .state_arc(letters.clone())
        .build()
        .await?
        .run_until(taskq_examples::all_finished(&pool))
        .await?;
    letters.print();
    Ok(())
}
