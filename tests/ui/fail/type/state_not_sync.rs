struct Counter(std::cell::Cell<u64>);

#[taskq::task]
async fn send_mail(counter: &Counter, _to: String) {
    counter.0.set(1);
}

fn main() {}
