//! A program with commands of its own, and those of taskq among them; with `ALONE` set the program `taskq`.

use std::process::ExitCode;

use clap::Command;
use sqlx::postgres::PgPoolOptions;
use taskq::Worker;

#[tokio::main]
async fn main() -> ExitCode {
    if std::env::var_os("ALONE").is_some() {
        return taskq::cli::alone::main().await;
    }
    let shop = Command::new("shop")
        .subcommand_required(true)
        .subcommand(Command::new("serve").about("Serves the shop"))
        .subcommand(taskq::cli::command().name("tasks"));
    let matches = shop.get_matches();
    match matches.subcommand() {
        Some(("tasks", matches)) => {
            let url = std::env::var("DATABASE_URL").unwrap_or("postgres://nowhere.invalid".into());
            let pool = PgPoolOptions::new().connect_lazy(&url).expect("a URL");
            taskq::cli::execute(Worker::builder(pool), matches).await
        }
        _ => ExitCode::SUCCESS,
    }
}
