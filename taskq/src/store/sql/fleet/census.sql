-- Counts the waiting tasks that no living worker serves: their type is not implemented by any, or
-- nobody works on their queue.
-- $1 count at the most so many of a kind, $2 look at so many kinds at the most
-- Index task_lane: one probe for each (queue, task_type), and the rows counted. Locks: none.
with kind as materialized (
    select * from taskq.waiting_kinds($2)
),
served as (
    select unnest(worker.queues) as queue, worker.task_types
    from taskq.worker
    where worker.expires_at > now()
)
select
    kind.queue,
    kind.task_type,
    exists (select from served where served.queue = kind.queue) as queue_is_served,
    exists (select from served where kind.task_type = any (served.task_types)) as type_is_known,
    counted.waiting
from kind
cross join lateral (
    select count(*) as waiting
    from (
        select
        from taskq.task
        where task.queue = kind.queue
          and task.task_type = kind.task_type
        limit $1
    ) as rows_of_kind
) as counted
where not exists (
    select
    from served
    where served.queue = kind.queue
      and kind.task_type = any (served.task_types)
)
order by counted.waiting desc, kind.queue, kind.task_type
