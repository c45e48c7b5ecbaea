-- Tells which members of an operation have failed, and why.
-- $1 bulk_id
-- Index bulk_failure_pkey: a thousand rows, about. Locks: none.
select
    task_id,
    error
from taskq.bulk_failure
where bulk_id = $1
order by task_id
