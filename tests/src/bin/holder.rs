//! Holds a cluster in a process of its own, for the tests to kill.

use taskq::testing::Cluster;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let name = std::env::args().nth(1).ok_or("the name of a cluster")?;
    let cluster = Cluster::persistent(&name).await?;
    println!("{}", cluster.url(&name));
    if std::env::args().nth(2).as_deref() == Some("panic") {
        panic!("as asked");
    }
    std::future::pending().await
}
