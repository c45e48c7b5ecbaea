//! What open pages are told: whoever watches one page shares one look at the database.
//!
//! For each page that somebody watches, one tokio task renders it again every two seconds and hands it to all its viewers.
//! It ends with its last viewer, or when the server stops. If it fails, viewers see nothing new until the next look. Of two
//! processes, each looks for its own viewers.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::response::sse::Event;
use futures_util::future::BoxFuture;
use futures_util::stream::unfold;
use futures_util::{FutureExt, Stream};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

/// How often a watched page is rendered again.
const PERIOD: Duration = Duration::from_secs(2);

/// How many different pages are watched at once. Each costs the database what one open page costs.
const MOST: usize = 32;

/// How long a stream lasts. The browser then asks for another, and so whether it may. An application that waits for open
/// answers when it stops waits so long at most.
const LASTS: Duration = Duration::from_secs(60);

/// How soon it asks.
const AGAIN: Duration = Duration::from_millis(500);

/// Renders a page; `None` if that cannot be done now.
pub(super) type Render = Arc<dyn Fn() -> BoxFuture<'static, Option<String>> + Send + Sync>;

type Sender = watch::Sender<Arc<str>>;
type Receiver = watch::Receiver<Arc<str>>;

/// The pages that are watched.
#[derive(Debug, Default)]
pub(super) struct Live {
    pages: Mutex<HashMap<String, Sender>>,
    ended: CancellationToken,
}

impl Live {
    /// Watches a page, with all others who watch it; `None` if too many pages are watched.
    pub(super) fn watch(self: &Arc<Self>, page: &str, render: Render) -> Option<Receiver> {
        let mut pages = self.lock();
        if let Some(sender) = pages.get(page) {
            return Some(sender.subscribe());
        }
        if pages.len() >= MOST {
            return None;
        }
        let (sender, receiver) = watch::channel(Arc::from(""));
        pages.insert(page.to_owned(), sender);
        let (live, page) = (self.clone(), page.to_owned());
        // Not awaited at the end: it is told by `ended`, and leaves nothing behind when the process ends.
        tokio::spawn(async move { live.look_again(page, render).await });
        Some(receiver)
    }

    /// Ends all streams.
    pub(super) fn end(&self) {
        self.ended.cancel();
    }

    async fn look_again(&self, page: String, render: Render) {
        loop {
            tokio::select! {
                () = sleep(PERIOD) => {}
                () = self.ended.cancelled() => return,
            }
            if self.forget_unwatched(&page) {
                return;
            }
            // A page that panics is no reason to watch it no more, nor to keep its place for ever.
            let rendered = AssertUnwindSafe(render()).catch_unwind().await;
            let rendered = rendered.ok().flatten();
            let pages = self.lock();
            if let (Some(sender), Some(html)) = (pages.get(&page), rendered) {
                sender.send_if_modified(|last| {
                    let is_new = **last != *html;
                    if is_new {
                        *last = Arc::from(html);
                    }
                    is_new
                });
            }
        }
    }

    /// Forgets a page that nobody watches any more. Whoever comes next has it watched anew.
    fn forget_unwatched(&self, page: &str) -> bool {
        let mut pages = self.lock();
        let is_watched = pages.get(page).is_some_and(|it| it.receiver_count() > 0);
        if !is_watched {
            pages.remove(page);
        }
        !is_watched
    }

    /// Returns what a viewer is sent: the page, whenever it has changed.
    pub(super) fn events(
        self: &Arc<Self>,
        receiver: Receiver,
    ) -> impl Stream<Item = Result<Event, std::convert::Infallible>> + use<> {
        let until = Instant::now() + LASTS;
        unfold(
            (receiver, self.ended.clone()),
            move |(mut receiver, ended)| async move {
                let changed = tokio::select! {
                    changed = timeout_at(until, receiver.changed()) => changed,
                    () = ended.cancelled() => return None,
                };
                changed.ok()?.ok()?;
                let html = receiver.borrow_and_update().clone();
                let event = Event::default().event("page").retry(AGAIN).data(&*html);
                Some((Ok(event), (receiver, ended)))
            },
        )
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Sender>> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
