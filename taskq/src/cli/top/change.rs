//! What a key that changes something asks for, by the row that is chosen.

use super::ask::{Ask, Asked, Effect};
use super::view::{Mode, Tab, View};
use crate::operate::bulk::BulkVerb;
use crate::operate::filter::DIED;
use crate::operate::remedy::Remedy;

impl View {
    /// Asks before it changes something.
    pub(super) fn change(&mut self, key: char) -> Effect {
        let row = self.row();
        match (self.tab, key) {
            (Tab::Queues, key) => {
                let kinds = self.kinds();
                let Some((kind, _)) = kinds.get(row) else {
                    return Effect::Nothing;
                };
                let (queue, task_type) = (kind.queue.clone(), kind.task_type.clone());
                let (is_paused, dead) = (kind.is_paused, kind.dead);
                let waits = kind.due + kind.scheduled;
                let of_kind = |state: &str| {
                    let (queue, name) = (value(&queue), value(&task_type));
                    format!("{state} queue:{queue} type:{name}")
                };
                match key {
                    'p' => self.mode = Mode::Ask(Ask::pause(queue, task_type, is_paused)),
                    'r' if dead > 0 => {
                        return Effect::Freeze(BulkVerb::Retry, of_kind(DIED));
                    }
                    'd' if dead > 0 => {
                        return Effect::Freeze(BulkVerb::Discard, of_kind(DIED));
                    }
                    'r' | 'd' => self.said = Some(Err("nothing of it is dead".to_owned())),
                    'c' if waits > 0 => {
                        return Effect::Freeze(BulkVerb::Cancel, of_kind("state:waiting"));
                    }
                    'c' => self.said = Some(Err("nothing of it waits".to_owned())),
                    _ => {}
                }
            }
            (Tab::Running, 'c') => {
                let running = self.running();
                let asked = running.get(row).map(|task| Asked::Cancel {
                    task_id: task.task_id,
                    task_type: task.task_type.clone(),
                });
                self.ask(asked);
            }
            (Tab::Running, 'r' | 'd') => {
                self.said = Some(Err("it runs: cancel it first".to_owned()));
            }
            (Tab::Causes, 'o') => {
                let causes = self.causes();
                let asked = causes.get(row).map(|cause| {
                    let filter = format!("state:{} cause:{}", cause.state, cause.cause);
                    let error = cause.error.as_deref().unwrap_or("no error");
                    Asked::Mend {
                        remedy: Remedy::RetryOne(filter),
                        said: format!("{}: {error}", cause.task_type),
                    }
                });
                self.ask(asked);
            }
            (Tab::Causes, 'r' | 'd') => {
                let causes = self.causes();
                let Some(cause) = causes.get(row) else {
                    return Effect::Nothing;
                };
                let verb = match key {
                    'r' => BulkVerb::Retry,
                    _ => BulkVerb::Discard,
                };
                let filter = format!("state:{} cause:{}", cause.state, cause.cause);
                return Effect::Freeze(verb, filter);
            }
            (Tab::Trouble, 'm' | 'd' | 'o') => {
                let trouble = self.trouble();
                let Some(ailment) = trouble.get(row) else {
                    return Effect::Nothing;
                };
                match (key, Remedy::of(ailment)) {
                    // These count first, and ask then.
                    ('m', Some(Remedy::RetryAll(filter))) => {
                        return Effect::Freeze(BulkVerb::Retry, filter);
                    }
                    ('d', Some(Remedy::RetryAll(filter))) => {
                        return Effect::Freeze(BulkVerb::Discard, filter);
                    }
                    ('m', Some(Remedy::CancelAll(filter))) => {
                        return Effect::Freeze(BulkVerb::Cancel, filter);
                    }
                    ('o', Some(Remedy::RetryAll(filter))) => {
                        let said = ailment.said.clone();
                        let remedy = Remedy::RetryOne(filter);
                        self.ask(Some(Asked::Mend { remedy, said }));
                    }
                    ('o', _) => self.said = Some(Err("there is nothing dead to retry".to_owned())),
                    ('m', Some(remedy)) => {
                        let said = ailment.said.clone();
                        self.ask(Some(Asked::Mend { remedy, said }));
                    }
                    ('d', _) => {
                        self.said = Some(Err("there is nothing dead to discard".to_owned()))
                    }
                    _ => self.said = Some(Err(ailment.advice.clone())),
                }
            }
            (Tab::Trouble, 'a') => {
                let trouble = self.trouble();
                let asked = trouble.get(row).map(|it| Asked::Mend {
                    remedy: Remedy::known(it),
                    said: it.said.clone(),
                });
                self.ask(asked);
            }
            (Tab::Workers, 's') => {
                let workers = self.workers();
                let asked = workers.get(row).map(|worker| Asked::Stop {
                    worker_id: worker.worker_id,
                    place: format!("process {} on {}", worker.process_id, worker.host),
                });
                self.ask(asked);
            }
            _ => self.said = Some(Err(format!("`{key}` does nothing here: ? says what does"))),
        }
        Effect::Nothing
    }

    fn ask(&mut self, asked: Option<Asked>) {
        if let Some(asked) = asked {
            self.mode = Mode::Ask(Ask::of(asked));
        }
    }

    /// Says how the bulk operation is that was frozen, and asks whether it is to be done.
    pub(super) fn ask_bulk(&mut self, bulk_id: i64, verb: BulkVerb, frozen: u64, filter: String) {
        self.mode = Mode::Ask(Ask::of(Asked::Bulk {
            bulk_id,
            verb,
            frozen,
            filter,
        }));
    }
}

/// Returns a name as the value of a term of a filter.
fn value(name: &str) -> String {
    let name = name.replace('\\', "\\\\").replace('*', "\\*");
    let name = name.replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{name}\"")
}
