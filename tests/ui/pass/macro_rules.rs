//! Tasks are made by a macro, which passes types and names on.

#![forbid(unsafe_code)]
#![deny(warnings, missing_docs)]

use taskq::Payload;

macro_rules! tasks {
    ($($name:ident($argument:ident: $ty:ty, $state:ty) in $queue:literal;)+) => {
        $(
            #[taskq::task(queue = $queue, max_attempts = 3)]
            async fn $name(tx: &mut sqlx::PgConnection, _state: $state, $argument: $ty, own: i64) {
                let _ = (tx, $argument, own);
            }
        )+
    };
}

macro_rules! task_of_its_own {
    () => {
        #[taskq::task]
        async fn made_here(tx: &mut taskq::Tx, id: i64) -> Result<(), String> {
            let _ = (tx, id);
            Ok(())
        }
    };
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Address(String);

macro_rules! wrapped {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($argument:ident: $ty:ty),*) -> $ret:ty $body:block) => {
        $(#[$meta])*
        #[taskq::task]
        $vis async fn $name(address: $crate::Address, $($argument: $ty),*) -> $ret {
            drop(address);
            $body
        }
    };
}

tasks! {
    one(id: i64, &u8) in "a";
    two(names: Vec<String>, &(dyn std::fmt::Debug + Send + Sync)) in "b";
}
task_of_its_own!();
wrapped! {
    /// Documented.
    pub(crate) fn three(id: i64, tx: &mut taskq::Tx) -> Result<(), String> {
        let _ = (id, tx);
        Ok(())
    }
}

fn main() {
    assert_eq!((One::OPTIONS.queue, Two::OPTIONS.queue), ("a", "b"));
    let _ = One { id: 1, own: 2 };
    let _ = Two {
        names: vec![],
        own: 2,
    };
    let _ = MadeHere { id: 1 };
    let three = Three {
        address: Address("a@b.c".to_owned()),
        id: 1,
    };
    assert_eq!(three.address.0, "a@b.c");
}
