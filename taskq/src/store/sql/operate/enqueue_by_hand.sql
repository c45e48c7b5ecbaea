-- Enqueues a task by the name of its type, and records that an operator did.
-- $1 task_type, $2 payload, $3 options, as taskq.enqueue takes them, $4 reason
-- $5 by whom; null for the role of the session
-- Locks: as taskq.enqueue; a new row of the audit.
select
    task_id,
    outcome
from taskq.enqueue_by_hand($1, $2, $3, $4, coalesce($5, session_user))
