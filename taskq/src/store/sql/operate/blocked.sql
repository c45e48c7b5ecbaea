-- Tells at which dead tasks sequences wait, and how many tasks wait behind each.
-- Reads the table of blocks, and of each the waiting tasks of its key, by index task_sequence. Locks: none.
select
    task_id,
    task_type,
    key,
    state,
    blocked_at,
    error,
    is_kept,
    waiting
from taskq.blocked
order by blocked_at, task_id
