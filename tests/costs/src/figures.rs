//! What was counted beside what is recorded.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, Result};

/// What was counted, by what it is.
pub(crate) type Figures = BTreeMap<String, f64>;

/// How much a figure may be above its record, and how much below until the record is worth writing anew.
const TOLERANCE: f64 = 0.1;

/// How often something is counted at the most.
const MOST: usize = 5;

/// The recorded figures, by what they hold for: a version of Postgres, of the compiler.
pub(crate) struct Record(BTreeMap<String, Figures>);

/// What there is to say of figures.
#[derive(Debug, Default)]
pub(crate) struct Comparison {
    pub(crate) lines: String,
    /// Whether one is above its limit, or not recorded where others are.
    pub(crate) fails: bool,
    /// Whether one is so far below that its limit is none.
    pub(crate) is_old: bool,
}

impl Record {
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).context("reading the record")?;
        Ok(Self(serde_json::from_str(&text).context("the record")?))
    }

    /// Puts figures in the place of those that are recorded for the same.
    pub(crate) fn with(mut self, counted: Vec<(String, Figures)>) -> Self {
        for (scope, figures) in counted {
            let figures = figures.into_iter();
            let rounded = figures.map(|(name, figure)| (name, rounded(figure)));
            self.0.insert(scope, rounded.collect());
        }
        self
    }

    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(&self.0)? + "\n";
        Ok(std::fs::write(path, text)?)
    }

    pub(crate) fn of(&self, scope: &str) -> Option<&Figures> {
        self.0.get(scope)
    }
}

/// Compares figures with what is recorded for the same, if anything is.
pub(crate) fn compare(figures: &Figures, recorded: Option<&Figures>) -> Comparison {
    let mut comparison = Comparison::default();
    let mut say = |name: &str, is: Option<f64>, was: Option<f64>| {
        let shown = |figure: Option<f64>| figure.map_or("-".to_owned(), shown);
        let remark = match (is, was) {
            (Some(is), Some(was)) if is > was * (1.0 + TOLERANCE) => {
                comparison.fails = true;
                format!("{:+.1} %: TOO MUCH", change(is, was))
            }
            (Some(is), Some(was)) if is < was * (1.0 - TOLERANCE) => {
                comparison.is_old = true;
                format!("{:+.1} %: less", change(is, was))
            }
            (Some(is), Some(was)) => format!("{:+.1} %", change(is, was)),
            (Some(_), None) if recorded.is_none() => String::new(),
            (Some(_), None) => {
                comparison.fails = true;
                "NOT RECORDED".to_owned()
            }
            (None, _) => {
                comparison.fails = true;
                "NO LONGER COUNTED".to_owned()
            }
        };
        let (is, was) = (shown(is), shown(was));
        // Writing to a string does not fail.
        let _ = writeln!(comparison.lines, "  {name:<48}{is:>10}{was:>10}  {remark}");
    };
    for (name, is) in figures {
        say(
            name,
            Some(*is),
            recorded.and_then(|it| it.get(name)).copied(),
        );
    }
    let recorded = recorded.iter().flat_map(|it| it.iter());
    for (name, was) in recorded.filter(|(name, _)| !figures.contains_key(*name)) {
        say(name, None, Some(*was));
    }
    comparison
}

/// How often something is counted, and which of its figures counts.
pub(crate) struct Often<'a, const N: usize> {
    /// What is recorded, until which it is counted again. Without it, as often as what is to be recorded.
    pub(crate) limits: Option<[Option<&'a Figures>; N]>,
    pub(crate) counts: Counts,
}

/// Which of the figures of all rounds counts.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Counts {
    /// Where chance only adds.
    Least,
    /// Where chance also takes away: a figure is the difference of two.
    Middle,
}

impl<const N: usize> Often<'_, N> {
    /// Counts once, and more often where that is not what is recorded: chance does not come each time.
    pub(crate) async fn count(
        &self,
        count: impl AsyncFn() -> Result<[Figures; N]>,
    ) -> Result<[Figures; N]> {
        let mut rounds = vec![count().await?];
        while rounds.len() < MOST {
            let is_enough = match &self.limits {
                None => rounds.len() == 3,
                Some(limits) => {
                    let figures = self.counts.of(&rounds);
                    let mut both = figures.iter().zip(limits);
                    both.all(|(figures, limits)| are_within(figures, *limits))
                }
            };
            if is_enough {
                break;
            }
            // Of an even number none is in the middle.
            for _ in 0..2 {
                rounds.push(count().await?);
            }
        }
        Ok(self.counts.of(&rounds))
    }
}

impl Counts {
    fn of<const N: usize>(self, rounds: &[[Figures; N]]) -> [Figures; N] {
        std::array::from_fn(|at| {
            let names = rounds[0][at].keys();
            let one = |name: &String| {
                let all = rounds.iter().filter_map(|round| round[at].get(name));
                let mut all: Vec<f64> = all.copied().collect();
                all.sort_by(f64::total_cmp);
                match self {
                    Self::Least => all[0],
                    Self::Middle => all[all.len() / 2],
                }
            };
            names.map(|name| (name.clone(), one(name))).collect()
        })
    }
}

fn are_within(figures: &Figures, limits: Option<&Figures>) -> bool {
    let Some(limits) = limits else {
        return true;
    };
    figures.iter().all(|(name, is)| {
        let was = limits.get(name);
        was.is_none_or(|was| (is / was - 1.0).abs() <= TOLERANCE)
    })
}

fn change(is: f64, was: f64) -> f64 {
    (is / was - 1.0) * 100.0
}

/// Four digits are as many as repeat.
fn rounded(figure: f64) -> f64 {
    format!("{figure:.3e}").parse().unwrap_or(figure)
}

fn shown(figure: f64) -> String {
    rounded(figure).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(figure: f64) -> [Figures; 1] {
        [Figures::from([("drain".to_owned(), figure)])]
    }

    #[tokio::test]
    async fn chance_passes_and_what_is_there_each_time_does_not() {
        let [recorded] = figures(100.0);
        for (counted, is, times) in [
            (vec![105.0], 105.0, 1),
            (vec![150.0, 101.0, 99.0], 101.0, 3),
            (vec![60.0, 101.0, 99.0], 99.0, 3),
            (vec![150.0, 160.0, 99.0, 101.0, 104.0], 104.0, 5),
            (vec![112.0, 113.0, 111.0, 115.0, 114.0], 113.0, 5),
        ] {
            let at = std::cell::Cell::new(0);
            let count = async || Ok(figures(counted[at.replace(at.get() + 1)]));
            let often = Often {
                limits: Some([Some(&recorded)]),
                counts: Counts::Middle,
            };
            let counted = often.count(count).await.expect("counted");
            assert_eq!((counted, at.get()), (figures(is), times));
        }
    }

    #[test]
    fn more_and_what_is_not_recorded_fail_and_less_does_not() {
        let [recorded] = figures(100.0);
        for (figure, fails, is_old) in [
            (111.0, true, false),
            (109.0, false, false),
            (89.0, false, true),
        ] {
            let comparison = compare(&figures(figure)[0], Some(&recorded));
            assert_eq!(
                (comparison.fails, comparison.is_old),
                (fails, is_old),
                "{figure}"
            );
        }
        assert!(compare(&Figures::new(), Some(&recorded)).fails);
        assert!(compare(&recorded, Some(&Figures::new())).fails);
        assert!(!compare(&recorded, None).fails);
    }
}
