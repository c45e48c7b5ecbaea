#![doc = links!()]
#![doc = include_str!("../guide/README.md")]

// Where the chapters' links lead in rustdoc. Each chapter defines the same names at its end, for people who
// read it as a file; in Markdown the first definition of a name counts.
macro_rules! links {
    () => {
        "\
[declare]: crate::guide::declare
[enqueue]: crate::guide::enqueue
[work]: crate::guide::work
[fail]: crate::guide::fail
[wait]: crate::guide::wait
[groups]: crate::guide::groups
[hooks]: crate::guide::hooks
[batch]: crate::guide::batch
[elsewhere]: crate::guide::elsewhere
[order]: crate::guide::order
[schedule]: crate::guide::schedule
[limits]: crate::guide::limits
[find]: crate::guide::find
[dashboard]: crate::guide::dashboard
[shell]: crate::guide::shell
[operate]: crate::guide::operate
[watch]: crate::guide::watch
[trace]: crate::guide::trace
[test]: crate::guide::test
[deploy]: crate::guide::deploy
[evolve]: crate::guide::evolve
[proved]: crate::guide::proved
[coming-from-others]: crate::guide::coming_from_others
[dashboard-picture]: https://raw.githubusercontent.com/taskq-rs/taskq/main/docs/dashboard.png
[task-picture]: https://raw.githubusercontent.com/taskq-rs/taskq/main/docs/dashboard-task.png
[phone-picture]: https://raw.githubusercontent.com/taskq-rs/taskq/main/docs/dashboard-phone.png
[readme]: https://github.com/taskq-rs/taskq#readme
[migrations]: https://github.com/taskq-rs/taskq/blob/main/migrations/README.md
[protocol]: https://github.com/taskq-rs/taskq/blob/main/docs/protocol.md
[roles]: https://github.com/taskq-rs/taskq/blob/main/migrations/roles.sql

"
    };
}

macro_rules! chapters {
    ($($chapter:ident is $file:literal),+ $(,)?) => {
        $(
            #[doc = links!()]
            #[doc = include_str!(concat!("../guide/", $file))]
            pub mod $chapter {}
        )+
    };
}

chapters! {
    declare is "declare.md",
    enqueue is "enqueue.md",
    work is "work.md",
    fail is "fail.md",
    wait is "wait.md",
    groups is "groups.md",
    hooks is "hooks.md",
    batch is "batch.md",
    elsewhere is "elsewhere.md",
    order is "order.md",
    schedule is "schedule.md",
    limits is "limits.md",
    find is "find.md",
    dashboard is "dashboard.md",
    shell is "shell.md",
    operate is "operate.md",
    watch is "watch.md",
    trace is "trace.md",
    test is "test.md",
    deploy is "deploy.md",
    evolve is "evolve.md",
    proved is "proved.md",
    coming_from_others is "coming-from-others.md",
}
