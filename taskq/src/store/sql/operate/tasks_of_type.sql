-- Shows the latest tasks of one type, wherever they are, to a test that looks for one.
-- $1 task_type text, $2 so many at the most
-- Walks the tables: tests have small ones. Locks: none.
select
    task_id,
    state,
    queue,
    payload_version,
    payload,
    priority,
    run_at,
    created_at
from taskq.tasks
where task_type = $1
order by task_id desc
limit $2
