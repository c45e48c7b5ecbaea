-- Finds the lanes of a queue that hold tasks of the given types, and when the head of each is due.
-- $1 queue, $2 task types
-- Index task_lane: two probes for each lane, whatever stands in it. Locks: none.
with recursive lane as (
    select known.task_type, head.priority, head.run_at
    from unnest($2::text[]) as known (task_type)
    cross join lateral (
        select task.priority, task.run_at
        from taskq.task
        where task.queue = $1
          and task.task_type = known.task_type
        order by task.priority, task.run_at, task.task_id
        limit 1
    ) as head
    union all
    select lane.task_type, head.priority, head.run_at
    from lane
    cross join lateral (
        select task.priority, task.run_at
        from taskq.task
        where task.queue = $1
          and task.task_type = lane.task_type
          and task.priority > lane.priority
        order by task.priority, task.run_at, task.task_id
        limit 1
    ) as head
)
select
    lane.task_type,
    lane.priority,
    extract(epoch from greatest(lane.run_at - now(), interval '0'))::float8 as due_in
from lane
