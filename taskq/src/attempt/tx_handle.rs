//! What a handler's `&mut` argument may be, and how it is had of the transaction.

use sqlx::{PgConnection, Postgres, Transaction};

use crate::attempt::delivery::Delivery;
use crate::attempt::lazy::LazyTx;
use crate::attempt::tx::Tx;

/// A type that a handler's one `&mut` argument may have.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a transaction handle",
    label = "not a transaction handle",
    note = "the one `&mut` argument is this task's transaction: `&mut sqlx::PgConnection`, `&mut taskq::Tx` or `&mut sqlx::Transaction<'_, Postgres>`; as `&mut taskq::LazyTx` it begins when the handler asks for it",
    note = "worker state is borrowed with `&`, a payload field is owned"
)]
pub trait TxHandle: sealed::Sealed {
    #[doc(hidden)]
    const DELIVERY: Delivery;

    #[doc(hidden)]
    fn of(given: GivenTx<'_>) -> &mut Self;
}

/// The transaction of an attempt, as its worker gives it.
#[derive(Debug)]
pub enum GivenTx<'a> {
    /// One that has begun.
    Begun(&'a mut Tx),
    /// One that begins when the handler asks for it.
    Lazy(&'a mut LazyTx),
}

impl<'a> GivenTx<'a> {
    fn begun(self) -> &'a mut Tx {
        match self {
            Self::Begun(tx) => tx,
            Self::Lazy(_) => panic!("the handler is declared `LazilyTransactional`: take `LazyTx`"),
        }
    }
}

#[diagnostic::do_not_recommend]
impl TxHandle for PgConnection {
    const DELIVERY: Delivery = Delivery::Transactional;

    fn of(given: GivenTx<'_>) -> &mut Self {
        given.begun()
    }
}

#[diagnostic::do_not_recommend]
impl TxHandle for Tx {
    const DELIVERY: Delivery = Delivery::Transactional;

    fn of(given: GivenTx<'_>) -> &mut Self {
        given.begun()
    }
}

#[diagnostic::do_not_recommend]
impl TxHandle for Transaction<'static, Postgres> {
    const DELIVERY: Delivery = Delivery::Transactional;

    fn of(given: GivenTx<'_>) -> &mut Self {
        given.begun().transaction()
    }
}

#[diagnostic::do_not_recommend]
impl TxHandle for LazyTx {
    const DELIVERY: Delivery = Delivery::LazilyTransactional;

    fn of(given: GivenTx<'_>) -> &mut Self {
        match given {
            GivenTx::Lazy(lazy) => lazy,
            GivenTx::Begun(_) => {
                panic!("the handler is not declared `LazilyTransactional`: it cannot take `LazyTx`")
            }
        }
    }
}

mod sealed {
    use super::{LazyTx, PgConnection, Postgres, Transaction, Tx};

    pub trait Sealed {}
    impl Sealed for PgConnection {}
    impl Sealed for Tx {}
    impl Sealed for LazyTx {}
    impl Sealed for Transaction<'static, Postgres> {}
}
