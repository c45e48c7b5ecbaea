-- Drops the days of the history that ended longer ago than asked, and makes room for the next ones.
-- $1 for how many seconds finished tasks are kept
-- Locks: taskq.history, for as long as a partition is made or dropped; gives up after two seconds.
select taskq.prune_history(make_interval(secs => $1))
