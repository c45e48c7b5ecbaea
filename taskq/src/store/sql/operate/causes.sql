-- Tells of what dead tasks that match a filter have died.
-- $1 filter, $2 how many causes at the most, $3 at how many tasks to look
-- Index dead_cause: as many entries as $3 says; or dead_finished_at: a tenth as many rows. Locks: none.
select
    cause,
    task_type,
    state,
    total,
    first_at,
    last_at,
    last_task_id,
    error,
    counted_to
from taskq.causes($1, $2, $3)
