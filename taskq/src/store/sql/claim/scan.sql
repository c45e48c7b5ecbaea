-- Finds the lanes of a queue that hold tasks which this worker can decode: where each begins, how long until
-- its first task is due, where its frontier stands, and whether other workers claim from it.
-- $1 queue, $2 task types, $3 the newest known payload version of each, $4 worker_id
-- Index task_lane: two probes for each lane, however many tasks it holds; frontier_pkey. Locks: none.
--
-- The parameters stand in subqueries so that Postgres plans once: see claim.
with recursive lane as (
    select known.task_type, known.newest, head.*
    from unnest((select $2::text[]), (select $3::smallint[])) as known (task_type, newest)
    cross join lateral (
        select task.payload_version, task.crashes, task.priority, task.run_at, task.task_id
        from taskq.task
        where task.queue = $1
          and task.task_type = known.task_type
          and task.payload_version <= known.newest
        order by task.payload_version, task.crashes, task.priority, task.run_at, task.task_id
        limit 1
    ) as head
    union all
    select lane.task_type, lane.newest, head.*
    from lane
    cross join lateral (
        select task.payload_version, task.crashes, task.priority, task.run_at, task.task_id
        from taskq.task
        where task.queue = $1
          and task.task_type = lane.task_type
          and (task.payload_version, task.crashes, task.priority)
            > (lane.payload_version, lane.crashes, lane.priority)
          and task.payload_version <= lane.newest
        order by task.payload_version, task.crashes, task.priority, task.run_at, task.task_id
        limit 1
    ) as head
)
select
    lane.task_type,
    lane.payload_version,
    lane.crashes,
    lane.priority,
    lane.run_at,
    lane.task_id,
    extract(epoch from greatest(lane.run_at - now(), interval '0'))::float8 as due_in,
    frontier.run_at as frontier_run_at,
    frontier.task_id as frontier_task_id,
    exists (
        select
        from taskq.worker
        where worker.worker_id <> $4
          and worker.expires_at > now()
          and $1 = any (worker.queues)
          and lane.task_type = any (worker.task_types)
    ) as is_shared
from lane
left join taskq.frontier
  on frontier.queue = $1
 and frontier.task_type = lane.task_type
 and frontier.payload_version = lane.payload_version
 and frontier.priority = lane.priority
 and lane.crashes = 0
