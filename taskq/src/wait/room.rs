//! Where the callers of a process wait: one room for each pool and schema, with one query for all of them.
//!
//! The first caller opens it, on its own runtime, and ten seconds after the last has gone it closes by itself. So no
//! program has to start or stop anything. If its runtime ends, its callers find no answer and open another. It holds
//! nothing that a task needs: whoever asks again is told the same.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Error, PgConnection, PgPool, Postgres};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::time::{Instant, sleep_until, timeout};

use super::book::{Answer, Book, Wait};
use super::ear::{Ear, Heard};
use crate::error::veiled;
use crate::store::{Schema, Store, is_interruption, knock};

/// The least time from the end of one query to the next, so that fifty a second are the most.
const BETWEEN_QUERIES: Duration = Duration::from_millis(20);

/// The pause after a query that failed.
const AFTER_FAILURE: Duration = Duration::from_secs(1);

/// How long to wait for a connection of the pool before looking whether the server is there.
const PATIENCE: Duration = Duration::from_millis(500);

/// How long a query may take, with the wait for its connection.
const QUERY_LIMIT: Duration = Duration::from_secs(15);

/// For how many tasks one query asks at most.
const MOST_TASKS: usize = 10_000;

/// How long a room stays open without callers.
const LINGER: Duration = Duration::from_secs(10);

/// The rooms that are open. Pools that share their options share their connections: they are clones.
static ROOMS: LazyLock<Mutex<HashMap<Key, Door>>> = LazyLock::new(Mutex::default);

