struct Address;

#[taskq::task]
async fn send_mail(
    #[serde(bound = "for<'a> Address: serde::Serialize + serde::Deserialize<'a>")] _to: Address,
) {
}

fn main() {}
