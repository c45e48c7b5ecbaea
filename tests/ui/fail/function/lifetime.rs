#[taskq::task]
async fn send_mail<'a>(_config: &'a u8, _name: std::borrow::Cow<'a, str>) {}

fn main() {}
