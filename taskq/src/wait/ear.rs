//! Hearing that tasks have ended: the one listener of all who wait.
//!
//! What is told while it does not listen is lost, so those who wait ask beside, and ask at once when it listens again.
//! Its connection is lent for the queries too: so all who wait need no more than one.

use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, pending};
use sqlx::postgres::PgListener;
use sqlx::{Acquire, PgConnection, PgPool};
use tokio::time::{Instant, sleep_until};

use crate::store::{Schema, knock};

/// How long to wait before connecting anew after a failure.
const RECONNECT: Duration = Duration::from_secs(1);

/// What was heard.
#[derive(Debug)]
pub(super) enum Heard {
    /// These tasks have ended.
    Ended(Vec<i64>),
    /// From now on ends are heard.
    Listening,
    /// They are no more.
    Deaf,
}

pub(super) struct Ear {
    pool: PgPool,
    schema: Schema,
    state: State,
}

enum State {
    /// Nobody waits whose task's end is told.
    Shut,
    Connecting(BoxFuture<'static, Result<PgListener, sqlx::Error>>),
    Listening(PgListener),
    /// It could not, and tries again then.
    Resting(Instant),
}

impl Ear {
    pub(super) fn of(pool: PgPool, schema: Schema) -> Self {
        Self {
            pool,
            schema,
            state: State::Shut,
        }
    }

    /// Listens from now on, where the pool has a connection to spare for it.
    pub(super) fn open(&mut self) {
        let is_shut = matches!(self.state, State::Shut);
        if is_shut && self.pool.options().get_max_connections() > 1 {
            self.connect(false);
        }
    }

    /// Listens no more, for a while: its connection does not answer.
    pub(super) fn rest(&mut self) {
        let rest = RECONNECT.mul_f64(0.5 + fastrand::f64());
        self.state = State::Resting(Instant::now() + rest);
    }

    pub(super) fn is_listening(&self) -> bool {
        matches!(self.state, State::Listening(_))
    }

    /// Lends the connection that listens, if one does.
    pub(super) async fn connection(&mut self) -> Option<Result<&mut PgConnection, sqlx::Error>> {
        match &mut self.state {
            State::Listening(listener) => Some(listener.acquire().await),
            _ => None,
        }
    }

    /// Returns what it hears next. The future may be dropped at any time.
    pub(super) async fn hear(&mut self) -> Heard {
        loop {
            match &mut self.state {
                State::Shut => pending().await,
                State::Resting(until) => {
                    sleep_until(*until).await;
                    self.connect(true);
                }
                State::Connecting(connecting) => match connecting.await {
                    Ok(listener) => {
                        self.state = State::Listening(listener);
                        return Heard::Listening;
                    }
                    Err(error) => {
                        tracing::debug!(%error, "cannot listen for the ends of tasks; asking meanwhile");
                        self.rest();
                    }
                },
                State::Listening(listener) => match listener.try_recv().await {
                    Ok(Some(first)) => {
                        let mut ended = Vec::new();
                        let mut next = Some(first);
                        while let Some(told) = next {
                            // Anybody may send anything.
                            ended.extend(told.payload().parse::<i64>());
                            next = listener.next_buffered();
                        }
                        return Heard::Ended(ended);
                    }
                    Ok(None) | Err(_) => {
                        self.rest();
                        return Heard::Deaf;
                    }
                },
            }
        }
    }

    fn connect(&mut self, is_in_doubt: bool) {
        let pool = self.pool.clone();
        let channel = self.schema.ended_channel();
        let connecting = async move {
            if is_in_doubt {
                knock(&pool).await?;
            }
            let mut listener = PgListener::connect_with(&pool).await?;
            // Else it would connect anew by itself, and nobody would hear of it.
            listener.eager_reconnect(false);
            listener.listen(&channel).await?;
            Ok(listener)
        };
        self.state = State::Connecting(connecting.boxed());
    }
}