type Key = (usize, &'static str);

struct Door {
    waits: UnboundedSender<Wait>,
    trouble: Trouble,
    /// Kept, so that no other pool's are at the same place.
    _options: Arc<PgConnectOptions>,
}

/// What went wrong with the last query, if it did.
#[derive(Debug, Clone, Default)]
pub(super) struct Trouble(Arc<Mutex<Option<Arc<Error>>>>);

/// A caller's place in a room.
#[derive(Debug)]
pub(super) struct Seat(Trouble);

impl Seat {
    /// Returns why there is no answer yet, if the room cannot ask.
    pub(super) fn trouble(&self) -> Option<Arc<Error>> {
        locked(&self.0.0).clone()
    }
}

/// Has somebody wait. Opens the room if it is not.
pub(super) fn take_seat(pool: &PgPool, schema: Schema, wait: Wait) -> Seat {
    let options = pool.connect_options();
    let key = (Arc::as_ptr(&options).addr(), schema.name());
    let mut rooms = locked(&ROOMS);
    rooms.retain(|_, door| !door.waits.is_closed());
    let door = match rooms.entry(key) {
        Entry::Occupied(open) => open.into_mut(),
        Entry::Vacant(place) => {
            let (waits, callers) = mpsc::unbounded_channel();
            let trouble = Trouble::default();
            let room = Room {
                key,
                pool: pool.clone(),
                schema,
                book: Book::default(),
                ear: Ear::of(pool.clone(), schema),
                opened: Instant::now(),
                not_before: Instant::now(),
                is_in_doubt: false,
                trouble: trouble.clone(),
            };
            tokio::spawn(room.serve(callers));
            place.insert(Door {
                waits,
                trouble,
                _options: options,
            })
        }
    };
    // A room closes while nobody is at the door. Where it was dropped just now, the caller finds no answer and comes again.
    let _ = door.waits.send(wait);
    Seat(door.trouble.clone())
}

struct Room {
    key: Key,
    pool: PgPool,
    schema: Schema,
    book: Book,
    ear: Ear,
    opened: Instant,
    /// When the next query may be made.
    not_before: Instant,
    /// Whether the server may be down: a connection was lost, or a query has failed.
    is_in_doubt: bool,
    trouble: Trouble,
}

impl Room {
    async fn serve(mut self, mut callers: UnboundedReceiver<Wait>) {
        let pool = self.pool.clone();
        let mut empty_since = None;
        loop {
            let next = self.next(&mut empty_since);
            tokio::select! {
                caller = callers.recv() => {
                    let mut caller = caller;
                    while let Some(wait) = caller {
                        self.enter(wait);
                        caller = callers.try_recv().ok();
                    }
                    empty_since = None;
                }
                heard = self.ear.hear() => self.heed(heard),
                () = sleep_until(next) => {
                    if self.book.next().is_none() {
                        if self.close(&mut callers) {
                            return;
                        }
                    } else if !self.book.is_empty() {
                        self.ask().await;
                    }
                }
                // It would wait for the connection that listens.
                () = pool.close_event() => {
                    locked(&ROOMS).remove(&self.key);
                    while let Ok(wait) = callers.try_recv() {
                        self.enter(wait);
                    }
                    self.book.answer_all(&Answer::Failed(Arc::new(Error::PoolClosed)));
                    return;
                }
            }
        }
    }

    /// Returns when there is something to do: to ask, or to close.
    fn next(&self, empty_since: &mut Option<Instant>) -> Instant {
        match self.book.next() {
            Some(next) => {
                *empty_since = None;
                (self.opened + next).max(self.not_before)
            }
            None => *empty_since.get_or_insert_with(Instant::now) + LINGER,
        }
    }

    fn enter(&mut self, wait: Wait) {
        if wait.is_told {
            self.ear.open();
        }
        self.book.enter(wait, self.opened.elapsed());
    }

    fn heed(&mut self, heard: Heard) {
        let now = self.opened.elapsed();
        self.is_in_doubt |= matches!(heard, Heard::Deaf);
        match heard {
            Heard::Ended(tasks) => {
                for task_id in tasks {
                    self.book.hurry(task_id, now);
                }
            }
            // What ended before was not heard; and who is not told asks oftener.
            Heard::Listening | Heard::Deaf => self.book.hurry_told(now),
        }
    }

    /// Asks for the tasks that are due, and tells those who wait for them.
    async fn ask(&mut self) {
        let now = self.opened.elapsed();
        let is_heard = self.ear.is_listening();
        let due = self.book.take_due(now, is_heard, MOST_TASKS);
        if due.is_empty() {
            return;
        }
        let book = &mut self.book;
        let schema = self.schema;
        let asked = async {
            match self.ear.connection().await {
                Some(listening) => query(listening?, schema, &due, book).await,
                None => {
                    let mut connection = connection(&self.pool, self.is_in_doubt).await?;
                    let answer = query(&mut connection, schema, &due, book).await;
                    if answer.is_err() {
                        connection.close_on_drop();
                    }
                    answer
                }
            }
        };
        let answer = match timeout(QUERY_LIMIT, asked).await {
            Ok(answer) => answer.map_err(veiled),
            Err(_) => Err(Error::Io(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("no answer within {QUERY_LIMIT:?}"),
            ))),
        };
        self.is_in_doubt = answer.is_err();
        let mut pause = BETWEEN_QUERIES;
        let mut trouble = None;
        if let Err(error) = answer {
            let error = Arc::new(error);
            if is_heard {
                self.ear.rest();
            }
            if is_interruption(&error) {
                pause = AFTER_FAILURE;
                let now = self.opened.elapsed();
                for task_id in due {
                    self.book.hurry(task_id, now);
                }
            } else {
                self.book.answer_all(&Answer::Failed(error.clone()));
            }
            trouble = Some(error);
        }
        *locked(&self.trouble.0) = trouble;
        self.not_before = Instant::now() + pause;
    }

    /// Closes the room, unless somebody is at the door.
    fn close(&mut self, callers: &mut UnboundedReceiver<Wait>) -> bool {
        let mut rooms = locked(&ROOMS);
        match callers.try_recv() {
            Ok(wait) => {
                drop(rooms);
                self.enter(wait);
                false
            }
            Err(_) => {
                rooms.remove(&self.key);
                true
            }
        }
    }
}

/// Takes a connection from the pool. At one that gives none for a while it looks whether the server is there: the pool would
/// go on trying for long.
async fn connection(pool: &PgPool, is_in_doubt: bool) -> Result<PoolConnection<Postgres>, Error> {
    if is_in_doubt {
        knock(pool).await?;
    }
    let mut acquiring = std::pin::pin!(pool.acquire());
    match timeout(PATIENCE, acquiring.as_mut()).await {
        Ok(acquired) => acquired,
        Err(_) => {
            knock(pool).await?;
            acquiring.await
        }
    }
}

async fn query(
    connection: &mut PgConnection,
    schema: Schema,
    tasks: &[i64],
    book: &mut Book,
) -> Result<(), Error> {
    let mut store = Store::on(connection, schema);
    store
        .ended(tasks, |task_id, row| {
            book.answer(task_id, &Answer::Ended(Arc::new(row)));
        })
        .await
}

fn locked<T>(it: &Mutex<T>) -> MutexGuard<'_, T> {
    it.lock().unwrap_or_else(PoisonError::into_inner)
}
