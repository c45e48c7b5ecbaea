//! Fair turns: where a worker is in the round of a lane's keys.
//!
//! The keys that have something due have their turns in order, and a turn is as many tasks as the key's weight. A claim
//! takes the next tasks of the round. Each worker goes round by itself: what each of them takes is fair, and so is what
//! all of them take.

/// How far the last claim from a lane came.
#[derive(Debug, Default)]
pub(super) struct Round {
    place: RoundPlace,
    /// Whether a claim has looked for tasks without a key since the last scan.
    has_looked: bool,
}

/// A place in the round.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RoundPlace {
    /// The key at which the last claim ended; absent before the first one.
    pub(crate) key: Option<String>,
    /// How many tasks of its turn that key has had.
    pub(crate) used: i64,
}

/// What a claim from a lane with fair turns tells besides its tasks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct FairEnd {
    pub(crate) place: RoundPlace,
    /// Whether the claim took all that is due of every key.
    pub(crate) is_end: bool,
}

impl Round {
    /// Returns where the next claim goes on.
    pub(super) fn place(&self) -> &RoundPlace {
        &self.place
    }

    /// Tells whether a claim is to look for tasks without a key: one after each scan does.
    pub(super) fn looks_for_keyless(&self) -> bool {
        !self.has_looked
    }

    pub(super) fn record_scan(&mut self) {
        self.has_looked = false;
    }

    /// Records where a claim ended.
    pub(super) fn record(&mut self, place: RoundPlace) {
        self.has_looked = true;
        if place.key.is_some() {
            self.place = place;
        }
    }
}

impl RoundPlace {
    /// Returns the place at which the turn of this key is over.
    pub(crate) fn behind(self) -> Self {
        Self {
            used: i64::MAX,
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_goes_on_where_the_last_one_ended() {
        let mut round = Round::default();
        assert!(round.looks_for_keyless());
        let place = RoundPlace {
            key: Some("{\"tenant_id\": 7}".to_owned()),
            used: 2,
        };
        round.record(place.clone());
        assert_eq!(*round.place(), place);
        round.record(RoundPlace::default());
        assert_eq!(*round.place(), place, "nothing was there");
        assert!(!round.looks_for_keyless());
        round.record_scan();
        assert!(round.looks_for_keyless());
    }
}
