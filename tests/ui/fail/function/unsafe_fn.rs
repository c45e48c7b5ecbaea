#[taskq::task]
async unsafe fn send_mail(_to: String) {}

fn main() {}
