//! A worker in a network of its own, of which all packets are dropped.

use std::net::Ipv4Addr;
use std::process::Command;
use std::time::Duration;

use taskq_tests::proxy::Proxy;
use tokio::time::sleep;

use crate::kill::enqueue_a_mixture;
use crate::stage::{LEASE, Stage, seed, skip};

/// A network namespace, joined to this one by a pair of interfaces. It ends with this value.
pub(crate) struct Namespace {
    name: String,
    /// This machine, seen from inside.
    address: Ipv4Addr,
}

impl Namespace {
    /// Makes one, or says why that is not possible.
    pub(crate) fn make() -> Result<Self, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("only root can make a network namespace".to_owned());
        }
        let id = fastrand::u16(..);
        let [high, low] = id.to_be_bytes();
        let name = format!("taskq{id}");
        run("ip", &["netns", "add", &name])?;
        let namespace = Self {
            address: Ipv4Addr::new(10, high, low, 1),
            name,
        };
        let (outside, inside) = (format!("tqo{id}"), format!("tqi{id}"));
        let ours = format!("{}/24", namespace.address);
        let theirs = format!("{}/24", Ipv4Addr::new(10, high, low, 2));
        run(
            "ip",
            &[
                "link",
                "add",
                &outside,
                "type",
                "veth",
                "peer",
                "name",
                &inside,
                "netns",
                &namespace.name,
            ],
        )?;
        run("ip", &["address", "add", &ours, "dev", &outside])?;
        run("ip", &["link", "set", &outside, "up"])?;
        namespace.run(&["ip", "address", "add", &theirs, "dev", &inside])?;
        namespace.run(&["ip", "link", "set", &inside, "up"])?;
        // Tried now, so that a missing program is a reason to skip.
        namespace.drop_packets()?;
        namespace.pass_packets()?;
        Ok(namespace)
    }

    /// Returns this machine's address, seen from inside.
    pub(crate) fn address(&self) -> Ipv4Addr {
        self.address
    }

    pub(crate) fn prefix(&self) -> [&str; 4] {
        ["ip", "netns", "exec", &self.name]
    }

    pub(crate) fn drop_packets(&self) -> Result<(), String> {
        self.run(&["iptables", "-A", "INPUT", "-j", "DROP"])?;
        self.run(&["iptables", "-A", "OUTPUT", "-j", "DROP"])
    }

    pub(crate) fn pass_packets(&self) -> Result<(), String> {
        self.run(&["iptables", "-F"])
    }

    fn run(&self, command: &[&str]) -> Result<(), String> {
        let prefix = self.prefix();
        let command: Vec<&str> = prefix.iter().chain(command).copied().collect();
        run(command[0], &command[1..])
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = run("ip", &["netns", "delete", &self.name]);
    }
}

fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    let command = || format!("`{program} {}`", arguments.join(" "));
    let output = Command::new(program)
        .args(arguments)
        .output()
        .map_err(|error| format!("{}: {error}", command()))?;
    if output.status.success() {
        Ok(())
    } else {
        Err(format!(
            "{}: {}",
            command(),
            String::from_utf8_lossy(&output.stderr).trim()
        ))
    }
}

#[tokio::test]
async fn all_is_well_while_the_packets_of_a_worker_are_dropped() {
    seed();
    let namespace = match Namespace::make() {
        Ok(namespace) => namespace,
        Err(why) => return skip(&why),
    };
    let stage = Stage::own().await;
    let door = Proxy::start_at(namespace.address(), stage.socket())
        .await
        .expect("a proxy");
    enqueue_a_mixture(&stage, 60, 40).await;
    let _cut_off = stage
        .worker()
        .set("DATABASE_URL", stage.url_through(&door))
        .start_through(&namespace.prefix());
    stage.at_least(20).await;
    let _other = stage.worker().start();
    for _ in 0..2 {
        sleep(Duration::from_millis(fastrand::u64(100..500))).await;
        stage.fault("packets are dropped");
        namespace.drop_packets().expect("dropped");
        sleep(LEASE + Duration::from_millis(fastrand::u64(0..1_000))).await;
        namespace.pass_packets().expect("passed");
    }
    stage.ends_well().await;
}
