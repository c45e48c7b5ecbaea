//! What a web server and its workers agree on: the payloads of their tasks. No handler is known here, so
//! whoever depends on this crate links none.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Asks for a welcome mail to a user.
#[derive(Debug, Serialize, Deserialize, JsonSchema, taskq::Payload)]
#[taskq(queue = "mail", max_attempts = 5)]
pub struct SendEmailWelcome {
    /// Who signed up.
    pub usr_id: i64,
    /// The language of the mail; English if nobody said.
    #[serde(default)]
    pub locale: Option<String>,
}
