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

/// A type that a handler's one `&mut` argument may have.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a transaction handle",
    label = "not a transaction handle",
    note = "the one `&mut` argument is this task's transaction: `&mut sqlx::PgConnection`, `&mut taskq::Tx` or `&mut sqlx::Transaction<'_, Postgres>`",
    note = "worker state is borrowed with `&`, a payload field is owned"
)]
pub trait TxHandle: sealed::Sealed {
    #[doc(hidden)]
    fn of(tx: &mut Tx) -> &mut Self;
}

#[diagnostic::do_not_recommend]
impl TxHandle for PgConnection {
    fn of(tx: &mut Tx) -> &mut Self {
        tx
    }
}

#[diagnostic::do_not_recommend]
impl TxHandle for Tx {
    fn of(tx: &mut Tx) -> &mut Self {
        tx
    }
}

#[diagnostic::do_not_recommend]
impl TxHandle for Transaction<'static, Postgres> {
    fn of(tx: &mut Tx) -> &mut Self {
        &mut tx.transaction
    }
}

mod sealed {
    use super::{PgConnection, Postgres, Transaction, Tx};

    pub trait Sealed {}
    impl Sealed for PgConnection {}
    impl Sealed for Tx {}
    impl Sealed for Transaction<'static, Postgres> {}
}
