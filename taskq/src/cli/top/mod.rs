//! `top`: what goes on, in a terminal, as it happens.
//!
//! Three things come in: keys from a thread that reads the terminal, what a task of its own has read from the database, no
//! more than once a second, and what has come of what somebody did. Each changes the [`View`](view::View), which is drawn
//! then. If the database is away, the screen says so, and is of the last look.

mod act;
mod ask;
mod change;
mod closer;
mod draw;
mod rates;
mod seen;
#[cfg(test)]
mod tests;
mod view;

use std::io::{IsTerminal, stdin, stdout};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use clap::{ArgMatches, Command};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event};
use tokio::sync::mpsc::{Sender, channel};

use self::act::{Outcome, act};
use self::ask::Effect;
use self::view::View;
use super::bulk::target;
use super::change::is_read_only;
use super::said::{patience, patient, speaking, who};
use super::table::has_colours;
use crate::error::BoxError;
use crate::operate::pause::Operator;
use crate::worker::{WorkerBuilder, shutdown_signal};

/// There is no terminal to draw on.
const NO_TERMINAL: u8 = 2;

/// The thread that reads keys asks so often whether it is needed still.
const ASK: Duration = Duration::from_millis(100);

pub(crate) fn command() -> Command {
    Command::new("top")
        .about("Shows what goes on as it happens, and mends it by keys; ? lists them")
        .arg(patience())
        .arg(who())
}

pub(crate) async fn execute(
    builder: &WorkerBuilder,
    matches: &ArgMatches,
) -> Result<ExitCode, BoxError> {
    if !stdout().is_terminal() || !stdin().is_terminal() {
        eprintln!("error: `top` needs a terminal; scripts read `stats --json` and `doctor --json`");
        return Ok(ExitCode::from(NO_TERMINAL));
    }
    let operator = patient(speaking(builder, matches), matches);
    let view = View::new(target(builder), is_read_only(matches), has_colours());
    let terminal = ratatui::try_init()?;
    let ended = run(terminal, operator, view).await;
    ratatui::try_restore()?;
    ended?;
    Ok(ExitCode::SUCCESS)
}

async fn run(
    mut terminal: DefaultTerminal,
    operator: Operator,
    mut view: View,
) -> Result<(), BoxError> {
    let (key_sender, mut keys) = channel(16);
    let (news_sender, mut news) = channel(4);
    let (outcome_sender, mut outcomes) = channel(16);
    read_keys(key_sender)?;
    let watching = tokio::spawn(seen::watch(operator.clone(), news_sender));
    let signal = shutdown_signal();
    tokio::pin!(signal);
    loop {
        terminal.draw(|frame| draw::draw(frame, &view))?;
        let effect = tokio::select! {
            Some(event) = keys.recv() => match event {
                Event::Key(key) => view.press(key),
                // It is drawn anew.
                _ => Effect::Nothing,
            },
            Some(news) = news.recv() => {
                view.learn(news);
                Effect::Nothing
            }
            Some(outcome) = outcomes.recv() => {
                learn(&mut view, outcome);
                Effect::Nothing
            }
            _ = &mut signal => Effect::Quit,
        };
        match effect {
            Effect::Nothing => {}
            Effect::Quit => break,
            effect => act(&operator, effect, outcome_sender.clone()),
        }
    }
    watching.abort();
    Ok(())
}

/// Reads the terminal in a thread, which ends soon after nobody listens.
fn read_keys(listener: Sender<Event>) -> std::io::Result<()> {
    let read = move || {
        while !listener.is_closed() {
            match event::poll(ASK) {
                Ok(false) => {}
                Ok(true) => match event::read() {
                    Ok(event) => _ = listener.blocking_send(event),
                    Err(_) => return,
                },
                Err(_) => return,
            }
        }
    };
    thread::Builder::new()
        .name("taskq-keys".into())
        .spawn(read)
        .map(drop)
}

fn learn(view: &mut View, outcome: Outcome) {
    match outcome {
        Outcome::Done(said) if said.is_empty() => {}
        Outcome::Done(said) => view.said = Some(Ok(said)),
        Outcome::Failed(why) => view.said = Some(Err(why)),
        Outcome::Text(title, text) => view.show(title, text),
        Outcome::Frozen(bulk) => {
            view.ask_bulk(bulk.bulk_id, bulk.verb, bulk.frozen, bulk.filter);
        }
    }
}
