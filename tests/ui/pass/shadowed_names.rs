//! The user's types are called like those of the standard library.

#![forbid(unsafe_code)]
#![deny(warnings, missing_docs)]

mod std {}
mod core {}

#[derive(serde::Serialize, serde::Deserialize)]
struct Option(u8);
#[derive(serde::Serialize, serde::Deserialize)]
struct String(u8);
#[derive(serde::Serialize, serde::Deserialize)]
struct Some(u8);
#[derive(serde::Serialize, serde::Deserialize)]
struct Box(u8);
type Result = ::std::result::Result<(), ::std::string::String>;
trait Send {}
trait Sync {}
trait Into {}
trait Clone {}
impl<T> Send for T {}
impl<T> Sync for T {}
impl<T> Into for T {}
impl<T> Clone for T {}

#[taskq::task(queue = "mail", priority = 1, max_attempts = 2, timeout = "3s", alias = "old")]
async fn shadowed(
    _tx: &mut taskq::Tx,
    _state: &u8,
    a: Option,
    b: String,
    c: Some,
    d: Box,
) -> Result {
    if a.0 + b.0 + c.0 + d.0 > 9 {
        return Err("too much".to_owned());
    }
    Ok(())
}

fn needs<T: Send + Sync + Into + Clone>(_: T) {}

fn main() {
    needs(1);
    let payload = Shadowed {
        a: Option(1),
        b: String(2),
        c: Some(3),
        d: Box(4),
    };
    assert_eq!(payload.d.0, 4);
}
