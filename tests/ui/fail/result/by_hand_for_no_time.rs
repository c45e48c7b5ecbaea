use taskq::handler::{Declaration, Keep, KeepFor};

const DECLARATION: Declaration = Declaration::new()
    .keep(Keep::new().completed(KeepFor::NotAtAll))
    .keeps_result();

fn main() {
    let _ = DECLARATION;
}
