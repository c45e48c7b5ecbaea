//! Who has the commands.

/// Which program has the commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Face {
    /// One with handlers, and with these commands alone.
    Worker,
    /// One that has others too. What has a shell complete all of them is its own affair.
    Mounted,
    /// `taskq`, which has none.
    Alone,
}
