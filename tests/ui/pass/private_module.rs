//! The payload is as visible as its handler.

#![forbid(unsafe_code)]
#![deny(warnings, missing_docs, unreachable_pub, unused_qualifications)]

mod mail {
    use serde::{Deserialize, Serialize};

    #[derive(Serialize, Deserialize)]
    struct Address(String);

    #[taskq::task]
    async fn private(_to: Address) {}

    #[taskq::task]
    pub(crate) async fn seen_in_the_crate(_id: i64) {}

    pub(crate) mod deep {
        #[taskq::task]
        pub(in crate::mail) async fn seen_in_mail(_id: i64) {}

        #[taskq::task]
        pub(super) async fn seen_above(_id: i64) {}
    }

    pub(crate) fn use_all() -> (i64, i64, String) {
        let private = Private {
            to: Address("a@b.c".to_owned()),
        };
        let mail = deep::SeenInMail { id: 2 };
        let above = deep::SeenAbove { id: 3 };
        (mail.id, above.id, private.to.0)
    }
}

fn main() {
    let _ = mail::SeenInTheCrate { id: 1 };
    assert_eq!(mail::use_all(), (2, 3, "a@b.c".to_owned()));
}
