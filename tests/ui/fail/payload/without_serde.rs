#[derive(taskq::Payload)]
struct SendMail {
    usr_id: i64,
}

fn main() {}
