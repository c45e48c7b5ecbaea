-- Finds the lanes of a queue that hold tasks which this worker can decode, and when the head of each
-- is due.
-- $1 queue, $2 task types, $3 the newest payload version that is known of each
-- Index task_lane: two probes for each lane, whatever stands in it. Locks: none.
with recursive lane as (
    select known.task_type, known.newest, head.*
    from unnest($2::text[], $3::smallint[]) as known (task_type, newest)
    cross join lateral (
        select task.payload_version, task.crashes, task.priority, task.run_at
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
        select task.payload_version, task.crashes, task.priority, task.run_at
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
    extract(epoch from greatest(lane.run_at - now(), interval '0'))::float8 as due_in
from lane
