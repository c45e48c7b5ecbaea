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
    raw: i64,
    _unused: i64,
) {
    purge += conn + parts + payload + future + returned + raw;
    drop(Purge::enqueue(tx, purge, 1, 2, 3, 4, 5, 6, 7));
}

fn main() {
    let payload = Purge {
        purge: 1,
        conn: 2,
        parts: 3,
        payload: 4,
        future: 5,
        returned: 6,
        raw: 7,
        // Without the underscore, which is about the body alone.
        unused: 8,
    };
    assert_eq!(payload.unused, 8);
}
