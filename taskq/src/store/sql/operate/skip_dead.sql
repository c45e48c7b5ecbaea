-- Has a sequence go on without the dead task at which it waits, and returns what was blocked.
-- $1 task_id; $2 how many waiting tasks that may free at most (null: none may be skipped); $3 reason,
-- $4 by whom; null for the role of the session
-- Index sequence_block_pkey, task_sequence. Locks: an advisory one; the row of the block.
select
    task_id,
    task_type,
    key,
    state,
    blocked_at,
    error,
    is_kept,
    waiting
from taskq.skip_dead($1, $2, $3, $4)
