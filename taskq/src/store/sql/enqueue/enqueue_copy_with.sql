-- Does what enqueue_copy.sql does, for tasks that have metadata.
-- Locks: none beyond the new rows.
copy taskq.task (task_type, payload, queue, payload_version, priority, max_attempts, metadata)
from stdin
