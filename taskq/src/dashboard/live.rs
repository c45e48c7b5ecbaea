//! What open pages are told: whoever watches one page shares one look at the database.
//!
//! For each page that somebody watches, one tokio task renders it again every two seconds and hands it to all its viewers.
//! It ends with its last viewer, or when the server stops. If it fails, viewers see nothing new until the next look. Of two
//! processes, each looks for its own viewers.
//!
//! There are so many places only, and whoever finds none loads the page again by and by. Nobody can take them all: when they
//! are taken, whoever has most gives one up for somebody who has fewer.

use std::collections::HashMap;
use std::convert::Infallible;
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
const MOST_PAGES: usize = 32;

/// How many streams one visitor has, of whatever pages: each is a connection.
const MOST_STREAMS: usize = 256;

/// How long a stream lasts. The browser then asks for another, and so whether it may. An application that waits for open
/// answers when it stops waits so long at most.
const LASTS: Duration = Duration::from_secs(60);

/// How soon it asks.
const AGAIN: Duration = Duration::from_millis(500);

/// Renders a page; `None` if that cannot be done now.
pub(super) type Render = Arc<dyn Fn() -> BoxFuture<'static, Option<String>> + Send + Sync>;

type Sender = Arc<watch::Sender<Arc<str>>>;

/// The pages that are watched.
#[derive(Debug, Default)]
pub(super) struct Live {
    watched: Mutex<Watched>,
    ended: CancellationToken,
}

#[derive(Debug, Default)]
struct Watched {
    pages: HashMap<String, Page>,
    /// How many streams each visitor has.
    streams: HashMap<String, usize>,
}

#[derive(Debug)]
struct Page {
    sender: Sender,
    /// Who has asked for it first.
    visitor: String,
    /// When the last of its streams ends. One whose reader has stalled lasts longer, and is no reason to look.
    until: Instant,
}

/// Somebody who watches a page.
#[derive(Debug)]
pub(super) struct Viewer {
    receiver: watch::Receiver<Arc<str>>,
    visitor: String,
    until: Instant,
    live: Arc<Live>,
}

impl Live {
    /// Watches a page, with all others who watch it; `None` if there is no place.
    pub(super) fn watch(
        self: &Arc<Self>,
        visitor: &str,
        page: &str,
        render: Render,
    ) -> Option<Viewer> {
        let until = Instant::now() + LASTS;
        let mut watched = self.lock();
        if watched.streams.get(visitor) >= Some(&MOST_STREAMS) {
            return None;
        }
        let receiver = match watched.pages.get_mut(page) {
            Some(page) => {
                page.until = until;
                page.sender.subscribe()
            }
            None => {
                watched.make_room(visitor)?;
                let (sender, receiver) = watch::channel(Arc::from(""));
                let sender = Arc::new(sender);
                let (live, name) = (self.clone(), page.to_owned());
                let looked = live.look_again(name, sender.clone(), render);
                // Not awaited at the end: it is told by `ended`, and leaves nothing behind when the process ends.
                tokio::spawn(looked);
                let visitor = visitor.to_owned();
                let page_of = Page {
                    sender,
                    visitor,
                    until,
                };
                watched.pages.insert(page.to_owned(), page_of);
                receiver
            }
        };
        *watched.streams.entry(visitor.to_owned()).or_default() += 1;
        Some(Viewer {
            receiver,
            visitor: visitor.to_owned(),
            until,
            live: self.clone(),
        })
    }

    /// Ends all streams.
    pub(super) fn end(&self) {
        self.ended.cancel();
    }

