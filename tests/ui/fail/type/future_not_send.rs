async fn connect() {}

#[taskq::task]
async fn send_mail(_to: String) {
    let count = std::rc::Rc::new(1);
    connect().await;
    drop(count);
}

fn main() {}
