//! What a task type may say of its failures.

#![forbid(unsafe_code)]
#![deny(warnings)]

use std::error::Error;
use std::time::Duration;

use sqlx::PgConnection;
use taskq::handler::Task;
use taskq::Discarded;

mod told {
    use super::*;

    // The names are those that the macro might use, and must not.
    pub async fn on_discard(
        payload: crate::Charge,
        discarded: Discarded<'_>,
        tx: &mut PgConnection,
    ) -> Result<(), String> {
        let _ = (payload.n, discarded.error(), tx);
        Ok(())
    }
}

#[taskq::task(
    retry = by_error,
    timeout = self::by_size,
    max_snoozes = 65535,
    give_up_after = "2d",
    on_discard = told::on_discard
)]
async fn charge(n: i64) {
    let _ = n;
}

fn by_error(payload: &Charge, attempt: u16, error: &(dyn Error + 'static)) -> Duration {
    let _ = error.is::<taskq::error::TimedOut>();
    Duration::from_secs(payload.n.unsigned_abs() + u64::from(attempt))
}

fn by_size(payload: &Charge) -> Duration {
    Duration::from_secs(payload.n.unsigned_abs())
}

// An error whose lifetime is left open fits too.
#[taskq::task(retry = simply, on_discard = on_discard)]
async fn simple() {}

fn simply(_: &Simple, _: u16, _: &dyn Error) -> Duration {
    Duration::ZERO
}

async fn on_discard(_: Simple, _: Discarded<'_>, _tx: &mut PgConnection) {}

#[taskq::task(retry = "exponential(5s, 6h)")]
async fn exponential() {}

#[taskq::task(retry = "linear(10s, 1h)")]
async fn linear() {}

#[taskq::task(retry = "fixed(1m)")]
async fn fixed() {}

#[taskq::task(retry = "10s, 1m, 10m")]
async fn listed() {}

fn main() {
    assert!(Charge::RETRY.is_some() && Charge::TIMEOUT.is_some() && Charge::ON_DISCARD.is_some());
    assert!(Fixed::RETRY.is_none() && Fixed::TIMEOUT.is_none() && Fixed::ON_DISCARD.is_none());
    for (declaration, part) in [
        (Exponential::DECLARATION, "first: 5s, longest: 21600s"),
        (Linear::DECLARATION, "step: 10s, longest: 3600s"),
        (Fixed::DECLARATION, "Fixed(60s)"),
        (Listed::DECLARATION, "List([10s, 60s, 600s])"),
        (Charge::DECLARATION, "max_snoozes: Some(65535)"),
        (Charge::DECLARATION, "give_up_after: Some(172800s)"),
    ] {
        let declaration = format!("{declaration:?}");
        assert!(declaration.contains(part), "{part} in {declaration}");
    }
}
