-- Lists the tasks that match a filter, the newest first, and says where it stopped looking.
-- $1 filter, $2 how many at the most, $3 the place at which to go on (null: from the beginning), $4 at how many to look,
-- $5 for how long (null: as long as that takes)
-- Indexes task_pkey, dead_finished_at, dead_cause, refused_at, history_pkey: as many rows of each as $4 says, while they do not
-- match. Leases are few. Locks: none.
select
    task_id,
    task_type,
    state,
    queue,
    priority,
    at,
    run_at,
    attempts,
    max_attempts,
    crashes,
    error,
    cause,
    worker_id,
    place,
    looked
from taskq.list($1, $2, $3, $4, make_interval(secs => $5))
