#[taskq::task]
async extern "C" fn send_mail(_to: String) {}

fn main() {}
