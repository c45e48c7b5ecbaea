#[taskq::task]
async fn connect(#[secret] #[serde(rename(serialize = "tkn", deserialize = "token"))] _token: String) {}

fn main() {}
