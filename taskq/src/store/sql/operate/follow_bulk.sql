-- Tells what has become of the tasks that an operation retried, as far as it has written them down.
-- $1 bulk_id
-- Indexes bulk_retried_pkey, audit_task, task_pkey, dead_pkey and refused_pkey: some ten thousand ids; and all leases. Locks: none.
select
    followed,
    waiting,
    failing,
    running,
    completed,
    discarded,
    dead,
    refused
from taskq.follow_bulk($1)
