//! Which lines are those of an attempt: what a slot tells of that, and nothing where no layer keeps lines.

pub(crate) use self::kept::{Log, OpenLog};

#[cfg(feature = "log")]
mod kept {
    use std::pin::Pin;
    use std::sync::Arc;

    use serde_json::value::RawValue;
    use tracing::Span;

    use crate::attempt::log::{Around, Current, Run, RunOf, are_kept, enter};
    use crate::store::ClaimedTask;
    use crate::worker::shared::Core;

    /// The lines of a call of a handler, if some are kept.
    #[derive(Debug, Clone, Default)]
    pub(crate) struct Log(Option<Arc<Run>>);

    /// The same, until the call has ended, however that comes.
    #[derive(Debug)]
    pub(crate) struct OpenLog(pub(crate) Log);

    impl OpenLog {
        /// Begins the lines of a call for these tasks.
        pub(crate) fn of(core: &Core, tasks: &[ClaimedTask]) -> Self {
            if !are_kept() {
                return Self(Log(None));
            }
            let of = tasks.iter().map(|task| RunOf {
                task_id: task.task_id,
                attempt: task.attempts.saturating_add(1),
                is_again: task.attempts > 0 || task.crashes > 0,
            });
            let run = Run::new(core.lines.clone(), of.collect());
            Self(Log(Some(Arc::new(run))))
        }

        /// Makes the span in which the call is, so that it knows whose its lines are.
        pub(crate) fn span(&self, make: impl FnOnce() -> Span) -> Span {
            let run = self.0.0.as_ref();
            let _entered = run.map(|run| enter(Current::Run(run.clone())));
            make()
        }

        /// Has what a future logs be lines of the call, also where its span is left out.
        pub(crate) fn around<'a, F: Future>(&'a self, future: Pin<&'a mut F>) -> Around<'a, F> {
            Around::new(self.0.0.as_ref(), future)
        }
    }

    impl Drop for OpenLog {
        fn drop(&mut self) {
            if let Some(run) = &self.0.0 {
                run.end();
            }
        }
    }

    impl Log {
        /// Has the values of these fields be taken out of the lines.
        pub(crate) fn hide<'a>(
            &self,
            fields: &'static [&'static str],
            payloads: impl Iterator<Item = &'a RawValue>,
        ) {
            if let Some(run) = self.0.as_ref().filter(|_| !fields.is_empty()) {
                run.hide(fields, payloads.map(RawValue::to_owned).collect());
            }
        }

        /// Records that a task has completed and is not kept.
        pub(crate) fn record_gone(&self, task_id: i64) {
            if let Some(run) = &self.0 {
                run.record_gone(task_id);
            }
        }
    }
}

#[cfg(not(feature = "log"))]
mod kept {
    use std::pin::Pin;

    use serde_json::value::RawValue;
    use tracing::Span;

    use crate::store::ClaimedTask;
    use crate::worker::shared::Core;

    #[derive(Debug, Clone, Default)]
    pub(crate) struct Log;

    #[derive(Debug)]
    pub(crate) struct OpenLog(pub(crate) Log);

    impl OpenLog {
        pub(crate) fn of(_core: &Core, _tasks: &[ClaimedTask]) -> Self {
            Self(Log)
        }

        pub(crate) fn span(&self, make: impl FnOnce() -> Span) -> Span {
            make()
        }

        pub(crate) fn around<'a, F: Future>(&self, future: Pin<&'a mut F>) -> Pin<&'a mut F> {
            future
        }
    }

    impl Log {
        pub(crate) fn hide<'a>(
            &self,
            _fields: &'static [&'static str],
            _payloads: impl Iterator<Item = &'a RawValue>,
        ) {
        }

        pub(crate) fn record_gone(&self, _task_id: i64) {}
    }
}
