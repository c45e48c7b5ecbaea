#[taskq::task(unique(fields(usr_id), until = "done"))]
async fn charge(usr_id: i64) {
    let _ = usr_id;
}

fn main() {}
