//! What is wrong, in plain words.

mod acknowledge;
mod ailment;
#[cfg(any(feature = "dashboard", feature = "top"))]
mod last_look;
#[cfg(feature = "dashboard")]
mod shared_look;
mod way;

pub use self::acknowledge::Acknowledging;
pub use self::ailment::{Acknowledged, Ailment, Severity};
#[cfg(any(feature = "dashboard", feature = "top"))]
pub(crate) use self::last_look::LastLook;
#[cfg(feature = "dashboard")]
pub(crate) use self::shared_look::SharedLook;
use super::act::Act;
use super::migrate::KNOWN;
use super::pause::Operator;
use crate::error::OperateError;

impl Operator {
    /// Says what is wrong, errors first: what an operator would look for at three in the morning. What somebody has
    /// [acknowledged](Self::acknowledge) comes last.
    ///
    /// It looks for tables older than this program; task types and queues without a living worker; workers that
    /// vanished and leases that nobody rescues; attempts that are perhaps stuck; what died in the last day, by
    /// [cause](Operator::causes); what Postgres has refused; pauses, limits of nothing and limits that do not hold,
    /// sequences that wait at a dead task, schedules that are late; queues that get more than they get done, and how long
    /// they take. Then for transactions, replication slots and standbys that keep dead rows, vacuum that does not come,
    /// indexes that do not serve, claims that go by none; connections that run out; settings and an encoding that hurt; rights
    /// that a role lacks. At last for what this process alone sees: a pooler in transaction mode, and a clock that is
    /// wrong. It sees of other roles' sessions what its own role may see.
    ///
    /// It reads no more than some thousand rows of each kind, and of dead tasks 100,000.
    ///
    /// ```no_run
    /// # async fn f(pool: sqlx::PgPool) -> Result<(), taskq::OperateError> {
    /// for ailment in taskq::operate(&pool).doctor().await? {
    ///     // warning: queue mail has been paused for 3 hours by ada (SMTP is down): …
    ///     println!("{ailment}");
    ///     println!("{}", ailment.advice); // resume the queue once the reason is gone
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// See [`OperateError`].
    ///
    /// # Cancel safety
    ///
    /// The tables are only read, so the future may be dropped at any time.
    pub async fn doctor(&self) -> Result<Vec<Ailment>, OperateError> {
        self.doctor_with(way::ailments(self.pool())).await
    }

    /// Does what [`doctor`](Self::doctor) does, for somebody who asks again and again.
    #[cfg(any(feature = "dashboard", feature = "top"))]
    pub(crate) async fn doctor_again(&self, last: &LastLook) -> Result<Vec<Ailment>, OperateError> {
        self.doctor_with(last.ailments(self.pool())).await
    }

    /// Does what [`doctor`](Self::doctor) does, or says what a look has found that is not two seconds old.
    #[cfg(feature = "dashboard")]
    pub(crate) async fn doctor_shared(
        &self,
        shared: &SharedLook,
    ) -> Result<Vec<Ailment>, OperateError> {
        shared.ailments(self.doctor_again(&shared.way)).await
    }

    async fn doctor_with(
        &self,
        way: impl Future<Output = Vec<Ailment>>,
    ) -> Result<Vec<Ailment>, OperateError> {
        let mut store = self.store();
        let version = store.schema_version().await;
        let (version, _) = version.map_err(|error| self.error(error))?;
        let version = version.unwrap_or(0);
        if version < KNOWN {
            return Ok(vec![of_old_tables(version)]);
        }
        // Beside each other: each way is a session that has to begin first.
        let (found, mut way) = tokio::join!(store.doctor(self.patience), way);
        let mut found: Vec<Ailment> = found.map_err(|error| self.error(error))?;
        self.mark(&mut way).await?;
        found.extend(way);
        found.sort_by_key(|ailment| (ailment.acknowledged.is_some(), ailment.severity));
        Ok(found)
    }
}

impl Operator {
    /// Ends a session of the database that has a transaction open, by the id of its process, and returns its last statement.
    /// Whoever runs it gets an error, and what it has written is rolled back.
    ///
    /// Your role must be that of the session, a member of it or of `pg_signal_backend`, or a superuser.
    ///
    /// ```no_run
    /// # async fn f(pool: sqlx::PgPool) -> Result<(), taskq::OperateError> {
    /// let operator = taskq::operate(&pool).as_user("ada");
    /// operator.end_session(4242).because("forgotten since yesterday").await?;
    /// # Ok(()) }
    /// ```
    pub fn end_session(&self, process_id: i32) -> Act<String> {
        self.act(async move |mut store, signed| store.end_session(process_id, &signed).await)
    }
}

fn of_old_tables(version: i32) -> Ailment {
    Ailment {
        severity: Severity::Error,
        said: format!(
            "the tables are of version {version}, and this program needs version {KNOWN}: its workers do not start"
        ),
        advice: "bring them up to date".to_owned(),
        command: Some("migrate".to_owned()),
        ..Ailment::warning("old tables", "migration")
    }
}
