//! One lane as a worker knows it: whether something of it is due, how far it has claimed, from where to look.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use super::cursor::Cursor;
use super::fair::Round;
use super::limit::Turn;
use super::mark::Mark;
use super::{Lane, LaneHead, Place};

/// A lane that held something at some time.
#[derive(Debug)]
pub(super) struct KnownLane {
    pub(super) lane: Lane,
    /// Whether its first task was due at the last scan, and the lane was not exhausted since.
    pub(super) is_due: bool,
    /// When its first task is due, if it was not at the last scan.
    pub(super) due_later: Option<Instant>,
    pub(super) cursor: Cursor,
    /// From where a scan may look. Suspects have none: they are few, and wait for nobody's scan from the heads.
    pub(super) mark: Option<Mark>,
    /// Until when its first task is taken for one that another worker is claiming, if it is.
    pub(super) claimed_until: Option<Instant>,
    /// How far the lane was reserved when this worker began to claim at its head.
    pub(super) frontier: Option<Place>,
    /// Whether other workers claimed from it at the last scan.
    pub(super) is_shared: bool,
    /// Whether the last claim had reserved a range of it.
    pub(super) is_reserved: bool,
    /// Whether chance decides what is claimed of it.
    pub(super) is_by_chance: bool,
    /// Its first task at the last scan.
    pub(super) first: Option<Place>,
    /// For how long that task had been due.
    pub(super) waited: Duration,
    /// When the last scan ended.
    pub(super) scanned: Instant,
    /// When it began, by Postgres's clock.
    pub(super) scanned_at: DateTime<Utc>,
    /// How many claims in a row have brought nothing of it while that was its first task.
    pub(super) empty_claims: u32,
    /// How it is claimed where it is limited.
    pub(super) turn: Turn,
    /// How it is claimed where its keys have fair turns.
    pub(super) round: Round,
}

impl KnownLane {
    pub(super) fn new(
        head: LaneHead,
        is_by_chance: bool,
        now: Instant,
        patience: Duration,
    ) -> Self {
        let cleared = head.cleared();
        let mut known = Self {
            is_due: false,
            due_later: None,
            cursor: Cursor::at(head.first.unwrap_or(cleared)),
            mark: (!head.lane.holds_suspects()).then(|| Mark::new(now, cleared)),
            claimed_until: None,
            frontier: head.frontier,
            is_shared: head.is_shared(),
            is_reserved: false,
            is_by_chance,
            first: None,
            waited: head.waited(),
            scanned: now,
            scanned_at: head.scanned_at,
            empty_claims: 0,
            turn: Turn::default(),
            round: Round::default(),
            lane: head.lane.clone(),
        };
        known.record_due(head.first, head.due_in, now);
        known.is_being_claimed(&head, now, patience);
        known
    }

    /// Returns for how long its first task has been due.
    pub(super) fn waited(&self, now: Instant) -> Duration {
        self.waited + now.saturating_duration_since(self.scanned)
    }

    /// Tells whether nothing is left of it after a claim that asked for some tasks and brought fewer.
    pub(super) fn is_exhausted_by(&self, brought: usize, asked: usize) -> bool {
        // Stretches that chance chose overlap, and what two of them hold is claimed once.
        let all = if self.is_by_chance { asked / 2 } else { asked };
        brought < all.max(1)
    }

    /// Returns the place behind which a scan is to look that does not begin at the heads: that of its mark, unless claims went
    /// back before it, or nothing has shown yet that its first task is gone.
    pub(super) fn looked_into_from(&self) -> Option<Place> {
        let mark = self.mark?.place();
        if self.tells_by_claims() {
            return Some(Place::END);
        }
        let gone_back_to = self.is_due.then_some(self.cursor.place());
        let taken_for_claimed = self.claimed_until.and(self.first).map(Place::before);
        let others = [gone_back_to, taken_for_claimed];
        others.into_iter().flatten().chain([mark]).min()
    }

    /// Tells whether claims tell that it holds more: only a scan from the heads looks into it, for what was left behind. Any
    /// other would walk over what all workers have claimed lately.
    fn tells_by_claims(&self) -> bool {
        self.is_due && self.is_shared && self.is_reserved
    }

    /// Records what a scan told that did not begin at the heads.
    pub(super) fn record_scan_from_mark(
        &mut self,
        head: &LaneHead,
        now: Instant,
        patience: Duration,
    ) {
        if !self.tells_by_claims() {
            return self.record_scan(head, now, patience);
        }
        self.record_scanned(head, head.waited_at(self.cursor.place()), now);
    }

    pub(super) fn record_scan(&mut self, head: &LaneHead, now: Instant, patience: Duration) {
        if let Some(mark) = &mut self.mark {
            mark.record(now, head.cleared());
        }
        self.round.record_scan();
        self.record_scanned(head, head.waited(), now);
        self.record_due(head.first, head.due_in, now);
        if let Some(first) = head.due()
            && !self.is_being_claimed(head, now, patience)
            && self.cursor.record_scan(first)
        {
            self.frontier = head.frontier;
        }
    }

    fn record_scanned(&mut self, head: &LaneHead, waited: Duration, now: Instant) {
        self.is_shared = head.is_shared();
        (self.waited, self.scanned, self.scanned_at) = (waited, now, head.scanned_at);
    }

    /// Looks whether its first task is to be taken for one that another worker is claiming.
    fn is_being_claimed(&mut self, head: &LaneHead, now: Instant, patience: Duration) -> bool {
        let may_be = self.is_shared && !self.is_by_chance;
        let places = head.due().zip(head.frontier).filter(|_| may_be);
        let places = places.filter(|(first, frontier)| first <= frontier);
        self.claimed_until = places.and_then(|(first, frontier)| {
            (self.cursor).being_claimed_until(first, frontier, now, patience)
        });
        self.claimed_until.is_some()
    }

    pub(super) fn record_due(&mut self, first: Option<Place>, due_in: Duration, now: Instant) {
        if self.first != first {
            self.first = first;
            self.empty_claims = 0;
        }
        self.claimed_until = None;
        self.is_due = first.is_some() && due_in.is_zero();
        if self.is_due {
            self.turn.begin_anew();
        }
        let is_later = first.is_some() && !due_in.is_zero();
        self.due_later = is_later.then(|| now + due_in);
    }

    /// Records that a claim had reserved a range of it that begins here, if it had.
    pub(super) fn record_reserved(&mut self, start: Option<Place>) {
        self.is_reserved = start.is_some();
        // What stands before was reserved too, and is looked for from the heads.
        if let (Some(mark), Some(start)) = (&mut self.mark, start) {
            mark.record(Instant::now(), start);
        }
    }

    /// Records that a claim has brought something of it. More is there than what is taken for being claimed.
    pub(super) fn record_brought(&mut self) {
        (self.empty_claims, self.claimed_until) = (0, None);
    }

    /// Records that a claim of all that stands behind its cursor brought less than it asked for. What stands before that place others
    /// have reserved, if it was reserved, and from the mark on a scan would walk over it.
    pub(super) fn record_exhausted(&mut self, reserved: Option<Place>) {
        self.cursor.record_exhausted();
        if let (Some(mark), Some(start)) = (&mut self.mark, reserved) {
            mark.move_on(start, self.scanned_at);
        }
    }

    pub(super) fn record_empty(&mut self) {
        self.is_due = false;
        (self.due_later, self.claimed_until) = (None, None);
    }
}
