#![forbid(unsafe_code)]
#![deny(warnings, missing_docs, unreachable_pub)]
//! A payload that is declared elsewhere, and handlers of it in each form.

/// Stands for a crate of payloads.
pub mod contracts {
    use serde::{Deserialize, Serialize};

    /// With everything that can be said.
    #[derive(Debug, PartialEq, Serialize, Deserialize, taskq::Payload)]
    #[taskq(name = "mail.welcome", queue = "mail", priority = -5, max_attempts = 5)]
    pub struct Welcome {
        /// A field.
        pub usr_id: i64,
        /// A field called by a word of the language.
        #[serde(default)]
        pub r#type: Option<String>,
    }

    /// Named after itself.
    #[derive(Serialize, Deserialize, taskq::Payload)]
    pub struct SendSms {
        #[allow(dead_code)]
        to: String,
    }

    /// An enum.
    #[derive(Serialize, Deserialize, taskq::Payload)]
    pub enum Purge {
        /// All of it.
        All,
        /// What is older.
        Before(i64),
    }

    /// Without fields.
    #[derive(Serialize, Deserialize, taskq::Payload)]
    pub struct Tick;
}

/// Worker state.
#[derive(Debug)]
pub struct Mailer;

/// Takes fields, in any order, beside state and the transaction.
#[taskq::task(handles = contracts::Welcome, timeout = "30s", alias = "welcome")]
pub async fn send_welcome(
    tx: &mut sqlx::PgConnection,
    mut r#type: Option<String>,
    mailer: &Mailer,
    usr_id: i64,
) -> Result<(), sqlx::Error> {
    let _ = (tx, r#type.take(), mailer, usr_id);
    Ok(())
}

/// Takes the payload as a whole, and says twice what it handles.
#[taskq::task(handles = contracts::Purge)]
async fn purge(#[payload] what: contracts::Purge) {
    let _ = matches!(what, contracts::Purge::Before(_));
}

#[taskq::task]
async fn send_sms(#[payload] sms: contracts::SendSms, attempt: &taskq::Attempt) {
    let _ = (sms, attempt);
}

// Needs nothing of it.
#[taskq::task(handles = contracts::Tick)]
async fn tick() {}

// Does not use what it takes.
#[taskq::task(handles = contracts::Welcome)]
async fn _count_welcomes(_usr_id: i64) {}

fn main() {
    use taskq::handler::Task;
    use taskq::Payload;

    assert_eq!(contracts::Welcome::TASK_TYPE, "mail.welcome");
    assert_eq!(contracts::Welcome::OPTIONS.queue, "mail");
    assert_eq!(contracts::Welcome::OPTIONS.priority, -5);
    assert_eq!(contracts::Welcome::OPTIONS.max_attempts, 5);
    assert_eq!(contracts::SendSms::TASK_TYPE, "send_sms");

    fn payload_of<T: Task>() -> &'static str {
        T::Payload::TASK_TYPE
    }
    assert_eq!(payload_of::<SendWelcomeHandler>(), "mail.welcome");
    assert_eq!(payload_of::<PurgeHandler>(), "purge");
    assert_eq!(payload_of::<SendSmsHandler>(), "send_sms");
    assert_eq!(payload_of::<TickHandler>(), "tick");
    assert_eq!(payload_of::<CountWelcomesHandler>(), "mail.welcome");
    let declaration = format!("{:?}", SendWelcomeHandler::DECLARATION);
    assert!(declaration.contains("Transactional") && declaration.contains("30s"), "{declaration}");

    fn enqueues(tx: &mut sqlx::PgConnection) {
        let _ = contracts::Welcome::enqueue(tx, 1, None);
        let _ = taskq::enqueue(tx, contracts::Purge::All);
        let _ = taskq::enqueue(tx, contracts::Tick);
    }
    let _ = enqueues;
    fn only(worker: taskq::WorkerBuilder) -> taskq::WorkerBuilder {
        worker.only::<(SendWelcomeHandler, PurgeHandler)>()
    }
    let _ = only;
}
