-- Tells what would be pruned now.
-- $1 for how many seconds completed tasks are kept of which nobody says it
-- Reads all of the history that is so old. Index dead_kept. Locks: none.
select task_type, outcome, seconds, tasks, oldest_at from taskq.prunable(make_interval(secs => $1))
