//! When the ticks of an expression are, on the clocks of a time zone.
//!
//! Where clocks are put forward or back, this is what Debian's cron does, if by less than three hours. If an expression names times of the day, a
//! time that clocks leave out comes at the end of the gap, and one that they show twice comes the first time. If its
//! hours, minutes or seconds have `*` or a step, it ticks whenever a clock shows what it says: an hourly tick comes
//! once in each hour that passes.

use std::ops::Range;
use std::str::FromStr;

#[cfg(feature = "cli")]
use chrono::SecondsFormat;
use chrono::{DateTime, Datelike, Days, MappedLocalTime, NaiveDate, NaiveDateTime, NaiveTime};
use chrono::{Offset, TimeDelta, TimeZone, Timelike, Utc};
use chrono_tz::{GapInfo, TZ_VARIANTS, Tz};

use super::expression::{Day, Expression};
use crate::error::ScheduleError;

/// How far the next tick is looked for, in days: the 29th of February was a Monday in 2016, and is one in 2044.
const FURTHEST: u32 = 60 * 366;

/// How alike two names of zones must be for the one to be taken for a slip of the other.
const ALIKE: f64 = 0.85;

/// An expression on the clocks of a time zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Calendar {
    expression: Expression,
    zone: Tz,
}

impl Calendar {
    /// Reads an expression and the name of a time zone.
    pub(crate) fn parse(expression: &str, timezone: &str) -> Result<Self, ScheduleError> {
        Ok(Self {
            expression: Expression::parse(expression)
                .map_err(|problem| ScheduleError::Expression { problem })?,
            zone: Tz::from_str(timezone).map_err(|_| ScheduleError::TimeZone {
                name: timezone.to_owned(),
                similar: similar_zone(timezone),
            })?,
        })
    }

    /// Returns the first tick after a time.
    pub(crate) fn next_after(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let after = after.with_nanosecond(0)?;
        match self.expression.is_fixed {
            true => self.next_of_day(after),
            false => self.next_shown(after),
        }
    }

    /// Returns the ticks of a span of time, its end excluded.
    pub(crate) fn ticks(&self, span: Range<DateTime<Utc>>) -> impl Iterator<Item = DateTime<Utc>> {
        let before = match span.start.nanosecond() {
            0 => span.start - TimeDelta::seconds(1),
            _ => span.start,
        };
        let ticks = std::iter::successors(self.next_after(before), |last| self.next_after(*last));
        ticks.take_while(move |tick| *tick < span.end)
    }

    /// Shows a tick as the clocks of the zone do, and as those of everybody.
    #[cfg(feature = "cli")]
    pub(crate) fn show(&self, tick: DateTime<Utc>) -> String {
        let seconds = SecondsFormat::Secs;
        let shown = tick.with_timezone(&self.zone);
        match self.zone {
            Tz::UTC => tick.to_rfc3339_opts(seconds, true),
            _ => format!(
                "{} {} {}",
                shown.format("%a"),
                shown.to_rfc3339_opts(seconds, true),
                tick.to_rfc3339_opts(seconds, true)
            ),
        }
    }

    /// Returns the next of an expression that names times of the day.
    fn next_of_day(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let mut shown = self.shown_at(after);
        loop {
            shown = self.expression.next_shown_after(shown)?;
            let tick = match self.zone.from_local_datetime(&shown) {
                MappedLocalTime::Single(tick) | MappedLocalTime::Ambiguous(tick, _) => tick,
                MappedLocalTime::None => self.gap_end(&shown)?,
            };
            let tick = tick.to_utc();
            // Where clocks show a time twice, those of the second time came the first time.
            if tick > after {
                return Some(tick);
            }
        }
    }

    /// Returns the next of an expression that ticks whenever a clock shows what it says.
    fn next_shown(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let first = self.first_shown(self.shown_at(after), after)?;
        // Clocks will show again what they show now: what they will show before that counts too.
        let MappedLocalTime::Ambiguous(now, again) =
            self.zone.from_local_datetime(&self.shown_at(after))
        else {
            return Some(first);
        };
        if now.to_utc() != after {
            return Some(first);
        }
        let put_back = self.change_between(after, again.to_utc());
        if first < put_back {
            return Some(first);
        }
        let before = self.shown_at(put_back) - TimeDelta::seconds(1);
        let second = self.first_shown(before, put_back - TimeDelta::seconds(1))?;
        Some(first.min(second))
    }

