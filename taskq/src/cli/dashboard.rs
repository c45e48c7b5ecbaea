//! `dashboard`: serves the pages alone.

use std::env;
use std::net::SocketAddr;

use clap::{Arg, ArgMatches, Command};

use super::said::{operator, patience, patient};
use crate::dashboard::{Access, server_of};
use crate::error::BoxError;
use crate::worker::{WorkerBuilder, shutdown_signal};

pub(crate) fn command() -> Command {
    Command::new("dashboard")
        .about("Serves the dashboard until SIGINT or SIGTERM: pages that show all of this, and mend it")
        .arg(
            Arg::new("listen")
                .long("listen")
                .value_name("ADDRESS")
                .value_parser(clap::value_parser!(SocketAddr))
                .default_value("127.0.0.1:3001")
                .help("Where to listen; an address that is not a loopback one needs a password"),
        )
        .arg(
            Arg::new("password-env")
                .long("password-env")
                .value_name("NAME")
                .help("The environment variable that has the password; without one, the link that is printed lets in"),
        )
        .arg(
            Arg::new("user")
                .long("user")
                .value_name("NAME")
                .default_value("operator")
                .requires("password-env")
                .help("The name that goes with the password, and in the audit"),
        )
        .arg(patience())
}

pub(crate) async fn execute(builder: &WorkerBuilder, matches: &ArgMatches) -> Result<(), BoxError> {
    let text = |id| matches.get_one::<String>(id);
    let mut server = server_of(
        patient(operator(builder), matches),
        builder.chosen_handlers(),
    );
    if let Some(name) = text("password-env") {
        let password = env::var(name).unwrap_or_default();
        if password.is_empty() {
            return Err(format!(
                "the environment variable {name} is empty: put the password there"
            )
            .into());
        }
        let user = text("user").map(String::as_str).unwrap_or_default();
        server = server.access(Access::basic(user, password));
    }
    let address = matches.get_one::<SocketAddr>("listen").copied();
    let bound = server.bind(address.ok_or("clap has a default")?).await?;
    println!("{}", bound.link());
    bound.run_until(shutdown_signal()).await?;
    Ok(())
}
