//! How long a worker takes what stands before a lane's frontier for tasks that are being claimed.

use std::time::Duration;

/// A claim that is under way may take so many times as long as the longest of the last ones…
const TIMES: u32 = 4;

/// … of which so many count…
const COMPARED: usize = 3;

/// … and before there was one, this…
const FIRST: Duration = Duration::from_millis(250);

/// … but no longer than this in all, after which what is there was left behind.
const LONGEST: Duration = Duration::from_secs(10);

/// How long the last claims took: those of other workers take as long.
#[derive(Debug)]
pub(super) struct Patience([Duration; COMPARED]);

impl Patience {
    pub(super) fn record_claim(&mut self, took: Duration) {
        self.0.rotate_right(1);
        self.0[0] = took;
    }

    pub(super) fn get(&self) -> Duration {
        let longest = self.0.iter().copied().max();
        (longest.unwrap_or(FIRST) * TIMES).min(LONGEST)
    }
}

impl Default for Patience {
    fn default() -> Self {
        Self([FIRST; COMPARED])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_of_the_last_claims_counts() {
        let mut patience = Patience::default();
        assert_eq!(patience.get(), Duration::from_secs(1));
        let mut after = |milliseconds| {
            patience.record_claim(Duration::from_millis(milliseconds));
            patience.get().as_millis()
        };
        assert_eq!([after(10), after(8)], [1_000, 1_000]);
        assert_eq!([after(9), after(2)], [40, 36]);
        assert_eq!(after(60_000), 10_000);
    }
}