    async fn look_again(self: Arc<Self>, page: String, sender: Sender, render: Render) {
        loop {
            tokio::select! {
                () = sleep(PERIOD) => {}
                () = self.ended.cancelled() => return,
            }
            if self.lock().forgets(&page, &sender) {
                return;
            }
            // A page that panics is no reason to watch it no more, nor to keep its place for ever.
            let rendered = AssertUnwindSafe(render()).catch_unwind().await;
            if let Ok(Some(html)) = rendered {
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

    fn lock(&self) -> MutexGuard<'_, Watched> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watched {
    /// Makes room for another page, if there is any, or if somebody has more than this visitor would have.
    fn make_room(&mut self, visitor: &str) -> Option<()> {
        if self.pages.len() < MOST_PAGES {
            return Some(());
        }
        let mut places: HashMap<&str, usize> = HashMap::new();
        for page in self.pages.values() {
            *places.entry(&page.visitor).or_default() += 1;
        }
        let own = places.get(visitor).copied().unwrap_or_default();
        let (greediest, most) = places.into_iter().max_by_key(|(_, places)| *places)?;
        if most <= own + 1 {
            return None;
        }
        let theirs = self
            .pages
            .iter()
            .filter(|(_, page)| page.visitor == greediest);
        let (name, _) = theirs.min_by_key(|(_, page)| page.sender.receiver_count())?;
        let name = name.clone();
        self.pages.remove(&name);
        Some(())
    }

    /// Forgets a page that nobody watches any more, and tells whether it is forgotten. Whoever comes next has it watched
    /// anew.
    fn forgets(&mut self, page: &str, sender: &Sender) -> bool {
        let own = self.pages.get(page);
        let Some(own) = own.filter(|own| Arc::ptr_eq(&own.sender, sender)) else {
            return true;
        };
        let is_watched = sender.receiver_count() > 0 && Instant::now() < own.until + PERIOD;
        if !is_watched {
            self.pages.remove(page);
        }
        !is_watched
    }
}

impl Viewer {
    /// Returns what a viewer is sent: the page, whenever it has changed.
    pub(super) fn events(self) -> impl Stream<Item = Result<Event, Infallible>> + use<> {
        unfold(self, |mut viewer| async {
            let changed = tokio::select! {
                changed = timeout_at(viewer.until, viewer.receiver.changed()) => changed,
                () = viewer.live.ended.cancelled() => return None,
            };
            changed.ok()?.ok()?;
            let html = viewer.receiver.borrow_and_update().clone();
            let event = Event::default().event("page").retry(AGAIN).data(&*html);
            Some((Ok(event), viewer))
        })
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        let mut watched = self.live.lock();
        if let Some(streams) = watched.streams.get_mut(&self.visitor) {
            *streams -= 1;
            if *streams == 0 {
                watched.streams.remove(&self.visitor);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(live: &Arc<Live>, visitor: &str, page: &str) -> Option<Viewer> {
        live.watch(visitor, page, Arc::new(|| async { None }.boxed()))
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_takes_all_places() {
        let live = Arc::new(Live::default());
        let page = |number: usize| format!("task?id={number}");
        let greedy: Vec<_> = (0..MOST_PAGES)
            .map(|number| watch(&live, "greedy", &page(number)).expect("a place"))
            .collect();
        assert!(watch(&live, "greedy", "overview").is_none());
        let mut others = Vec::new();
        for number in 0..MOST_PAGES {
            others.extend(watch(&live, "other", &format!("bulk?id={number}")));
        }
        // They have as many, and from there on neither takes one of the other.
        assert_eq!(others.len(), MOST_PAGES / 2);
        assert!(watch(&live, "greedy", "overview").is_none());
        sleep(PERIOD * 2).await;
        let ended = greedy
            .iter()
            .filter(|it| it.receiver.has_changed().is_err());
        assert_eq!(ended.count(), MOST_PAGES / 2);
        let still = others.iter().filter(|it| it.receiver.has_changed().is_ok());
        assert_eq!(still.count(), MOST_PAGES / 2);
    }

    #[tokio::test(start_paused = true)]
    async fn one_visitor_has_so_many_streams_and_gets_them_back() {
        let live = Arc::new(Live::default());
        let streams: Vec<_> = (0..MOST_STREAMS)
            .map(|_| watch(&live, "many", "overview").expect("a stream"))
            .collect();
        assert!(watch(&live, "many", "overview").is_none());
        assert!(watch(&live, "other", "overview").is_some());
        drop(streams);
        assert!(watch(&live, "many", "overview").is_some());
        assert!(live.lock().streams.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_who_has_stalled_has_nobody_look() {
        let live = Arc::new(Live::default());
        let _stalled = watch(&live, "slow", "overview").expect("a place");
        sleep(LASTS).await;
        assert_eq!(live.lock().pages.len(), 1);
        sleep(PERIOD * 3).await;
        assert_eq!(live.lock().pages.len(), 0);
    }
}
