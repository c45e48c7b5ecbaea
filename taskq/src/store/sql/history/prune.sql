-- Drops a day of the history that ended longer ago than asked, or makes room for one of the next, and returns the
-- name of its partition; null if there is nothing left to do.
-- $1 for how many seconds finished tasks are kept
-- Locks: taskq.history, for as long as a partition is made or dropped; gives up after a fifth of a second.
select taskq.prune_history_day(make_interval(secs => $1))
