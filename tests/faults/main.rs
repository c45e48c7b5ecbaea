//! taskq when things go wrong: processes and servers that are killed, connections that hang, disks
//! that are full, constraints of users that refuse rows. Workers are processes of their own; a history is
//! kept outside of them and checked.

mod again;
mod bouncer;
mod clock;
mod crash_points;
mod doctor;
mod fair;
mod hang;
mod kill;
mod killers;
mod limits;
mod namespace;
mod obstacles;
mod operator;
mod part;
mod pause;
mod planted;
mod schedules;
mod sequences;
mod server;
mod soak;
mod stage;
