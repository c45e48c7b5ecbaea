-- Inserts very many tasks in the caller's transaction.
-- Locks: none beyond the new rows.
copy taskq.task (task_type, payload, queue, payload_version, priority, max_attempts)
from stdin
