-- Tells of what dead tasks that match a filter have died.
-- $1 filter, $2 how many causes at the most, $3 at how many tasks to look
-- Index dead_finished_at or dead_cause: as many rows as $3 says. Locks: none.
select
    cause,
    task_type,
    state,
    total,
    first_at,
    last_at,
    last_task_id,
    error,
    looked
from taskq.causes($1, $2, $3)
