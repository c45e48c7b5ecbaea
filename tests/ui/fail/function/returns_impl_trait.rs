#[taskq::task]
async fn send_mail(_to: String) -> impl Future<Output = ()> {
    async {}
}

fn main() {}
