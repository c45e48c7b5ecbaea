#[taskq::task(concurrency(5, key = token))]
async fn connect(usr_id: i64, #[secret] token: String) {
    let _ = (usr_id, token);
}

fn main() {}
