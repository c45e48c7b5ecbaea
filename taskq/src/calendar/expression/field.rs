//! One field of a cron expression: numbers, names, ranges and steps.

/// A field, and the numbers that it takes.
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) first: u32,
    pub(super) last: u32,
    /// Words for the numbers from the first on.
    words: &'static [&'static str],
}

/// What stands between two commas.
pub(super) struct Item {
    pub(super) first: u32,
    pub(super) last: u32,
    pub(super) step: u32,
    /// Whether it is `*`, with or without a step.
    is_star: bool,
}

impl Item {
    /// Tells whether it leaves nothing out.
    pub(super) fn is_all(&self) -> bool {
        self.is_star && self.step == 1
    }
}

impl Field {
    pub(super) const fn new(
        name: &'static str,
        first: u32,
        last: u32,
        words: &'static [&'static str],
    ) -> Self {
        Self {
            name,
            first,
            last,
            words,
        }
    }

    /// Reads `*`, a number or a range, and a step behind `*` or a range.
    pub(super) fn read(&self, item: &str) -> Result<Item, String> {
        self.read_with(item, |last| self.number(last))
    }

    /// Does the same for the days of a week, in which a range may end with Sunday.
    pub(super) fn read_from_sunday(&self, item: &str) -> Result<Item, String> {
        self.read_with(item, |last| match self.number(last)? {
            0 if !last.starts_with('0') => Ok(7),
            number => Ok(number),
        })
    }

    fn read_with(
        &self,
        item: &str,
        last_number: impl Fn(&str) -> Result<u32, String>,
    ) -> Result<Item, String> {
        let (of, step) = match item.split_once('/') {
            Some((of, step)) => (of, Some(self.step(step)?)),
            None => (item, None),
        };
        let (first, last) = match of.split_once('-') {
            _ if of == "*" => (self.first, self.last),
            Some((first, last)) => {
                let (from, to) = (self.number(first)?, last_number(last)?);
                if from > to {
                    return Err(format!(
                        "the {} `{of}` ends before it begins: write two ranges, such as `{first}-{},{}-{last}`",
                        self.name, self.last, self.first
                    ));
                }
                (from, to)
            }
            None => {
                let number = self.number(of)?;
                if step.is_some() {
                    return Err(format!(
                        "the {} `{item}` has a step and no range: write `{of}-{}/{}`",
                        self.name,
                        self.last,
                        step.unwrap_or(1)
                    ));
                }
                (number, number)
            }
        };
        Ok(Item {
            first,
            last,
            step: step.unwrap_or(1),
            is_star: of == "*",
        })
    }

    fn step(&self, text: &str) -> Result<u32, String> {
        let most = self.last - self.first;
        match digits(text) {
            Some(step) if (1..=most).contains(&step) => Ok(step),
            _ => Err(format!(
                "the step `{text}` of the {} is not allowed: write a number from 1 to {most}",
                self.name
            )),
        }
    }

    pub(super) fn number(&self, text: &str) -> Result<u32, String> {
        let mut words = self.words.iter();
        let word = words.position(|word| word.eq_ignore_ascii_case(text));
        let number = match word.and_then(|at| u32::try_from(at).ok()) {
            Some(at) => Some(self.first + at),
            None => digits(text),
        };
        number
            .filter(|number| (self.first..=self.last).contains(number))
            .ok_or_else(|| self.refusal(text))
    }

    fn refusal(&self, text: &str) -> String {
        let Self {
            name, first, last, ..
        } = self;
        let words = match (self.words.first(), self.words.last()) {
            (Some(first), Some(last)) => format!(", or `{first}` to `{last}`"),
            _ => String::new(),
        };
        let allowed = format!("write {first} to {last}{words}, or `*` for each");
        let sign = match text {
            "?" => "; `?` is `*` to some crons and the time of the start to others",
            "H" | "h" => "; for `H`, which spreads, there is `jitter`",
            _ if text.contains(['L', 'l']) && words.is_empty() && text.len() == 1 => {
                "; `L` is a day of the month"
            }
            _ if text.starts_with("L-") => "; `L-3` is unknown here",
            _ => "",
        };
        format!("the {name} `{text}` is not allowed: {allowed}{sign}")
    }
}

/// Reads a number without sign.
fn digits(text: &str) -> Option<u32> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}
