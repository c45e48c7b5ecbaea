-- Does what complete_own does, and keeps the task in the history.
-- $1 lease_id, $2 the handler's result (null: none is kept), $3 why it could not be kept (null: no reason)
-- Index lease_pkey. Locks: the lease; then a new row.
with completed as (
    delete from taskq.lease
    where lease_id = $1::uuid
      and cardinality(task_ids) - cardinality(done) = 1
    returning queue, claimed_at, done, tasks
),
history as (
    insert into taskq.history
    select history.*
    from completed
    cross join lateral taskq.left_in(completed.tasks, completed.done) as task
    cross join lateral taskq.as_history(
        task,
        completed.queue,
        completed.claimed_at,
        task.attempts + 1,
        taskq.with_error(task.errors, task.attempts + 1, $3::text),
        $2::jsonb
    ) as history
)
select
    cast(case count(*) when 1 then '1' else 'the lease of this task is gone' end as integer) as completed
from completed
