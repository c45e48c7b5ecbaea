#[taskq::task]
mod mail {
    pub async fn send() {}
}

async fn send() {
    mail::send().await
}

fn main() {}
