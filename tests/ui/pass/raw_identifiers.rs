//! Keywords, raw, as names of handlers and arguments.

#![forbid(unsafe_code)]
#![deny(warnings, missing_docs)]

use taskq::handler::Task;
use taskq::Payload;

#[taskq::task]
async fn r#match(r#type: i64, mut r#fn: String) {
    r#fn.push_str("!");
    assert!(r#type > 0 || !r#fn.is_empty());
}

#[taskq::task(payload = r#Yield)]
async fn r#loop(r#in: i64) -> Result<(), String> {
    (r#in > 0).then_some(()).ok_or("not positive".to_owned())
}

fn main() {
    let payload = Match {
        r#type: 1,
        r#fn: "a".to_owned(),
    };
    assert_eq!(
        serde_json::to_string(&payload).unwrap(),
        r#"{"type":1,"fn":"a"}"#,
    );
    assert_eq!(<Match as Payload>::TASK_TYPE, "match");
    assert_eq!(<Yield as Task>::Payload::TASK_TYPE, "loop");
    let _ = Yield { r#in: 1 };
}
