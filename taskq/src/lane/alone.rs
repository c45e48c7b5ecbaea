//! What a worker knows of lanes that claims of their own are made of: limited ones, and those whose keys have fair turns.

use std::time::Instant;

use super::due::DueLanes;
use super::fair::{FairEnd, RoundPlace};
use super::limit::LimitedEnd;
use super::{Lane, Place, Share};

impl DueLanes {
    /// Returns behind which key a claim from a share's lane goes on, where that is limited by key.
    pub(crate) fn passed_key(&self, share: &Share) -> Option<&str> {
        self.lanes.get(share.at)?.turn.passed_key()
    }

    /// Records what a claim from a limited lane brought and told: how many tasks, and the place of the last of them.
    pub(crate) fn record_limited(
        &mut self,
        share: &Share,
        brought: usize,
        last: Option<Place>,
        end: LimitedEnd,
        now: Instant,
    ) {
        let Some(known) = self.lanes.get_mut(share.at) else {
            return;
        };
        known.record_reserved(None);
        let keeps_cursor = end.last_key.is_some() || known.is_by_chance;
        if let Some(last) = last.filter(|_| !keeps_cursor) {
            known.cursor.record_claimed(last.max(share.cursor));
        }
        if known.turn.record(end, brought < share.limit, now) {
            known.is_due = false;
            if !known.is_by_chance {
                known.cursor.record_exhausted();
            }
        }
    }

    /// Returns where a claim from a share's lane goes on, whose keys have fair turns, and whether it is to look for
    /// tasks without a key.
    pub(crate) fn round(&self, share: &Share) -> (RoundPlace, bool) {
        let known = self.lanes.get(share.at);
        known
            .map(|known| (known.round.place().clone(), known.round.looks_for_keyless()))
            .unwrap_or_default()
    }

    /// Records how many tasks a claim from a lane with fair turns brought, and what it told. The cursor stays at the
    /// head: what was taken of some keys says nothing of the others.
    pub(crate) fn record_fair(&mut self, share: &Share, brought: usize, end: FairEnd) {
        let Some(known) = self.lanes.get_mut(share.at) else {
            return;
        };
        known.record_reserved(None);
        known.round.record(end.place);
        let is_exhausted = end.is_end && brought < share.limit;
        known.empty_claims = match brought {
            0 => known.empty_claims + u32::from(is_exhausted),
            _ => 0,
        };
        if is_exhausted {
            known.is_due = false;
            known.cursor.record_exhausted();
        }
    }

    /// Has claims made again from limited lanes that were full, because something has ended: of which keys of a lane, if
    /// it is known.
    pub(crate) fn open_limited(&mut self, freed: impl Fn(&Lane) -> Vec<String>, now: Instant) {
        for known in &mut self.lanes {
            if known.turn.open_for(|| freed(&known.lane), now) {
                known.is_due = true;
            }
        }
    }

    /// Has claims made again from limited lanes for which it is time.
    pub(crate) fn open_timed(&mut self, now: Instant) {
        for known in &mut self.lanes {
            if known.turn.open_at(now) {
                known.is_due = true;
            }
        }
    }

    /// Returns the keys of which something has ended since a share's lane was full, where no other can have room.
    pub(crate) fn freed(&self, share: &Share) -> Option<&[String]> {
        self.lanes.get(share.at)?.turn.freed()
    }
}
