//! taskq when things go wrong: processes and servers that are killed, connections that hang, disks
//! that are full. Workers are processes of their own; a history is kept outside of them and checked.

mod crash_points;
mod kill;
mod pause;
mod planted;
mod stage;
