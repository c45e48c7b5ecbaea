//! What holds for the effects of a handler.

/// What holds for a handler's effects. The handler's signature decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// Without `&mut`: the handler runs at least once.
    AtLeastOnce,
    /// With `&mut tx`: its effects in this database happen exactly once, or not at all.
    Transactional,
    /// With `&mut` [`LazyTx`](crate::LazyTx): the handler runs at least once. From [`begin`](crate::LazyTx::begin) on, its
    /// effects in this database happen exactly once, or not at all.
    LazilyTransactional,
}

impl Delivery {
    /// Tells whether the task completes in its handler's transaction, or may.
    pub(crate) fn has_transaction(self) -> bool {
        self != Self::AtLeastOnce
    }
}
