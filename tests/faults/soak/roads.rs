//! The ways in which workers reach their database, each its own.

use taskq_tests::proxy::Proxy;

use super::World;
use crate::bouncer::Bouncer;
use crate::clock::liar;
use crate::namespace::Namespace;
use crate::stage::{Actor, Running, Stage, skip};

/// The ways in which a worker reaches its database.
pub(super) struct Roads {
    pub(super) direct: String,
    pub(super) proxy: Proxy,
    pub(super) through_proxy: String,
    pub(super) namespace: Option<(Namespace, Proxy)>,
    pub(super) bouncer: Option<Bouncer>,
}

impl Roads {
    pub(super) async fn make(stage: &Stage, direct: String) -> Self {
        let proxy = Proxy::start(stage.socket()).await.expect("a proxy");
        let limited = |proxy: &Proxy| {
            let url = stage.url_through(proxy);
            url.replace("postgres@", "limited@")
        };
        let namespace = match Namespace::make() {
            Ok(namespace) => {
                let door = Proxy::start_at(namespace.address(), stage.socket()).await;
                Some((namespace, door.expect("a proxy")))
            }
            Err(why) => {
                skip(&why);
                None
            }
        };
        let bouncer = Bouncer::start(stage, "limited").await;
        Self {
            bouncer: bouncer.map_err(|why| skip(&why)).ok(),
            through_proxy: limited(&proxy),
            direct,
            proxy,
            namespace,
        }
    }
}

impl World<'_> {
    /// Starts the worker of this place, each on its own road, some with a wrong clock.
    pub(super) fn worker(&self, at: usize) -> Running {
        self.start(at, self.stage.worker())
    }

    pub(super) fn start(&self, at: usize, worker: Actor) -> Running {
        // Behind a pooler a session is everybody's.
        let is_pooled = at == 2 && self.roads.bouncer.is_some();
        let worker = worker
            .set("CONCURRENCY", 25)
            .set("COMPANY", true)
            .set("SESSIONS", !is_pooled);
        let worker = match liar() {
            Some(liar) if fastrand::bool() => {
                let wrong_by = fastrand::choice([3_600, -3_600]).unwrap_or_default();
                worker.with_clock(liar, wrong_by)
            }
            _ => worker,
        };
        let roads = &self.roads;
        match (at, &roads.namespace, &roads.bouncer) {
            (0, ..) => worker.set("DATABASE_URL", &roads.direct).start(),
            (1, Some((namespace, door)), _) => {
                let url = self
                    .stage
                    .url_through(door)
                    .replace("postgres@", "limited@");
                worker
                    .set("DATABASE_URL", url)
                    .start_through(&namespace.prefix())
            }
            (2, _, Some(bouncer)) => worker
                .set("DATABASE_URL", bouncer.url())
                .set("LISTEN", false)
                .start(),
            _ => worker.set("DATABASE_URL", &roads.through_proxy).start(),
        }
    }
}
