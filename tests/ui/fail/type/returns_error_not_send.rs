use std::error::Error;

#[taskq::task]
async fn send_mail(_to: String) -> Result<(), Box<dyn Error>> {
    Ok(())
}

fn main() {}
