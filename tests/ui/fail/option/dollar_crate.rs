macro_rules! task {
    () => {
        #[taskq::task(crate = $crate::facade::taskq)]
        async fn send_mail(_to: String) {}
    };
}

task!();

fn main() {}
