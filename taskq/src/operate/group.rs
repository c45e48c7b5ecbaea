//! Which groups there are, and saying of one that all its members are there.

use super::act::Act;
use super::pause::Operator;
use crate::error::OperateError;
pub use crate::task::group_status::GroupStatus;

impl Operator {
    /// Lists groups, so many at the most: those that are open first, and of these the newest.
    ///
    /// ```no_run
    /// # async fn f(pool: sqlx::PgPool) -> Result<(), taskq::OperateError> {
    /// for group in taskq::operate(&pool).groups(100).await? {
    ///     println!("{group}"); // group 7 for tell_sender: open, 12 of 1000 members left
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
    pub async fn groups(&self, most: u32) -> Result<Vec<GroupStatus>, OperateError> {
        let groups = self.store().groups(most.into(), None).await;
        groups.map_err(|error| self.error(error))
    }

    /// Tells of one group; `None` if it is not there, or ended long ago.
    ///
    /// # Errors
    ///
    /// See [`OperateError`].
    ///
    /// # Cancel safety
    ///
    /// The tables are only read, so the future may be dropped at any time.
    pub async fn group(&self, group_id: i64) -> Result<Option<GroupStatus>, OperateError> {
        let groups = self.store().groups(1, Some(group_id)).await;
        Ok(groups.map_err(|error| self.error(error))?.pop())
    }

    /// Says in the place of whoever has begun a group that all its members are there: it ends when they have.
    ///
    /// ```no_run
    /// # async fn f(pool: sqlx::PgPool) -> Result<(), taskq::OperateError> {
    /// let operator = taskq::operate(&pool).as_user("ada");
    /// operator.seal_group(7).because("the import died after the last row").await?;
    /// # Ok(()) }
    /// ```
    pub fn seal_group(&self, group_id: i64) -> Act<()> {
        self.act(
            move |mut store, signed| async move { store.seal_group_as(group_id, &signed).await },
        )
    }
}
