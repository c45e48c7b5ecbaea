//! The transaction that a handler with `&mut tx` works in.

use std::ops::{Deref, DerefMut};

use sqlx::{PgConnection, Postgres, Transaction};

/// The transaction in which a handler works and its task completes.
///
/// It dereferences to [`PgConnection`], which a handler may ask for instead. Committing and
/// rolling back are the worker's: a handler that succeeds commits, one that fails is rolled back.
/// A nested `tx.begin()` is a savepoint, and allowed. The isolation level is read committed and must stay so: an attempt that
/// has changed it fails.
#[derive(Debug)]
pub struct Tx {
    /// Absent while a test has lent it.
    transaction: Option<Transaction<'static, Postgres>>,
}

const LENT: &str = "the transaction was lent to a handler, and the future that runs it was dropped";

impl Tx {
    pub(crate) fn new(transaction: Transaction<'static, Postgres>) -> Self {
        Self {
            transaction: Some(transaction),
        }
    }

    pub(crate) fn transaction(&mut self) -> &mut Transaction<'static, Postgres> {
        self.transaction.as_mut().expect(LENT)
    }

    pub(crate) fn into_transaction(self) -> Transaction<'static, Postgres> {
        self.transaction.expect(LENT)
    }

    /// Takes the transaction away, until it is given back.
    #[cfg(feature = "testing")]
    pub(crate) fn lend(&mut self) -> Self {
        Self::new(self.transaction.take().expect(LENT))
    }

    #[cfg(feature = "testing")]
    pub(crate) fn take_back(&mut self, lent: Self) {
        self.transaction = lent.transaction;
    }
}

impl Deref for Tx {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        self.transaction.as_ref().expect(LENT)
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut PgConnection {
        self.transaction()
    }
}
