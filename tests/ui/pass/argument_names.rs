//! Arguments are called like the function, like what the macro uses inside, and like each other.

#![forbid(unsafe_code)]
#![deny(warnings, missing_docs)]

#[taskq::task]
async fn purge(
    tx: &mut sqlx::PgConnection,
    mut purge: i64,
    conn: i64,
    parts: i64,
    payload: i64,
    future: i64,
    returned: i64,
    _payload: i64,
    _parts: i64,
    raw: i64,
) {
    purge += conn + parts + payload + future + returned + _payload + _parts + raw;
    drop(Purge::enqueue(tx, purge, 1, 2, 3, 4, 5, 6, 7, 8));
}

fn main() {}
