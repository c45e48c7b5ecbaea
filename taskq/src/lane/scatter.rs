//! Claims of task types whose order is chance.
//!
//! Such a claim takes a few tasks behind each of some places, and what is missing from the head of the lane. The cursor
//! of the lane stays at its head: what was taken somewhere says nothing of what stands before.

use super::{Place, Share};

/// Behind so many places one claim takes at the most.
const MOST_PLACES: usize = 64;

/// A stretch of a lane, from a place by chance on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stretch {
    /// Of which of the shares that were asked for, from zero on.
    pub(crate) share: usize,
    pub(crate) start: Place,
    /// The lane's last task that is due.
    pub(crate) end: Place,
}

impl Share {
    /// Returns behind how many places a claim of this share begins.
    pub(crate) fn places(&self) -> usize {
        self.limit.min(MOST_PLACES)
    }
}

/// Divides each share among its stretches; what they do not hold the head of its lane gives.
pub(crate) fn scatter(shares: Vec<Share>, stretches: &[Stretch]) -> Vec<Share> {
    let mut scattered = Vec::with_capacity(shares.len() + stretches.len());
    let mut asked = 0;
    for share in shares {
        if share.is_by_chance {
            let of_share = stretches.iter().filter(|it| it.share == asked);
            let limit = share.limit.div_ceil(share.places().max(1));
            scattered.extend(of_share.map(|it| Share {
                cursor: it.start,
                range_end: Some(it.end),
                limit,
                ..share.clone()
            }));
            asked += 1;
        }
        scattered.push(share);
    }
    scattered
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lane::fixtures::{lane, place};

    fn share(task_type: &str, limit: usize, is_by_chance: bool) -> Share {
        Share {
            lane: lane(task_type, 0, 0),
            cursor: place(0),
            is_reserved: false,
            range_end: None,
            limit,
            rank: 0,
            is_by_chance,
            at: 0,
        }
    }

    #[test]
    fn a_share_is_divided_among_its_places_and_the_head_gives_the_rest() {
        let shares = vec![
            share("a", 10, false),
            share("b", 2, true),
            share("c", 640, true),
        ];
        assert_eq!((shares[1].places(), shares[2].places()), (2, 64));
        let stretch = |share, start| Stretch {
            share,
            start: place(start),
            end: place(1000),
        };
        let stretches = [stretch(0, 40), stretch(0, 20), stretch(1, 7)];
        let scattered = scatter(shares, &stretches);
        let taken: Vec<_> = scattered
            .iter()
            .map(|it| (&*it.lane.task_type, it.cursor.task_id, it.limit))
            .collect();
        assert_eq!(
            taken,
            [
                ("a", 0, 10),
                ("b", 40, 1),
                ("b", 20, 1),
                ("b", 0, 2),
                ("c", 7, 10),
                ("c", 0, 640)
            ]
        );
    }
}
