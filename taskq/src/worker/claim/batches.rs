//! Claims where a queue has tasks that run in batches: of one lane at a time, and as many as make batches full.

use super::Claimer;
use crate::lane::Share;
use crate::lane::suspects::Claimable;

impl Claimer<'_> {
    /// Leaves the share of one lane whose tasks run in batches, or those of lanes whose tasks do not, with as much as there is
    /// room for. Returns how much that is together, of `limit` at the most.
    pub(super) fn keep_what_fits(
        &mut self,
        at: usize,
        claimable: Claimable,
        shares: &mut Vec<Share>,
        limit: usize,
    ) -> usize {
        let buffer = &self.core.buffers[at];
        // Suspects run alone.
        if !buffer.has_batches() || claimable != Claimable::Fresh {
            return limit;
        }
        let of_batch = |share: &Share| buffer.room_of_batch(&share.lane.task_type);
        // Shares stand in an order by chance.
        while let Some(first) = shares.first() {
            let room = of_batch(first)
                .unwrap_or_else(|| buffer.own_room())
                .min(limit);
            match of_batch(first) {
                Some(_) if room > 0 => {
                    let mut share = shares.swap_remove(0);
                    share.limit = room;
                    *shares = vec![share];
                    return room;
                }
                Some(_) => drop(shares.remove(0)),
                None if room > 0 => {
                    shares.retain(|share| of_batch(share).is_none());
                    for share in shares {
                        share.limit = share.limit.min(room);
                    }
                    return room;
                }
                None => shares.retain(|share| of_batch(share).is_some()),
            }
            self.queues[at].is_crowded = shares.is_empty();
        }
        limit
    }
}
