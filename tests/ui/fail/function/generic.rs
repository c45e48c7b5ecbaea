#[taskq::task]
async fn send_mail<T: Send>(_to: T, id: i64) {
    drop(id);
}

fn payload() -> SendMail {
    SendMail { id: 1 }
}

fn main() {}
