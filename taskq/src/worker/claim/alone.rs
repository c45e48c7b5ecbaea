//! Shares that a claim of its own is made of.

use crate::lane::Share;

/// The share of a lane that no claim takes from together with others.
pub(super) enum Alone {
    /// Within limits, or by keys of which one runs at a time.
    Limited(Share),
    /// In fair turns of its keys.
    Fair(Share),
}
