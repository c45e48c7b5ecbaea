//! What is wrong on the way to the server: the tables know nothing of that.

use std::time::Duration;

use sqlx::PgPool;
use tokio::time::timeout;

use super::ailment::{Ailment, Severity};
use crate::operate::number::number;
use crate::store::look_at_way;

/// A clock that is further off than this misleads people.
const TOLERANCE: f64 = 5.0;

/// For how long two new connections are waited for.
const LIMIT: Duration = Duration::from_secs(5);

/// Says what is wrong between this process and the server.
pub(super) async fn ailments(pool: &PgPool) -> Vec<Ailment> {
    match timeout(LIMIT, look_at_way(pool)).await {
        Ok(Ok(way)) => {
            let pooler = way.is_pooled.then(pooler);
            clock(way.ahead).into_iter().chain(pooler).collect()
        }
        Ok(Err(error)) => vec![unreached(&error.to_string())],
        Err(_) => vec![unreached("no answer within five seconds")],
    }
}

fn clock(ahead: f64) -> Option<Ailment> {
    let way = if ahead > 0.0 { "ahead of" } else { "behind" };
    #[expect(
        clippy::cast_possible_truncation,
        reason = "no clock is off by as much"
    )]
    let off = number(ahead.abs().round() as i64);
    (ahead.abs() > TOLERANCE).then(|| Ailment {
        said: format!(
            "the clock of this machine is {off} s {way} that of Postgres: what programs here compute of times, such as when a task is due, is off by as much"
        ),
        advice: "have the clocks of both set by NTP".to_owned(),
        ..Ailment::warning("clock", "clock")
    })
}

fn pooler() -> Ailment {
    Ailment {
        said: "a pooler in transaction mode stands before Postgres: notifications do not come through it".to_owned(),
        advice: "connect workers past it, or have them poll by .listen(false); PgBouncer must be 1.21 or newer, with max_prepared_statements set".to_owned(),
        ..Ailment::warning("pooler", "pooler")
    }
}

fn unreached(why: &str) -> Ailment {
    Ailment {
        severity: Severity::Error,
        said: format!("Postgres takes no further connection: {why}"),
        advice: "have pools of fewer connections, or more of max_connections".to_owned(),
        ..Ailment::warning("connections", "connections")
    }
}

#[cfg(test)]
mod tests {
    use super::clock;

    #[test]
    fn a_clock_that_is_off_is_told_in_which_direction() {
        assert_eq!(clock(4.0), None);
        assert_eq!(clock(-4.0), None);
        let said = |ahead| clock(ahead).map(|it| it.said).unwrap_or_default();
        assert!(said(90.2).starts_with("the clock of this machine is 90 s ahead of that"));
        assert!(said(-90.2).starts_with("the clock of this machine is 90 s behind that"));
        assert!(said(3_600.0).starts_with("the clock of this machine is 3,600 s ahead of that"));
    }
}
