#[taskq::task]
const ANSWER: i64 = 42;

fn main() {
    assert_eq!(ANSWER, 42);
}
