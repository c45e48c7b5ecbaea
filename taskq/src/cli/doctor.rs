//! `doctor`: what is wrong, and what to do.

use std::process::ExitCode;

use clap::{ArgMatches, Command};

use super::said::{json, operator, patience, patient};
use super::table::{PLAIN, has_colours};
use super::text::{WIDTH, advised};
use crate::error::BoxError;
use crate::operate::doctor::{Ailment, Severity};
use crate::worker::WorkerBuilder;

const RED: &str = "\x1b[1;31m";
const YELLOW: &str = "\x1b[1;33m";

pub(crate) fn command() -> Command {
    Command::new("doctor")
        .about(
            "Says in plain words what is wrong and what to do; exits with 1 if there is an error",
        )
        .arg(patience())
        .arg(json())
}

pub(crate) async fn execute(
    builder: &WorkerBuilder,
    matches: &ArgMatches,
) -> Result<ExitCode, BoxError> {
    let ailments = patient(operator(builder), matches).doctor().await?;
    if matches.get_flag("json") {
        println!("{}", serde_json::to_string_pretty(&ailments)?);
    } else if ailments.is_empty() {
        println!("nothing is wrong that can be seen from here");
    } else {
        let colours = has_colours();
        let texts = ailments.iter().map(|ailment| text(ailment, WIDTH, colours));
        let texts: Vec<String> = texts.collect();
        print!("{}", texts.join("\n"));
    }
    let has_errors = ailments.iter().any(|it| it.severity == Severity::Error);
    Ok(ExitCode::from(u8::from(has_errors)))
}

pub(super) fn text(ailment: &Ailment, width: usize, colours: bool) -> String {
    let head = ailment.severity.to_string();
    let does = ailment.command.as_deref().or(ailment.statement.as_deref());
    let text = advised(&ailment.to_string(), Some(&ailment.advice), does, width);
    if !colours {
        return text;
    }
    let colour = match ailment.severity {
        Severity::Error => RED,
        Severity::Warning => YELLOW,
    };
    text.replacen(&head, &format!("{colour}{head}{PLAIN}"), 1)
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
            command: Some("resume queue mail".to_owned()),
            statement: Some("select taskq.resume_queue('mail')".to_owned()),
        };
        let expected = "\
warning: queue mail has been paused for 3 hours by ada (SMTP is down): nothing
more of it starts
-> resume the queue once the reason is gone
   resume queue mail
";
        assert_eq!(text(&ailment, WIDTH, false), expected);
        let coloured = "\x1b[1;33mwarning\x1b[0m: queue mail";
        assert!(text(&ailment, WIDTH, true).starts_with(coloured));
    }
}
