//! What the fault tests are made of: tasks that record what happens to them, the history that they
//! leave outside of the system, and the checker that reads it. And what the two releases of a program
//! share.

#![cfg_attr(doctest, doc = include_str!("../../README.md"))]

/// The programs of the guide, which are compiled like those of the README.
#[cfg(doctest)]
mod guide {
    macro_rules! chapters {
        ($($chapter:ident is $file:literal),+ $(,)?) => {
            $(
                #[doc = include_str!(concat!("../../docs/guide/", $file))]
                mod $chapter {}
            )+
        };
    }

    chapters! {
        declare is "declare.md",
        enqueue is "enqueue.md",
        work is "work.md",
        fail is "fail.md",
        hooks is "hooks.md",
        wait is "wait.md",
        groups is "groups.md",
        batch is "batch.md",
        elsewhere is "elsewhere.md",
        order is "order.md",
        schedule is "schedule.md",
        find is "find.md",
        dashboard is "dashboard.md",
        shell is "shell.md",
        operate is "operate.md",
        watch is "watch.md",
        trace is "trace.md",
        test is "test.md",
        deploy is "deploy.md",
        evolve is "evolve.md",
        coming_from_others is "coming-from-others.md",
    }
}

pub mod checker;
pub mod company;
pub mod history;
pub mod killers;
pub mod proxy;
pub mod release;
pub mod sessions;
pub mod tasks;
