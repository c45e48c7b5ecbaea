//! How long things took, counted by powers of two of a millisecond.

use std::time::Duration;

use serde::{Serialize, Serializer};

/// How many buckets there are. The last holds whatever took 18 hours or more.
pub(crate) const BUCKETS: usize = 28;

/// How long things took: a histogram by powers of two of a millisecond.
///
/// Bucket 0 counts what took less than a millisecond, and bucket `n` what took less than 2<sup>n</sup> milliseconds and
/// no less than half of that. So a [quantile](Self::quantile) is right within a factor of two, and spreads of many
/// workers and minutes [merge](Self::merge) without loss.
///
/// ```
/// use std::time::Duration;
///
/// use taskq::operate::Spread;
///
/// let mut spread = Spread::default();
/// for milliseconds in [1, 3, 3, 900] {
///     spread.record(Duration::from_millis(milliseconds));
/// }
/// let median = spread.quantile(0.5).unwrap();
/// assert!(median >= Duration::from_millis(2) && median < Duration::from_millis(4));
/// assert_eq!(spread.count(), 4);
/// ```
///
/// It is serialized as the counts of its buckets, without zeros at the end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Spread {
    counts: [u64; BUCKETS],
}

impl Spread {
    /// Reads counts as they stand in a table. What is negative or beyond the last bucket is left out.
    pub(crate) fn of(counts: &[i64]) -> Self {
        let mut spread = Self::default();
        for (own, count) in spread.counts.iter_mut().zip(counts) {
            *own = u64::try_from(*count).unwrap_or(0);
        }
        spread
    }

    /// Counts something that took so long.
    pub fn record(&mut self, time: Duration) {
        self.counts[bucket(time)] += 1;
    }

    /// Adds what another has counted.
    pub fn merge(&mut self, other: &Self) {
        for (own, count) in self.counts.iter_mut().zip(other.counts) {
            *own = own.saturating_add(count);
        }
    }

    /// Returns how many were counted.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Returns the time that this part of all took at most, such as `0.95`; `None` if nothing was counted. Within a
    /// bucket, times are taken to be spread evenly.
    pub fn quantile(&self, part: f64) -> Option<Duration> {
        let count = self.count();
        if count == 0 {
            return None;
        }
        #[expect(clippy::cast_precision_loss, reason = "a bucket is coarser than that")]
        let rank = part.clamp(0.0, 1.0) * count as f64;
        let mut below = 0.0;
        let mut last = Duration::ZERO;
        for (at, count) in self
            .counts
            .iter()
            .enumerate()
            .filter(|(_, count)| **count > 0)
        {
            #[expect(clippy::cast_precision_loss, reason = "a bucket is coarser than that")]
            let count = *count as f64;
            let (from, to) = (lower_bound(at), upper_bound(at));
            if below + count >= rank {
                let share = ((rank - below) / count).clamp(0.0, 1.0);
                return Some(from + (to - from).mul_f64(share));
            }
            below += count;
            last = to;
        }
        Some(last)
    }

    /// Returns each bucket: the time that what it counts stayed below, and how many it has counted. The last has no such
    /// bound, though it says one.
    pub fn buckets(&self) -> impl Iterator<Item = (Duration, u64)> {
        let counts = self.counts.iter().enumerate();
        counts.map(|(at, count)| (upper_bound(at), *count))
    }

    /// Returns the counts without the zeros at the end.
    pub(crate) fn counts(&self) -> &[u64] {
        let end = self.counts.iter().rposition(|count| *count > 0);
        &self.counts[..end.map_or(0, |last| last + 1)]
    }
}

impl Serialize for Spread {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.counts().serialize(serializer)
    }
}

fn bucket(time: Duration) -> usize {
    let milliseconds =
        (time.as_secs().saturating_mul(1000)).saturating_add(u64::from(time.subsec_millis()));
    let bits = u64::BITS - milliseconds.leading_zeros();
    (bits as usize).min(BUCKETS - 1)
}

fn upper_bound(bucket: usize) -> Duration {
    Duration::from_millis(1 << bucket)
}

fn lower_bound(bucket: usize) -> Duration {
    match bucket {
        0 => Duration::ZERO,
        _ => upper_bound(bucket - 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn each_time_is_in_the_bucket_between_whose_bounds_it_is() {
        for time in [0, 1, 2, 3, 4, 7, 8, 1023, 1024, 1 << 26] {
            let bucket = bucket(ms(time));
            assert!(
                lower_bound(bucket) <= ms(time) && ms(time) < upper_bound(bucket),
                "{time}"
            );
        }
        assert_eq!(bucket(Duration::from_micros(999)), 0);
        assert_eq!(bucket(Duration::MAX), BUCKETS - 1);
    }

    #[test]
    fn a_quantile_is_within_the_bucket_that_holds_it() {
        let mut spread = Spread::default();
        assert_eq!(spread.quantile(0.5), None);
        for _ in 0..95 {
            spread.record(ms(10));
        }
        for _ in 0..5 {
            spread.record(ms(1500));
        }
        let quantile = |part| spread.quantile(part).expect("counted");
        assert!((ms(8)..ms(16)).contains(&quantile(0.5)));
        assert!((ms(1024)..=ms(2048)).contains(&quantile(0.99)));
        assert_eq!(quantile(1.0), ms(2048));
        assert_eq!(quantile(0.0), ms(8));
    }

    #[test]
    fn what_is_written_is_read_as_it_was() {
        let mut spread = Spread::default();
        spread.record(ms(0));
        spread.record(ms(5));
        assert_eq!(spread.counts(), [1, 0, 0, 1]);
        assert_eq!(Spread::of(&[1, 0, 0, 1]), spread);
        let mut twice = spread.clone();
        twice.merge(&spread);
        assert_eq!(twice.counts(), [2, 0, 0, 2]);
        assert_eq!(serde_json::to_string(&twice).expect("json"), "[2,0,0,2]");
    }
}
