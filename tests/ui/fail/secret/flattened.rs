#[derive(serde::Serialize, serde::Deserialize)]
struct Card {
    number: String,
}

#[taskq::task]
async fn charge(#[secret] #[serde(flatten)] card: Card) {
    let _ = card.number;
}

fn main() {}
