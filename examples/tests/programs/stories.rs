//! The examples that tell something and end: what they print is what happens.

use taskq::testing::Database;

use crate::program::Program;

async fn output_of(name: &'static str, arguments: &[&str]) -> String {
    let database = Database::fresh().await.unwrap();
    Program::start(name, arguments, &database.url())
        .output()
        .await
}

fn line_with<'a>(output: &'a str, parts: &[&str]) -> &'a str {
    let mut lines = output.lines();
    let line = lines.find(|line| parts.iter().all(|part| line.contains(part)));
    line.unwrap_or_else(|| panic!("no line with {parts:?} in:\n{output}"))
}

#[tokio::test]
async fn verification_sets_broken_rows_aside_with_their_path_and_completes_the_others() {
    let output = output_of("verification", &[]).await;
    line_with(&output, &["15 completed, 4 invalid."]);
    line_with(
        &output,
        &["SEND_VERIFICATION_EMAIL", "ada@example.com", "completed"],
    );
    line_with(
        &output,
        &[
            "SEND_FORGOT_PASSWORD_EMAIL",
            "tony@example.com",
            "completed",
        ],
    );
    line_with(&output, &["node@example.com", "completed"]);
    line_with(&output, &["bad-uuid@example.com", "invalid", "`user.id`"]);
    line_with(&output, &["no address", "invalid", "`user.email`"]);
    line_with(
        &output,
        &[
            "no-key@example.com",
            "invalid",
            "missing field `forgotPasswordKey`",
        ],
    );
    line_with(&output, &["Up to 10 handlers ran at once."]);
}

#[tokio::test]
async fn todo_logs_what_is_missing_and_lets_nothing_hold_up_the_rest() {
    let output = output_of("todo", &[]).await;
    line_with(
        &output,
        &["task type not implemented: resize_photo, 1000 waiting"],
    );
    line_with(
        &output,
        &["task type not implemented: send_invoyce, 1 waiting; did you mean `send_invoice`?"],
    );
    line_with(
        &output,
        &[
            "water_plants",
            "2",
            "1",
            "not yet implemented: buy a watering can",
        ],
    );
    line_with(&output, &["taskq.tasks is empty."]);

    let places = |task_type| -> Vec<usize> {
        let line = line_with(&output, &[task_type, "came as number"]);
        let words = line.split([' ', ',']);
        words.filter_map(|word| word.parse().ok()).collect()
    };
    // Handlers run ten at once, so the place is not exact.
    assert!(places("call_doctor")[0] <= 10);
    let invoices = places("send_invoice");
    assert_eq!(invoices.len(), 5);
    assert!(invoices.iter().all(|place| *place <= 100), "{invoices:?}");
}

#[tokio::test]
async fn drain_prints_the_rates_of_both_deliveries() {
    let output = output_of("drain", &["500", "10"]).await;
    for delivery in ["at least once", "in a transaction"] {
        let line = line_with(&output, &[delivery, " "]);
        let rates = line
            .split_whitespace()
            .filter_map(|word| word.parse::<u64>().ok());
        assert!(
            rates.clone().count() == 2 && rates.min() > Some(0),
            "{line}"
        );
    }
    line_with(
        &output,
        &["500 rows inserted by 500 handlers in a transaction"],
    );
}

#[tokio::test]
async fn an_example_refuses_a_database_that_another_program_uses() {
    let database = Database::fresh().await.unwrap();
    let pool = database.pool_of(1);
    taskq::migrate(&pool).await.unwrap();
    sqlx::query("insert into taskq.task (task_type) values ('somebody_elses')")
        .execute(&pool)
        .await
        .unwrap();
    let mut drain = Program::start("drain", &["5"], &database.url());
    drain
        .line_with("tasks of another program (somebody_elses)")
        .await;
    let left: i64 = sqlx::query_scalar("select count(*) from taskq.task")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(left, 1);
}

#[tokio::test]
async fn dashboard_serves_the_pages_of_a_bad_morning_until_it_is_interrupted() {
    let database = Database::fresh().await.unwrap();
    let mut program = Program::start("dashboard", &[], &database.url());
    let link = program.line_with("http://").await;
    let (base, token) = link.trim().split_once("?token=").unwrap();
    let page = reqwest::Client::new().get(format!("{base}overview"));
    let page = page.bearer_auth(token).send().await.unwrap();
    assert!(page.status().is_success(), "{page:?}");
    let page = page.text().await.unwrap();
    for trouble in ["the bank is closed", "send_letter", "limited to nothing"] {
        assert!(page.contains(trouble), "{trouble}: {page}");
    }
    assert!(program.interrupt().await.success());
}
