#[taskq::task]
struct SendMail {
    to: String,
}

fn main() {
    let _ = SendMail { to: String::new() };
}
