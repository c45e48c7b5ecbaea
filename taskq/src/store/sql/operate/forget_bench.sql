-- Deletes all that `bench` may have left, when it is done or was interrupted. Its queue and its task type have one name.
-- $1 text: that name
-- Locks: the rows deleted.
with waiting as (
    delete from taskq.task
    where queue = $1
),
running as (
    delete from taskq.lease
    where queue = $1
),
ended as (
    delete from taskq.dead
    where queue = $1
      and task_type = $1
),
counted as (
    delete from taskq.counter
    where task_type = $1
)
delete from taskq.minute
where queue = $1
  and task_type = $1
