//! All that a handler may return.

#![forbid(unsafe_code)]
#![deny(warnings, missing_docs)]

use std::error::Error;
use std::fmt;

struct NotSerialize;

type Alias<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

#[derive(Debug)]
struct Own;

impl fmt::Display for Own {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("own")
    }
}

impl Error for Own {}

#[taskq::task]
async fn nothing(_id: i64) {}

#[taskq::task]
async fn unit(_id: i64) -> () {}

#[taskq::task]
async fn anyhow_result(_id: i64) -> anyhow::Result<()> {
    Err(taskq::outcome::discard("no such user"))?
}

#[taskq::task]
async fn value(_id: i64) -> anyhow::Result<NotSerialize> {
    Ok(NotSerialize)
}

#[taskq::task]
async fn string_error(_id: i64) -> Result<(), String> {
    Err("no".to_owned())
}

#[taskq::task]
async fn text(_id: i64) -> Result<(), &'static str> {
    Err("no")
}

#[taskq::task]
async fn boxed(_id: i64) -> Result<i64, Box<dyn Error + Send + Sync>> {
    Err("no".into())
}

#[taskq::task]
async fn aliased(_id: i64) -> Alias {
    Err(Own)?
}

#[taskq::task]
async fn own_error(_id: i64) -> Result<(), Own> {
    Err(Own)
}

#[taskq::task]
async fn opaque(_id: i64) -> Result<(), impl Error + Send + Sync + 'static> {
    Err(Own)
}

#[taskq::task]
async fn from_a_module(_id: i64) -> taskq_result::Of<Own> {
    Ok(())
}

#[taskq::task]
async fn control(_id: i64) -> Result<(), taskq::outcome::Decision> {
    Err(taskq::outcome::snooze(std::time::Duration::from_secs(1)))
}

#[taskq::task]
async fn not_written_yet(_id: i64) -> anyhow::Result<()> {
    todo!()
}

mod taskq_result {
    pub(crate) type Of<E> = Result<(), E>;
}

fn main() {}
