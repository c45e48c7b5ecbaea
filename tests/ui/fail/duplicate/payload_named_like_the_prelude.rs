#[taskq::task]
async fn string(_value: String) {}

async fn call() {
    string("a".to_owned()).await;
}

fn main() {}