    /// Returns the first time after `after` at which clocks show something later than `shown` that the expression means.
    fn first_shown(&self, mut shown: NaiveDateTime, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        loop {
            shown = self.expression.next_shown_after(shown)?;
            let (first, second) = match self.zone.from_local_datetime(&shown) {
                MappedLocalTime::Single(only) => (only, only),
                MappedLocalTime::Ambiguous(first, second) => (first, second),
                MappedLocalTime::None => {
                    // Nothing between here and the end of the gap is ever shown.
                    shown = self.gap_end(&shown)?.naive_local() - TimeDelta::seconds(1);
                    continue;
                }
            };
            if let Some(tick) = [first.to_utc(), second.to_utc()]
                .into_iter()
                .find(|it| *it > after)
            {
                return Some(tick);
            }
        }
    }

    /// Returns when clocks change their offset, which they do once in between.
    fn change_between(&self, mut before: DateTime<Utc>, mut after: DateTime<Utc>) -> DateTime<Utc> {
        let offset = |at: DateTime<Utc>| self.zone.offset_from_utc_datetime(&at.naive_utc()).fix();
        let old = offset(before);
        while after - before > TimeDelta::seconds(1) {
            let middle = before + TimeDelta::seconds((after - before).num_seconds() / 2);
            match offset(middle) == old {
                true => before = middle,
                false => after = middle,
            }
        }
        after
    }

    fn gap_end(&self, left_out: &NaiveDateTime) -> Option<DateTime<Tz>> {
        GapInfo::new(left_out, &self.zone)?.end
    }

    fn shown_at(&self, at: DateTime<Utc>) -> NaiveDateTime {
        self.zone.from_utc_datetime(&at.naive_utc()).naive_local()
    }
}

impl Expression {
    /// Returns the next that a clock shows which is never changed.
    fn next_shown_after(&self, after: NaiveDateTime) -> Option<NaiveDateTime> {
        let from = after.checked_add_signed(TimeDelta::seconds(1))?;
        let mut date = from.date();
        let mut time = self.time_from(from.time());
        for _ in 0..FURTHEST {
            if !self.months.has(date.month()) {
                date = first_of_next_month(date)?;
            } else if let Some(time) = time
                && self.includes(day(date))
            {
                return Some(date.and_time(time));
            } else {
                date = date.checked_add_days(Days::new(1))?;
            }
            time = self.time_from(NaiveTime::MIN);
        }
        None
    }

    /// Returns the first time of a day that is not earlier.
    fn time_from(&self, from: NaiveTime) -> Option<NaiveTime> {
        let (hour, minute, second) = (from.hour(), from.minute(), from.second());
        let first = |hour, minute| {
            let (minute, second) = match minute {
                Some(minute) => (minute, self.seconds.next(0)?),
                None => (self.minutes.next(0)?, self.seconds.next(0)?),
            };
            NaiveTime::from_hms_opt(hour, minute, second)
        };
        if self.hours.has(hour) {
            if self.minutes.has(minute)
                && let Some(second) = self.seconds.next(second)
            {
                return NaiveTime::from_hms_opt(hour, minute, second);
            }
            if let Some(minute) = self.minutes.next(minute + 1) {
                return first(hour, Some(minute));
            }
        }
        first(self.hours.next(hour + 1)?, None)
    }
}

fn day(date: NaiveDate) -> Day {
    Day {
        month: date.month(),
        day: date.day(),
        weekday: date.weekday().num_days_from_sunday(),
        days_in_month: u32::from(date.num_days_in_month()),
    }
}

fn first_of_next_month(date: NaiveDate) -> Option<NaiveDate> {
    match date.month() {
        12 => NaiveDate::from_ymd_opt(date.year() + 1, 1, 1),
        month => NaiveDate::from_ymd_opt(date.year(), month + 1, 1),
    }
}

/// Returns the name of a zone that an unknown one looks most like.
fn similar_zone(unknown: &str) -> Option<&'static str> {
    let unknown = unknown.to_lowercase();
    let alike = |zone: &Tz| strsim::jaro_winkler(&zone.name().to_lowercase(), &unknown);
    let zones = TZ_VARIANTS.iter().map(|zone| (zone.name(), alike(zone)));
    zones
        .filter(|(_, alike)| *alike >= ALIKE)
        .max_by(|(_, one), (_, other)| one.total_cmp(other))
        .map(|(name, _)| name)
}

#[cfg(test)]
mod tests;
