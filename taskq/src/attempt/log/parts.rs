//! What one statement writes of what waits.

use std::time::Instant;

use super::run::{Chunk, Lines};

/// How many bytes of lines one statement has.
const AT_ONCE: usize = 4_000_000;

/// What one statement writes.
#[derive(Debug, Default)]
pub(crate) struct Part {
    pub(crate) chunks: Vec<Chunk>,
    pub(crate) done: Vec<i64>,
}

impl Part {
    /// Divides it, so that what is refused ends up alone. Returns itself where it is alone already.
    pub(crate) fn halves(self) -> Result<[Self; 2], Self> {
        let Self { mut chunks, done } = self;
        if !done.is_empty() && !chunks.is_empty() {
            let first = Self {
                chunks: Vec::new(),
                done,
            };
            let done = Vec::new();
            return Ok([first, Self { chunks, done }]);
        }
        if chunks.len() < 2 {
            return Err(Self { chunks, done });
        }
        let rest = chunks.split_off(chunks.len() / 2);
        let of = |chunks| Self {
            chunks,
            done: Vec::new(),
        };
        Ok([of(chunks), of(rest)])
    }
}

impl Lines {
    /// Takes what is to be written now, in as many parts as there are statements.
    pub(crate) fn take(&self, now: Instant) -> Vec<Part> {
        let (waiting, done) = self.take_all();
        let mut parts = vec![Part {
            done,
            ..Part::default()
        }];
        let (mut bytes, mut later) = (0, Vec::new());
        for run in waiting {
            match run.take(now) {
                Ok(None) => {}
                Ok(Some(chunk)) => {
                    bytes += chunk.bytes;
                    if bytes > AT_ONCE {
                        bytes = chunk.bytes;
                        parts.push(Part::default());
                    }
                    if let Some(part) = parts.last_mut() {
                        part.chunks.push(chunk);
                    }
                }
                Err(_) => later.push(run),
            }
        }
        self.put_off(later);
        parts.retain(|part| !part.chunks.is_empty() || !part.done.is_empty());
        parts
    }

