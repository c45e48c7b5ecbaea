//! Every option, and what it does.

#![forbid(unsafe_code)]
#![deny(warnings, missing_docs)]

use taskq::handler::Task;
use taskq::Payload;

#[taskq::task(
    name = "mail.welcome",
    alias = ["send_welcome", "welcome"],
    queue = "mail",
    priority = -5,
    max_attempts = 3,
    timeout = "1h30m",
    payload = Welcome,
    derive(Clone),
    crate = ::taskq,
)]
async fn send_email_welcome(usr_id: i64) -> Result<(), String> {
    (usr_id > 0).then_some(()).ok_or("no such user".to_owned())
}

#[taskq::task()]
async fn plain() {}

#[taskq::task(alias = "one")]
async fn with_one_alias() {}

fn main() {
    assert_eq!(Welcome::TASK_TYPE, "mail.welcome");
    assert_eq!(Welcome::OPTIONS.queue, "mail");
    assert_eq!(Welcome::OPTIONS.priority, -5);
    assert_eq!(Welcome::OPTIONS.max_attempts, 3);
    let declaration = format!("{:?}", Welcome::DECLARATION);
    for part in [
        r#"aliases: ["send_welcome", "welcome"]"#,
        "options.rs\", line: 20,",
        "AtLeastOnce",
        "timeout: 5400s",
    ] {
        assert!(declaration.contains(part), "{part} in {declaration}");
    }
    assert_eq!(Plain::TASK_TYPE, "plain");
    assert_eq!(Plain::OPTIONS.queue, taskq::defaults::QUEUE);
    assert!(format!("{:?}", WithOneAlias::DECLARATION).contains(r#"aliases: ["one"]"#));
    let _ = Welcome { usr_id: 1 }.clone();
}
