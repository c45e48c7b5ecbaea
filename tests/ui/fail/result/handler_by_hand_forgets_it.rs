use taskq::handler::{BoxFuture, Declaration, Outcome, Parts, Task};

#[derive(serde::Serialize, serde::Deserialize, taskq::Payload)]
#[taskq(result = i64)]
struct Charge;

struct ChargeHandler;

impl Task for ChargeHandler {
    type Payload = Charge;

    const DECLARATION: Declaration = Declaration::new();

    fn run<'a>(_: Charge, _: Parts<'a>) -> BoxFuture<'a, Outcome> {
        Box::pin(async { Outcome::Completed })
    }
}

taskq::register!(ChargeHandler);

fn main() {}
