struct SendMail;

taskq::register!(SendMail);

fn main() {}
