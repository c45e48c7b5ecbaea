//! Where an option may stand.

/// The attribute that options stand in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// `#[task(…)]` on a handler.
    Task,
    /// `#[taskq(…)]` on a payload.
    Payload,
}

/// What an option says something about, and so where it may stand.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject {
    /// How tasks are enqueued and stored: in `#[taskq]`, and in the `#[task]` that makes the payload.
    Payload,
    /// The struct to be made: in the `#[task]` that makes it.
    Struct,
    /// How tasks are run: in `#[task]`.
    Handler,
    /// What a payload's handler returns: in `#[taskq]` alone.
    Returned,
    /// Where taskq is: anywhere.
    Crate,
}

impl Subject {
    pub(super) fn may_stand_in(self, place: Place) -> bool {
        match place {
            Place::Task => self != Self::Returned,
            Place::Payload => matches!(self, Self::Payload | Self::Returned | Self::Crate),
        }
    }
}
