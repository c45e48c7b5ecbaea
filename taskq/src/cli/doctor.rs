//! `doctor`: what is wrong, and what to do.

use std::process::ExitCode;

use clap::{ArgMatches, Command};

use super::list::json;
use super::pause::operator;
use super::text::{printable, wrapped};
use crate::error::BoxError;
use crate::operate::doctor::{Ailment, Severity};
use crate::worker::WorkerBuilder;

/// How wide a terminal is.
const WIDTH: usize = 80;

pub(crate) fn command() -> Command {
    Command::new("doctor")
        .about(
            "Says in plain words what is wrong and what to do; exits with 1 if there is an error",
        )
        .arg(json())
}

pub(crate) async fn execute(
    builder: &WorkerBuilder,
    matches: &ArgMatches,
) -> Result<ExitCode, BoxError> {
    let ailments = operator(builder).doctor().await?;
    if matches.get_flag("json") {
        println!("{}", serde_json::to_string_pretty(&ailments)?);
    } else if ailments.is_empty() {
        println!("nothing is wrong that can be seen from here");
    } else {
        let texts: Vec<String> = ailments.iter().map(text).collect();
        print!("{}", texts.join("\n"));
    }
    let has_errors = ailments.iter().any(|it| it.severity == Severity::Error);
    Ok(ExitCode::from(u8::from(has_errors)))
}

fn text(ailment: &Ailment) -> String {
    let said = wrapped(&printable(&ailment.to_string()), WIDTH, 0);
    let advice = format!("-> {}", printable(&ailment.advice));
    said + &wrapped(&advice, WIDTH, 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ailment_is_wrapped_and_its_advice_stands_below() {
        let ailment = Ailment {
            severity: Severity::Warning,
            problem: "paused".to_owned(),
            subject: "mail".to_owned(),
            said: "queue mail has been paused for 3 hours by ada (SMTP is down): nothing more of it starts"
                .to_owned(),
            advice: "resume the queue once the reason is gone".to_owned(),
        };
        let expected = "\
warning: queue mail has been paused for 3 hours by ada (SMTP is down): nothing
more of it starts
-> resume the queue once the reason is gone
";
        assert_eq!(text(&ailment), expected);
    }
}
