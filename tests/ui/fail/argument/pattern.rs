#[taskq::task]
async fn send_mail((_to, _from): (String, String)) {}

fn main() {}
