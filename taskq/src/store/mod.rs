//! Everything that taskq says to Postgres. One file in `sql/` and one method of [`Store`] for each verb,
//! one folder and one file here for each room.

mod array;
mod audit;
mod bulk;
mod check;
mod claim;
mod claimed;
mod deferrable;
mod doctor;
mod enqueue;
mod fair;
mod find;
mod fleet;
#[cfg(feature = "metrics")]
mod gauges;
mod group;
mod history;
mod interruption;
#[cfg(feature = "encryption")]
mod keys;
mod lease;
mod leave;
mod limited;
mod limits;
mod link;
mod log;
mod operate;
mod places;
mod progress;
mod refusal;
mod savepoint;
#[cfg(feature = "cron")]
mod schedule;
mod schema;
mod sequences;
mod session;
mod statements;
mod transaction;
mod uncommitted;
mod wait;
mod watch;

use std::time::Duration;

use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::{Arguments, Error, PgConnection, PgPool, Postgres};

#[cfg(any(feature = "cli", feature = "dashboard"))]
pub(crate) use self::audit::LastWordRow;
pub(crate) use self::audit::{AuditRow, Signed};
pub(crate) use self::bulk::{BulkRequest, BulkRow, RetriedRow};
pub(crate) use self::check::{CheckedRow, ForeignKey, Page};
pub(crate) use self::claim::{ClaimRequest, Sharing};
pub(crate) use self::claimed::{ClaimedLease, ClaimedTask, Scarcity, version_of};
pub(crate) use self::doctor::look_at_way;
pub(crate) use self::enqueue::{
    Copy, holder_of_key, is_busy, is_too_large, is_unserializable, refusal_of_group, refused_index,
    refused_row,
};
pub(crate) use self::fair::FairRequest;
pub(crate) use self::find::{CauseRow, FoundCause, FoundPlace, FoundRow};
pub(crate) use self::fleet::{CensusRow, NewerRow, WorkerRow};
#[cfg(all(feature = "metrics", test))]
pub(crate) use self::gauges::GaugesKind;
#[cfg(feature = "metrics")]
pub(crate) use self::gauges::{GaugesRow, PrunedRow};
pub(crate) use self::group::MixedRow;
pub(crate) use self::interruption::{
    is_interruption, is_lost, is_read_only, mixes_up_statements, writes_nothing,
};
#[cfg(feature = "encryption")]
pub(crate) use self::keys::{OldKeyRow, Place};
pub(crate) use self::lease::ExpiredRow;
pub(crate) use self::leave::RescuedRow;
pub(crate) use self::limited::{LimitedRequest, read_limits};
use self::link::Link;
pub(crate) use self::link::knock;
#[cfg(feature = "testing")]
pub(crate) use self::operate::{Elsewhere, TaskOfType};
pub(crate) use self::operate::{ResultRow, read_pauses};
pub(crate) use self::progress::WatchedRow;
pub(crate) use self::refusal::{Refusal, has_met_others, is_locked, is_too_much};
#[cfg(feature = "testing")]
pub(crate) use self::savepoint::{ACCEPT_INLINE, RELEASE, SAVEPOINT, undo_inline};
#[cfg(feature = "cron")]
pub(crate) use self::schedule::{DueRow, ScheduleRow, TakenTicks};
pub use self::schema::Schema;
pub(crate) use self::session::{FreshSession, Habits, end_backend};
pub(crate) use self::statements::in_schema;
pub(crate) use self::transaction::{Committed, Completion, OwnStatements};
pub(crate) use self::uncommitted::{CompletionError, has_ended, is_isolated, is_lease_gone};
#[cfg(feature = "dashboard")]
pub(crate) use self::watch::MinuteTotal;
pub(crate) use self::watch::{Counted, KindRow, MinuteRow, StatsRow, WorkerStatusRow};
use crate::error::veiled;

/// A connection, and the schema whose tables are spoken to. Its methods are the verbs.
#[derive(Debug)]
pub(crate) struct Store<'c> {
    connection: Connection<'c>,
    schema: Schema,
}

#[derive(Debug)]
enum Connection<'c> {
    /// The caller's, in whatever transaction it is.
    Lent(&'c mut PgConnection),
    /// One of the pool's, kept between calls, each of which has a time limit.
    Kept(Link),
}

impl<'c> Store<'c> {
    /// Speaks on the caller's connection, and so in the caller's transaction.
    pub(crate) fn on(connection: &'c mut PgConnection, schema: Schema) -> Self {
        Self {
            connection: Connection::Lent(connection),
            schema,
        }
    }
}

impl Store<'static> {
    /// Speaks on a connection of the pool, which is taken with the first call and kept until one fails.
    pub(crate) fn keeping(pool: PgPool, schema: Schema) -> Self {
        Self {
            connection: Connection::Kept(Link::new(pool)),
            schema,
        }
    }
}

impl Store<'_> {
    #[cfg(feature = "cron")]
    pub(crate) fn schema(&self) -> Schema {
        self.schema
    }

    /// Tells whether it is the caller's transaction, in which nothing more can be said after an error.
    pub(crate) fn is_lent(&self) -> bool {
        matches!(self.connection, Connection::Lent(_))
    }

    /// Tells whether a claim may delete tasks that it has not locked. What such a claim sets holds until its transaction ends, so
    /// that has to be its own.
    pub(crate) fn may_delete_unlocked(&self) -> bool {
        match &self.connection {
            Connection::Lent(_) => false,
            Connection::Kept(link) => link.server_version().is_some_and(places::are_looked_at),
        }
    }

    /// Returns about how long a call takes in which Postgres has nothing to do, on a connection that is kept.
    pub(crate) fn round_trip(&self) -> Duration {
        match &self.connection {
            Connection::Lent(_) => Duration::ZERO,
            Connection::Kept(link) => link.round_trip(),
        }
    }

    /// Makes one call. An error says nothing of rows: it is a veiled one.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped a kept connection is closed.
    async fn call<T>(
        &mut self,
        call: impl AsyncFnOnce(&mut PgConnection) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let answer = match &mut self.connection {
            Connection::Lent(connection) => call(connection).await,
            Connection::Kept(link) => link.call(call).await,
        };
        answer.map_err(veiled)
    }

    async fn execute(&mut self, query: Query<'_, Postgres, PgArguments>) -> Result<(), Error> {
        self.call(async |db| query.execute(db).await.map(drop))
            .await
    }
}

/// Returns arguments that have room for so many: without, they grow at nearly each. Statements that are said for each
/// task or batch begin with it.
fn arguments(count: usize) -> PgArguments {
    const SIZE: usize = 40;
    let mut arguments = PgArguments::default();
    arguments.reserve(count, count * SIZE);
    arguments
}

fn column<'a, T, C>(rows: &'a [T], value: impl Fn(&'a T) -> C) -> Vec<C> {
    rows.iter().map(value).collect()
}

fn saturating_i16(number: u16) -> i16 {
    i16::try_from(number).unwrap_or(i16::MAX)
}

fn saturating_i32(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

fn saturating_i64(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
