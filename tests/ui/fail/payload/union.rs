#[derive(taskq::Payload)]
union SendMail {
    usr_id: i64,
    address_id: i64,
}

fn main() {}
