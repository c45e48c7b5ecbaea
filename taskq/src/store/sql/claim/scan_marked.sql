-- Finds the lanes of a queue that hold tasks which this worker can decode, as scan does, beside lanes that it has
-- marked: there it begins at the marks.
-- $1 queue, $2 task types, $3 the newest known payload version of each, $4 worker_id
-- $5 task types, $6 payload versions, $7 priorities: lanes without crashes that the worker has marked;
-- $8 and $9 the marks (run_at, task_id), before which it does not look
-- $10 whether to look for lanes that are not marked
-- Index task_lane: a probe for each marked lane, and a few for each lane and each gap between marked ones, however
-- many tasks they hold; frontier_pkey. Locks: none.
-- Goes on in lanes.sql.
--
-- What stands between two lanes is looked for in five pieces, in order, each with equal values before its bounds. A scan
-- whose end is a comparison of rows goes on to the end of the lane: Postgres stops it at the first column alone.
--
-- What is paused is left out. Of the others a marked lane is returned even if it holds nothing: without a place. A
-- probe walks over the rows that died lately and that no vacuum has taken away. The parameters stand in subqueries so
-- that Postgres plans once: see claim.
with recursive paused as materialized (
    select pause.scope, pause.name
    from taskq.pause
    where (pause.until is null or pause.until > now())
      and (pause.scope = 'task_type' or pause.name = $1)
),
marked as materialized (
    select *
    from unnest(
        (select $5::text[]),
        (select $6::smallint[]),
        (select $7::smallint[]),
        (select $8::timestamptz[]),
        (select $9::bigint[])
    ) as marked (task_type, payload_version, priority, run_at, task_id)
    where not exists (
        select
        from paused
        where paused.scope = 'queue'
           or paused.name = marked.task_type
    )
),
gap as materialized (
    select
        task_type,
        payload_version,
        crashes,
        priority,
        lead(payload_version, 1, newest + 1) over lanes as end_version,
        lead(crashes, 1, -1) over lanes as end_crashes,
        lead(priority, 1, 0) over lanes as end_priority
    from (
        select known.task_type, known.newest, start.*
        from unnest((select $2::text[]), (select $3::smallint[])) as known (task_type, newest)
        cross join lateral (
            select -1, -1, 0
            union all
            select marked.payload_version, 0, marked.priority
            from marked
            where marked.task_type = known.task_type
        ) as start (payload_version, crashes, priority)
        where not exists (
            select
            from paused
            where paused.scope = 'queue'
               or paused.name = known.task_type
        )
    ) as start
    window lanes as (partition by task_type order by payload_version, crashes, priority)
),
unmarked as (
    -- Where a gap begins, there is no lane.
    select
        task_type,
        payload_version,
        crashes,
        priority,
        end_version,
        end_crashes,
        end_priority,
        null::timestamptz as run_at,
        null::bigint as task_id
    from gap
    where (select $10::boolean)
    union all
    select
        lane.task_type,
        head.payload_version,
        head.crashes,
        head.priority,
        lane.end_version,
        lane.end_crashes,
        lane.end_priority,
        head.run_at,
        head.task_id
    from unmarked as lane
    cross join lateral (
        (
            select task.payload_version, task.crashes, task.priority, task.run_at, task.task_id
            from taskq.task
            where task.queue = $1
              and task.task_type = lane.task_type
              and task.payload_version = lane.payload_version
              and task.crashes = lane.crashes
              and task.priority > lane.priority
              and task.priority < case
                  when (lane.payload_version, lane.crashes) = (lane.end_version, lane.end_crashes)
                      then lane.end_priority
                  else 32768
              end
              and lane.crashes >= 0
            order by task.priority, task.run_at, task.task_id
            limit 1
        )
        union all
        (
            select task.payload_version, task.crashes, task.priority, task.run_at, task.task_id
            from taskq.task
            where task.queue = $1
              and task.task_type = lane.task_type
              and task.payload_version = lane.payload_version
              and task.crashes > lane.crashes
              and task.crashes < case
                  when lane.payload_version = lane.end_version then lane.end_crashes
                  else 2147483647
              end
              and lane.crashes >= 0
            order by task.crashes, task.priority, task.run_at, task.task_id
            limit 1
        )
        union all
        (
            select task.payload_version, task.crashes, task.priority, task.run_at, task.task_id
            from taskq.task
            where task.queue = $1
              and task.task_type = lane.task_type
              and task.payload_version > lane.payload_version
              and task.payload_version < lane.end_version
            order by task.payload_version, task.crashes, task.priority, task.run_at, task.task_id
            limit 1
        )
        union all
        (
            select task.payload_version, task.crashes, task.priority, task.run_at, task.task_id
            from taskq.task
            where task.queue = $1
              and task.task_type = lane.task_type
              and task.payload_version = lane.end_version
              and task.crashes < lane.end_crashes
              and lane.payload_version < lane.end_version
              and lane.end_crashes > 0
            order by task.crashes, task.priority, task.run_at, task.task_id
            limit 1
        )
        union all
        (
            select task.payload_version, task.crashes, task.priority, task.run_at, task.task_id
            from taskq.task
            where task.queue = $1
              and task.task_type = lane.task_type
              and task.payload_version = lane.end_version
              and task.crashes = lane.end_crashes
              and task.priority < lane.end_priority
              and (lane.payload_version, lane.crashes) <> (lane.end_version, lane.end_crashes)
              and lane.end_crashes >= 0
            order by task.priority, task.run_at, task.task_id
            limit 1
        )
        limit 1
    ) as head
),
lane as (
    select task_type, payload_version::smallint, crashes, priority::smallint, run_at, task_id
    from unmarked
    where task_id is not null
    union all
    select marked.task_type, marked.payload_version, 0, marked.priority, head.run_at, head.task_id
    from marked
    left join lateral (
        select task.run_at, task.task_id
        from taskq.task
        where task.queue = $1
          and task.task_type = marked.task_type
          and task.payload_version = marked.payload_version
          and task.crashes = 0
          and task.priority = marked.priority
          and (task.run_at, task.task_id) > (marked.run_at, marked.task_id)
        order by task.run_at, task.task_id
        limit 1
    ) as head on true
)
