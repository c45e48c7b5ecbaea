-- Finds the lanes of a queue that hold tasks which this worker can decode: where each begins, how long until
-- its first task is due, where its frontier stands, and whether other workers claim from it.
-- $1 queue, $2 task types, $3 the newest known payload version of each, $4 worker_id
-- Index task_lane: two probes for each lane, however many tasks it holds; frontier_pkey. Locks: none.
-- Goes on in lanes.sql.
--
-- What is paused is left out. The parameters stand in subqueries so that Postgres plans once: see claim.
-- scan_marked could do this too, but to begin it takes Postgres longer than all of this.
with recursive paused as materialized (
    select pause.scope, pause.name
    from taskq.pause
    where (pause.until is null or pause.until > now())
      and (pause.scope = 'task_type' or pause.name = $1)
),
lane as (
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
    where not exists (
        select
        from paused
        where paused.scope = 'queue'
           or paused.name = known.task_type
    )
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
