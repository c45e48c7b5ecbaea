#[taskq::task]
async fn send_mail(_to: String) -> Result<(), i64> {
    Err(1)
}

fn main() {}
