#[taskq::task]
async fn send_mail(_to: String)
where
    String: Send,
{
}

fn main() {}
