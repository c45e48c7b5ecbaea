//! `doctor`: what is wrong, and what to do.

use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::said::{json, operator, patience, patient, reason, speaking, time, who_and_why};
use super::table::{PLAIN, has_colours};
use super::text::{WIDTH, advised, printable, quoted};
use crate::error::BoxError;
use crate::operate::doctor::{Ailment, Severity};
use crate::operate::pause::Operator;
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
        print!("{}", hint(&ailments));
    }
    let counts = |it: &Ailment| it.severity == Severity::Error && it.acknowledged.is_none();
    let has_errors = ailments.iter().any(counts);
    Ok(ExitCode::from(u8::from(has_errors)))
}

/// Says how a warning is acknowledged, by the example of the first.
fn hint(ailments: &[Ailment]) -> String {
    let warnings = ailments
        .iter()
        .filter(|it| it.severity == Severity::Warning);
    let Some(first) = warnings.clone().find(|it| it.acknowledged.is_none()) else {
        return String::new();
    };
    let (problem, subject) = (quoted(&first.problem), quoted(&printable(&first.subject)));
    let how = "if a warning is known, and meant so, acknowledge it, such as:";
    format!("\n{how}\n   acknowledge {problem} {subject}\n")
}

/// The trouble that is meant, by what the doctor calls it.
fn named(command: Command) -> Command {
    let text = |id, name, help| Arg::new(id).value_name(name).required(true).help(help);
    who_and_why(
        command
            .arg(text(
                "problem",
                "PROBLEM",
                "Of which kind it is, as `doctor --json` says: setting, paused, …",
            ))
            .arg(text(
                "subject",
                "SUBJECT",
                "What it is about, as `doctor --json` says: fsync, 'queue mail', …",
            )),
    )
}

pub(crate) fn acknowledge() -> Command {
    let command = Command::new("acknowledge")
        .about("Says that a trouble is known and stays as it is: `doctor` tells it last, and does not exit with 1 for it");
    let command = named(command)
        .mut_arg("subject", |subject| {
            subject.required(false).required_unless_present("all")
        })
        .arg(
            Arg::new("all")
                .long("all")
                .action(ArgAction::SetTrue)
                .conflicts_with("subject")
                .help(
                    "Acknowledges all trouble of this kind that there is now, such as each setting",
                ),
        );
    command.arg(
        Arg::new("until")
            .long("until")
            .value_name("TIME")
            .value_parser(time)
            .help("Lets it count again at a time such as 2026-03-01T07:30:00Z"),
    )
}

pub(crate) fn unacknowledge() -> Command {
    named(Command::new("unacknowledge").about("Lets what was acknowledged count as trouble again"))
}

fn names(matches: &ArgMatches) -> [&str; 2] {
    ["problem", "subject"].map(|id| matches.get_one::<String>(id).map_or("", String::as_str))
}

pub(crate) async fn execute_acknowledge(
    builder: &WorkerBuilder,
    matches: &ArgMatches,
) -> Result<(), BoxError> {
    let operator = speaking(builder, matches);
    let [problem, subject] = names(matches);
    let found = operator.doctor().await?;
    let those = found.iter().filter(|it| it.problem == problem);
    let those: Vec<&Ailment> = those.collect();
    if matches.get_flag("all") {
        let new = those.iter().filter(|it| it.acknowledged.is_none());
        let new: Vec<&&Ailment> = new.collect();
        if new.is_empty() {
            return Err(format!(
                "nothing is wrong by the name of {problem}, or all is acknowledged"
            )
            .into());
        }
        for meant in new {
            acknowledged(&operator, meant, matches).await?;
        }
        return Ok(());
    }
    let Some(meant) = those.iter().find(|it| it.subject == subject) else {
        let subjects: Vec<&str> = those.iter().map(|it| it.subject.as_str()).collect();
        let instead = match subjects[..] {
            [] => "`doctor --json` has the problems and subjects".to_owned(),
            _ => format!("its subjects are now: {}", subjects.join("; ")),
        };
        return Err(
            format!("nothing is wrong by the name of {problem} with {subject}: {instead}").into(),
        );
    };
    acknowledged(&operator, meant, matches).await
}

async fn acknowledged(
    operator: &Operator,
    meant: &Ailment,
    matches: &ArgMatches,
) -> Result<(), BoxError> {
    let mut acknowledging = operator.acknowledge(&meant.problem, &meant.subject, meant.severity);
    if let Some(until) = matches.get_one("until") {
        acknowledging = acknowledging.until(*until);
    }
    acknowledging.because_if(reason(matches)).await?;
    println!("acknowledged: {}", printable(&meant.said));
    Ok(())
}

pub(crate) async fn execute_unacknowledge(
    builder: &WorkerBuilder,
    matches: &ArgMatches,
) -> Result<(), BoxError> {
    let [problem, subject] = names(matches);
    let again = speaking(builder, matches).unacknowledge(problem, subject);
    match again.because_if(reason(matches)).await? {
        true => println!("{problem} of {subject} counts again"),
        false => println!("nobody has acknowledged {problem} of {subject}"),
    }
    Ok(())
}

pub(super) fn text(ailment: &Ailment, width: usize, colours: bool) -> String {
    let head = ailment.severity.to_string();
    if let Some(known) = &ailment.acknowledged {
        let said = format!("{known}: {}", ailment.said);
        return advised(&said, None, None, width);
    }
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
            acknowledged: None,
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