    /// Takes back what could not be written.
    pub(crate) fn put_back(&self, part: Part) {
        self.record_done(part.done.into_iter());
        for chunk in part.chunks {
            let is_ended = chunk.run.is_over();
            if is_ended && self.is_full() {
                continue;
            }
            chunk.run.clone().put_back(chunk);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::super::line::Line;
    use super::super::run::{Caps, Run, RunOf};
    use super::super::waiting::MOST_BYTES;
    use super::*;

    const CAPS: Caps = Caps {
        lines: 3,
        bytes: 1_000,
        line: 100,
    };

    fn run_of(lines: &Arc<Lines>, task_ids: &[i64]) -> Arc<Run> {
        let of = task_ids.iter().map(|task_id| RunOf {
            task_id: *task_id,
            attempt: 1,
            is_again: false,
        });
        Arc::new(Run::new(lines.clone(), of.collect()))
    }

    fn say(run: &Arc<Run>, texts: &[&str]) {
        for text in texts {
            run.record(Line::plain(text), CAPS);
        }
    }

    /// What is taken of each run: its tasks that are told, how many lines it logged, and those that are written.
    fn taken(part: &Part) -> Vec<(Vec<i64>, i64, String)> {
        let taken = part.chunks.iter().map(|chunk| {
            let told = chunk.of.iter().map(|of| of.task_id).collect();
            let lines: Vec<_> = chunk.lines.iter().map(Line::text).collect();
            (told, chunk.said, lines.join(" "))
        });
        taken.collect()
    }

    fn take_one(lines: &Lines, now: Instant) -> Part {
        let mut parts = lines.take(now);
        assert_eq!(parts.len(), 1);
        parts.remove(0)
    }

    #[test]
    fn the_newest_lines_are_taken_and_its_tasks_are_told_once() {
        let (lines, now) = (Arc::<Lines>::default(), Instant::now());
        let run = run_of(&lines, &[1, 2]);
        say(&run, &["a", "b", "c", "d"]);
        let first = take_one(&lines, now);
        assert_eq!(taken(&first), [(vec![1, 2], 4, "b c d".to_owned())]);
        assert!(lines.take(now).is_empty());
        say(&run, &["e"]);
        assert!(lines.take(now).is_empty(), "too early");
        let second = take_one(&lines, now + Duration::from_secs(5));
        assert_eq!(taken(&second), [(vec![], 5, "e".to_owned())]);
        assert_eq!(second.chunks[0].stays, 0, "the first has what is kept");
        assert_eq!(lines.bytes(), 0);
    }

    #[test]
    fn what_newer_lines_make_superfluous_is_replaced() {
        let (lines, mut now) = (Arc::<Lines>::default(), Instant::now());
        let run = run_of(&lines, &[1]);
        let mut stays = Vec::new();
        // In the last round more come than are kept, and what was written before would have a gap behind it.
        for texts in [&["a", "b"][..], &["c", "d"], &["e", "f"], &["g"; 4]] {
            say(&run, texts);
            now += Duration::from_secs(60);
            stays.push(take_one(&lines, now).chunks[0].stays);
        }
        assert_eq!(stays, [0, 0, 1, 3]);
    }

    #[test]
    fn bytes_bound_what_waits_and_what_was_written_as_lines_do() {
        let caps = Caps {
            lines: 100,
            bytes: 10,
            line: 100,
        };
        let (lines, mut now) = (Arc::<Lines>::default(), Instant::now());
        let run = run_of(&lines, &[1]);
        let mut each = Vec::new();
        for texts in [
            &["aaaa", "bbbb", "cccc"][..],
            &["dddd"],
            &["eeee"],
            &["ffff", "gggg"],
        ] {
            for text in texts {
                run.record(Line::plain(text), caps);
            }
            now += Duration::from_secs(60);
            let part = take_one(&lines, now);
            each.push((taken(&part).remove(0).2, part.chunks[0].stays));
        }
        let expected = [("bbbb cccc", 0), ("dddd", 0), ("eeee", 0), ("ffff gggg", 2)];
        assert_eq!(each, expected.map(|(text, stays)| (text.to_owned(), stays)));
    }

    #[test]
    fn a_run_that_fills_its_bounds_again_and_again_is_taken_ever_more_seldom() {
        let (lines, began) = (Arc::<Lines>::default(), Instant::now());
        let run = run_of(&lines, &[1]);
        let mut times = 0;
        for tenth in 0..1_200 {
            say(&run, &["x"; 5]);
            times += lines.take(began + Duration::from_millis(tenth * 100)).len();
        }
        assert!((7..=10).contains(&times), "{times} times in two minutes");
        run.end();
        assert_eq!(lines.take(began).len(), 1, "the rest at once");
    }

    #[test]
    fn what_could_not_be_written_comes_before_what_is_newer() {
        let (lines, now) = (Arc::<Lines>::default(), Instant::now());
        let run = run_of(&lines, &[1]);
        say(&run, &["a", "b"]);
        let part = take_one(&lines, now);
        let log_id = part.chunks[0].log_id;
        say(&run, &["c"]);
        lines.put_back(part);
        let part = take_one(&lines, now + Duration::from_secs(5));
        assert_eq!(taken(&part), [(vec![1], 3, "a b c".to_owned())]);
        assert_eq!((part.chunks[0].log_id, part.chunks[0].number), (log_id, 0));
    }

    #[test]
    fn of_tasks_that_are_gone_nothing_is_written_and_what_was_goes() {
        let (lines, now) = (Arc::<Lines>::default(), Instant::now());
        let (short, long, both) = (
            run_of(&lines, &[1]),
            run_of(&lines, &[2]),
            run_of(&lines, &[3, 4]),
        );
        say(&long, &["a"]);
        drop(lines.take(now));
        for run in [&short, &long, &both] {
            say(run, &["b"]);
        }
        short.record_gone(1);
        long.record_gone(2);
        both.record_gone(3);
        for run in [&short, &long, &both] {
            run.end();
            say(run, &["after its end"]);
        }
        let part = take_one(&lines, now);
        assert_eq!(part.done, [2]);
        assert_eq!(taken(&part), [(vec![4], 1, "b".to_owned())]);
        assert_eq!(lines.bytes(), 0);
    }

    #[test]
    fn what_an_earlier_run_wrote_goes_though_the_last_one_wrote_nothing() {
        let lines = Arc::<Lines>::default();
        for (task_id, is_again) in [(1, false), (2, true)] {
            let of = RunOf {
                task_id,
                attempt: 2,
                is_again,
            };
            let run = Arc::new(Run::new(lines.clone(), vec![of]));
            run.record_gone(task_id);
            run.end();
        }
        assert_eq!(take_one(&lines, Instant::now()).done, [2]);
    }

    #[test]
    fn a_worker_that_cannot_write_holds_a_bounded_number_of_bytes() {
        let caps = Caps {
            lines: 100,
            bytes: 10_000_000,
            line: 1_000_000,
        };
        let lines = Arc::<Lines>::default();
        let text = "x".repeat(1_000_000);
        let runs: Vec<_> = (0..20).map(|task_id| run_of(&lines, &[task_id])).collect();
        for _ in 0..10 {
            for run in &runs {
                run.record(Line::plain(&text), caps);
            }
        }
        let bytes = lines.bytes();
        assert!(bytes < MOST_BYTES + 2_000_000, "{bytes}");
        // And each statement has a part of it.
        let parts = lines.take(Instant::now());
        assert!(parts.len() > 10);
        let count: usize = parts.iter().map(|part| part.chunks.len()).sum();
        assert_eq!(count, 20);
    }

    #[test]
    fn a_part_is_divided_until_what_is_refused_is_alone() {
        let (lines, now) = (Arc::<Lines>::default(), Instant::now());
        for task_id in 0..5 {
            say(&run_of(&lines, &[task_id]), &["a"]);
        }
        lines.record_done([7, 8].into_iter());
        let mut parts = lines.take(now);
        let (mut alone, mut done) = (0, 0);
        while let Some(part) = parts.pop() {
            match part.halves() {
                Ok(halves) => parts.extend(halves),
                Err(part) => {
                    assert!(part.chunks.len() + usize::from(!part.done.is_empty()) == 1);
                    alone += part.chunks.len();
                    done += part.done.len();
                }
            }
        }
        assert_eq!((alone, done), (5, 2));
    }
}
