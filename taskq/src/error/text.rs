//! What is written of an error, in rows and in the log.

use std::error::Error;
use std::fmt;

use sqlx::error::DatabaseError;
use sqlx::postgres::PgDatabaseError;

use super::veiled::{Veiled, quotes_values};

/// How many levels of an error are told apart. One may be its own source.
const MOST_LEVELS: usize = 16;

/// Writes an error and its sources in one line, each level once.
///
/// Of an error of Postgres it gives the detail, the constraint and the hint too, and not the line of its own
/// source at which it found the mistake, which sqlx writes.
pub(crate) fn error_text(error: &(dyn Error + 'static)) -> String {
    let mut parts: Vec<String> = Vec::new();
    for error in chain(error) {
        let plain = error.to_string();
        let text = of_database(error).unwrap_or_else(|| plain.clone());
        // Many errors repeat their source in their own text.
        let repeats = |part: &&mut String| part.contains(&plain) || part.contains(&text);
        match parts.iter_mut().find(repeats) {
            Some(part) if !part.contains(&text) => *part = part.replace(&plain, &text),
            Some(_) => {}
            None => parts.push(text),
        }
    }
    parts.join(": ")
}

/// Returns what each level of an error says, the error first, where it has more than one.
pub(crate) fn levels(error: &(dyn Error + 'static)) -> Vec<String> {
    let levels = chain(error).take(MOST_LEVELS);
    let levels = levels.map(|level| of_database(level).unwrap_or_else(|| level.to_string()));
    let levels: Vec<String> = levels.collect();
    if levels.len() > 1 { levels } else { Vec::new() }
}

/// Returns an error and its sources.
pub(crate) fn chain<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// What to look at where the pool gave no connection. sqlx tries again and again to connect, and says only that
/// its time was over.
const NO_CONNECTION: &str = "no connection within the `acquire_timeout` of the pool: is the server there, are host and port right, and does the pool have connections enough?";

/// Returns the cause below an error of sqlx that stands behind a text of ours, such that nothing is said twice:
/// sqlx writes the cause into its own text. Where it says too little, ours is to have [`advice`].
pub(crate) fn cause(error: &sqlx::Error) -> Option<&(dyn Error + 'static)> {
    match error {
        sqlx::Error::PoolTimedOut => None,
        error => error.source().or(Some(error)),
    }
}

/// Returns what is to be added to a text of ours, where sqlx says too little.
pub(crate) fn advice(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::PoolTimedOut => format!(": {NO_CONNECTION}"),
        _ => String::new(),
    }
}

/// What Postgres said, in one text that says nothing twice.
pub(crate) struct Said<'a>(pub(crate) &'a sqlx::Error);

impl fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match of_database(self.0) {
            Some(text) => f.write_str(&text),
            // It mentions its sources itself.
            None => self.0.fmt(f),
        }
    }
}

fn of_database(error: &(dyn Error + 'static)) -> Option<String> {
    if let Some(error) = error.downcast_ref::<sqlx::Error>() {
        return match error {
            sqlx::Error::Database(error) => of_driver(&**error),
            sqlx::Error::PoolTimedOut => Some(NO_CONNECTION.to_owned()),
            _ => None,
        };
    }
    if let Some(error) = error.downcast_ref::<Box<dyn DatabaseError>>() {
        return of_driver(&**error);
    }
    error.downcast_ref().map(of_postgres)
}

fn of_driver(error: &dyn DatabaseError) -> Option<String> {
    match error.try_downcast_ref::<Veiled>() {
        Some(veiled) => Some(veiled.to_string()),
        None => error.try_downcast_ref().map(of_postgres),
    }
}

/// Tells whether the detail of an error is the row of a task, with its payload, which may have secret fields.
fn tells_task(error: &PgDatabaseError) -> bool {
    const TASKS: [&str; 5] = ["task", "lease", "dead", "history", "refused"];
    quotes_values(error) && error.table().is_some_and(|table| TASKS.contains(&table))
}

/// What Postgres said of a statement of a handler's own.
fn of_postgres(error: &PgDatabaseError) -> String {
    let mut text = error.message().to_owned();
    if let Some(detail) = error.detail().filter(|_| !tells_task(error)) {
        text = format!("{text}: {detail}");
    }
    if let Some(constraint) = error.constraint()
        && !text.contains(constraint)
    {
        text = format!("{text} (constraint `{constraint}`)");
    }
    if let Some(hint) = error.hint() {
        text = format!("{text} (hint: {hint})");
    }
    text
}
