#![forbid(unsafe_code)]
#![deny(warnings)]

use taskq::json::{self, RawValue};
use taskq::error::{DecodeError, EncodeError, InvalidPayload};
use taskq::handler::{BoxFuture, Declaration, IntoOutcome, Outcome, Parts, StateRequirement, Task};
use taskq::Payload;

struct Invite(Vec<i64>);

impl Payload for Invite {
    const TASK_TYPE: &'static str = "invite";

    fn encode(&self) -> Result<Box<RawValue>, EncodeError> {
        json::encode(&self.0)
    }

    fn decode(raw: &RawValue, _version: Option<u16>) -> Result<Self, DecodeError> {
        json::decode(raw).map(Self)
    }

    fn validate(&self) -> Result<(), InvalidPayload> {
        match self.0.is_empty() {
            true => Err(InvalidPayload::new(".", "invites nobody")),
            false => Ok(()),
        }
    }
}

/// One handler for each transport: what an attribute on a function cannot express.
struct Via<T>(std::marker::PhantomData<T>);

impl<T: Send + Sync + 'static> Task for Via<T> {
    type Payload = Invite;

    const DECLARATION: Declaration =
        Declaration::new().states(const { &[StateRequirement::of::<T>()] });

    fn run<'a>(payload: Invite, parts: Parts<'a>) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            let _transport: &T = parts.state();
            match payload.0.len() {
                0 => Err::<(), _>("nobody").into_outcome(),
                _ => ().into_outcome(),
            }
        })
    }
}

struct Smtp;

taskq::register!(Via<Smtp>);

fn main() {
    let raw = Invite(vec![1, 2]).encode().unwrap();
    assert_eq!(raw.get(), "[1,2]");
    assert_eq!(Invite::decode(&raw, None).unwrap().0, [1, 2]);
    let refused = Invite(vec![]).validate().unwrap_err();
    assert_eq!(refused.to_string(), "`.`: invites nobody");
}
