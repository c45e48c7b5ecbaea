//! The transaction that a handler with `&mut tx` works in.

use std::ops::{Deref, DerefMut};

use sqlx::{PgConnection, Postgres, Transaction};

/// The transaction in which a handler works and its task completes.
///
/// It dereferences to [`PgConnection`], which a handler may ask for instead. Committing and
/// rolling back are the worker's: a handler that succeeds commits, one that fails is rolled back.
/// A nested `tx.begin()` is a savepoint, and allowed.
#[derive(Debug)]
pub struct Tx {
    pub(crate) transaction: Transaction<'static, Postgres>,
}

impl Deref for Tx {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.transaction
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.transaction
    }
}
