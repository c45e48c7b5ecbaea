//! All faults at once, for a few seconds, or for as many as `TASKQ_SOAK_SECONDS` says.

pub(crate) mod company;
mod enqueuer;
mod flow;
mod roads;

use std::env;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use taskq_tests::history::{Event, Scope};
use taskq_tests::proxy::Weather;
use tokio::time::sleep;

use self::company::{end_waits, seal_all};
use self::enqueuer::enqueue;
use self::roads::Roads;
use crate::obstacles::Obstacle;
use crate::operator::{all_over, set_ids_back, take_back};
use crate::server::{Disk, end_connections, limited, set_read_only};
use crate::stage::company::{encrypt, seen};
use crate::stage::{LEASE, Running, Stage, seed, skip};

/// How long a soak takes unless said otherwise.
const SECONDS: u64 = 8;

/// How long it may take until all is over, once the faults have ended.
const AFTERWARDS: Duration = Duration::from_secs(180);

/// Tasks that wait at the most for each second of a soak, so that the last of them do not wait for
/// hours.
const BACKLOG: i64 = 400;

/// Tasks that wait at the most in a long soak.
const LONGEST_BACKLOG: i64 = 20_000;

/// By how many the sequence of ids is set back at the most: an application that enqueues needs so many
/// attempts at the most until it is past what waits.
const MOST_IDS: i64 = 500;

/// How many connections the workers may have together, in ordinary times.
const CONNECTIONS: u32 = 150;

/// Everything that faults are done to.
struct World<'a> {
    stage: &'a Stage,
    roads: Roads,
    disk: Option<Disk>,
    workers: Vec<Running>,
    /// Processes in which somebody waits for tasks.
    waiters: Vec<Running>,
    /// What refuses rows, and for how many further faults.
    obstacle: Option<(Obstacle, u8)>,
    /// What is paused, and for how many further faults.
    pause: Option<(Scope, u8)>,
}

#[tokio::test]
async fn all_is_well_with_all_faults_at_once() {
    let seconds = env::var("TASKQ_SOAK_SECONDS")
        .ok()
        .map(|text| text.parse().expect("TASKQ_SOAK_SECONDS is a number"))
        .unwrap_or(SECONDS);
    let seed = seed();
    encrypt();
    let stage = Stage::own().await;
    // Room for what a long soak leaves behind: a server that is killed every other second forgets what
    // there is to vacuum.
    let disk = Disk::make(256 + 2 * seconds);
    let disk = disk.map_err(|why| skip(&why)).ok();
    if let Some(disk) = &disk {
        disk.hold_tasks(&stage).await;
    }
    let url = limited(&stage).await;
    stage
        .execute("create role bystander; grant bystander to limited")
        .await;
    let mut world = World {
        roads: Roads::make(&stage, url).await,
        stage: &stage,
        disk,
        workers: Vec::new(),
        waiters: Vec::new(),
        obstacle: None,
        pause: None,
    };
    world.set_connection_limit(CONNECTIONS).await;
    for at in 0..4 {
        let worker = world.worker(at);
        world.workers.push(worker);
    }
    for at in 0..2 {
        let waiter = world.waiter(at);
        world.waiters.push(waiter);
    }
    stage.take_turns(&["once", "once_lazily"]).await;
    stage.schedule().await;
    let (is_over, done) = (AtomicBool::new(false), AtomicUsize::new(0));
    let addresses = [
        &stage.url,
        &stage.url,
        &stage.url_through(&world.roads.proxy),
    ];
    let backlog = LONGEST_BACKLOG.min(BACKLOG * i64::try_from(seconds).unwrap_or(i64::MAX));
    let enqueuers = addresses.map(|url| enqueue(&stage, url, backlog, &is_over));
    let [first, second, third] = enqueuers;
    let [_, fourth, fifth] = addresses.map(|url| flow::enqueue(&stage, url, &is_over));
    let [_, sixth, seventh] = addresses.map(|url| company::enqueue(&stage, url, &is_over));
    let faults = async {
        let end = Instant::now() + Duration::from_secs(seconds);
        // Nothing has been done to any worker: each hears of it within a second.
        stage.at_least(1).await;
        world.pause(Duration::from_millis(1_100)).await;
        while Instant::now() < end {
            sleep(Duration::from_millis(fastrand::u64(50..700))).await;
            world.do_harm().await;
            world.look_at_places().await;
            world.let_obstacle_go().await;
            world.let_pause_go().await;
            done.fetch_add(1, Ordering::Relaxed);
        }
        is_over.store(true, Ordering::Relaxed);
        if let Some((obstacle, _)) = world.obstacle.take() {
            obstacle.remove(&stage).await;
        }
        world.end_pause().await;
    };
    let began = Instant::now();
    tokio::join!(faults, first, second, third, fourth, fifth, sixth, seventh);
    // What a client has given up may still be under way.
    world.roads.proxy.cut();
    sleep(Duration::from_millis(500)).await;
    stage.end_schedules().await;
    seal_all(&stage).await;
    all_over(&stage, AFTERWARDS).await;
    end_waits(&mut world.waiters).await;
    for worker in &mut world.workers {
        let ended = worker.has_ended();
        assert!(
            ended.is_none(),
            "a worker ended by itself: {ended:?}\n{stage}"
        );
    }
    world.workers.clear();
    let summary = stage.is_well().await;
    println!(
        "soak: seed {seed}, {} faults in {seconds} s, over after {:?}: {summary:?}",
        done.into_inner(),
        began.elapsed(),
    );
    println!("in company: {:?}", seen(&stage).await);
    for (fault, count) in stage.faults() {
        println!("{count:>6}  {fault}");
    }
}

