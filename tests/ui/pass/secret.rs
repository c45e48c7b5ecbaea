//! Secret fields: of a handler's arguments, and of a struct of the user's.

#![forbid(unsafe_code)]
#![deny(warnings)]

use serde::{Deserialize, Serialize};
use taskq::{Payload, Secret};

type Result<T> = std::result::Result<T, String>;

#[taskq::task(derive(Debug, Clone), unique(fields(usr_id)))]
async fn connect(
    usr_id: i64,
    #[secret]
    #[serde(rename = "apiToken", alias = "key")]
    token: String,
    /// Its own type.
    #[secret]
    r#type: Option<Secret<String>>,
) -> Result<()> {
    let _ = (usr_id, token, r#type);
    Ok(())
}

#[derive(Debug, Serialize, Deserialize, Payload)]
#[taskq(queue = "mail")]
struct Charge {
    usr_id: i64,
    #[taskq(secret)]
    card: Secret<String>,
}

fn main() {
    let payload = Connect {
        usr_id: 42,
        token: "canary".into(),
        r#type: Some("canary".to_owned().into()),
    };
    assert_eq!(
        format!("{:?}", payload.clone()),
        "Connect { usr_id: 42, token: ***, type: *** }"
    );
    assert_eq!(Connect::OPTIONS.secret, ["token", "apiToken", "key", "type"]);
    let payload = Charge {
        usr_id: 42,
        card: "canary".to_owned().into(),
    };
    assert_eq!(format!("{payload:?}"), "Charge { usr_id: 42, card: *** }");
    assert_eq!(Charge::OPTIONS.secret, ["card"]);
    assert_eq!(payload.card.into_inner(), "canary");
}