impl World<'_> {
    async fn do_harm(&mut self) {
        let stage = self.stage;
        let victim = fastrand::usize(..self.workers.len());
        match fastrand::u8(..34) {
            0..=3 => {
                stage.fault("a worker is killed");
                self.workers[victim].kill();
                self.workers[victim] = self.worker(victim);
            }
            4 => {
                stage.fault("a worker is asked to stop");
                self.workers[victim].signal(Signal::TERM);
                self.workers[victim].ended().await;
                self.workers[victim] = self.worker(victim);
            }
            5..=6 => {
                stage.fault("a worker is paused");
                self.workers[victim].signal(Signal::STOP);
                some_time(200, 4_500).await;
                self.workers[victim].signal(Signal::CONT);
            }
            7..=9 => {
                stage.fault("connections are ended by the server");
                end_some_connections(stage).await;
            }
            10..=11 => {
                stage.fault("connections hang");
                self.weather(Weather::Hanging, 5_000).await;
            }
            12 => {
                stage.fault("answers are lost");
                self.weather(Weather::AnswersLost, 2_000).await;
                self.roads.proxy.cut();
            }
            13 => {
                stage.fault("the network is slow");
                self.weather(Weather::Slow(Duration::from_millis(30)), 2_000)
                    .await;
            }
            14..=15 => {
                if let Some((namespace, _)) = &self.roads.namespace {
                    stage.fault("packets are dropped");
                    namespace.drop_packets().expect("dropped");
                    some_time(200, 4_500).await;
                    namespace.pass_packets().expect("passed");
                }
            }
            16 => {
                stage.fault("there is no connection to spare");
                self.set_connection_limit(fastrand::u32(..20)).await;
                end_connections(stage).await;
                some_time(200, 4_000).await;
                self.set_connection_limit(CONNECTIONS).await;
            }
            17 => {
                set_read_only(stage, true).await;
                some_time(200, 3_500).await;
                set_read_only(stage, false).await;
            }
            18 => {
                if let Some(disk) = &self.disk {
                    stage.fault("the disk is full");
                    disk.fill();
                    some_time(200, 4_000).await;
                    disk.clear();
                }
            }
            19 => {
                if let Some(bouncer) = &mut self.roads.bouncer {
                    stage.fault("the pooler is killed");
                    bouncer.restart();
                }
            }
            20..=23 => {
                if self.obstacle.is_none()
                    && let Some(obstacle) = Obstacle::raise(stage).await
                {
                    self.obstacle = Some((obstacle, fastrand::u8(1..=6)));
                    some_time(200, 2_000).await;
                }
            }
            24..=25 => set_ids_back(stage, MOST_IDS).await,
            26 => {
                stage.fault("all workers are paused");
                self.workers.iter().for_each(|it| it.signal(Signal::STOP));
                some_time(200, 4_500).await;
                self.workers.iter().for_each(|it| it.signal(Signal::CONT));
            }
            27 => {
                stage.fault("a worker is paused between a claim and its tasks");
                let late = stage.worker().set("TASKQ_PAUSE_AT", "after_claim:2");
                self.workers[victim] = self.start(victim, late);
                let began = Instant::now();
                while began.elapsed() < LEASE && !self.workers[victim].is_stopped() {
                    sleep(Duration::from_millis(20)).await;
                }
                if self.workers[victim].is_stopped() {
                    sleep(LEASE + LEASE / 4).await;
                    self.workers[victim].signal(Signal::CONT);
                } else {
                    // It would stand still later, and nobody would wake it.
                    self.workers[victim].kill();
                    self.workers[victim] = self.worker(victim);
                }
            }
            28 => {
                stage.fault("answers come when leases are over");
                self.weather(Weather::AnswersLate(LEASE + LEASE / 4), 6_000)
                    .await;
            }
            29..=30 => self.pause_in_calm().await,
            31..=32 => {
                stage.fault("a process that waits is killed");
                let at = fastrand::usize(..self.waiters.len());
                self.waiters[at].kill();
                self.waiters[at] = self.waiter(at);
            }
            _ => {
                stage.history.record(Event::ServerKilled);
                stage.fault("Postgres is killed");
                stage.cluster().kill().await.expect("killed");
                some_time(0, 3_500).await;
                stage.cluster().restart().await.expect("restarted");
            }
        }
    }

    /// Takes away what refuses rows, when it is time, and takes back what it refused.
    async fn let_obstacle_go(&mut self) {
        match self.obstacle {
            Some((obstacle, 0)) => {
                obstacle.remove(self.stage).await;
                self.obstacle = None;
                // Otherwise in the end.
                let _ = take_back(self.stage).await;
            }
            Some((_, faults)) => self.obstacle = self.obstacle.map(|(it, _)| (it, faults - 1)),
            None => {}
        }
    }

    async fn weather(&self, weather: Weather, longest_ms: u64) {
        self.roads.proxy.set(weather);
        some_time(100, longest_ms).await;
        self.roads.proxy.set(Weather::Fair);
        if fastrand::bool() {
            self.roads.proxy.cut();
        }
    }

    async fn set_connection_limit(&self, limit: u32) {
        sqlx::query(sqlx::AssertSqlSafe(format!(
            "alter role limited connection limit {limit}"
        )))
        .execute(&self.stage.pool)
        .await
        .expect("altered");
    }
}

async fn end_some_connections(stage: &Stage) {
    let ended = sqlx::query(
        "select pg_terminate_backend(pid) from pg_stat_activity
         where usename = 'limited' and random() < 0.4",
    );
    ended.execute(&stage.pool).await.expect("ended");
}

async fn some_time(least_ms: u64, most_ms: u64) {
    sleep(Duration::from_millis(fastrand::u64(least_ms..=most_ms))).await;
}
