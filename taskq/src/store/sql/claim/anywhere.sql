-- Chooses places in lanes by chance, behind which a claim begins: among what is due, without reading it.
-- $1 queue; $2 task types, $3 payload versions, $4 crashes, $5 priorities: the lanes
-- $6 and $7 places before which they hold nothing (run_at, task_id), $8 how many places of each
-- Index task_lane: two probes for each lane and two for each place, however many tasks the lane holds. Locks: none.
--
-- Chance chooses a time between the first and the last task that is due, and then among the tasks of one time, as a
-- bulk of them has it. The end of a lane is its last task that is due. The parameters stand in subqueries so that
-- Postgres plans once: see claim.
with lane as materialized (
    select given.*
    from unnest(
        (select $2::text[]),
        (select $3::smallint[]),
        (select $4::integer[]),
        (select $5::smallint[]),
        (select $6::timestamptz[]),
        (select $7::bigint[]),
        (select $8::integer[])
    ) with ordinality as given (
        task_type,
        payload_version,
        crashes,
        priority,
        cursor_run_at,
        cursor_task_id,
        places,
        lane
    )
),
ends as materialized (
    select
        lane.*,
        first.run_at as first_run_at,
        last.run_at as last_run_at,
        last.task_id as last_task_id
    from lane
    cross join lateral (
        select task.run_at
        from taskq.task
        where task.queue = $1
          and task.task_type = lane.task_type
          and task.payload_version = lane.payload_version
          and task.crashes = lane.crashes
          and task.priority = lane.priority
          and (task.run_at, task.task_id) > (lane.cursor_run_at, lane.cursor_task_id)
          and task.run_at <= now()
        order by task.run_at, task.task_id
        limit 1
    ) as first
    cross join lateral (
        select task.run_at, task.task_id
        from taskq.task
        where task.queue = $1
          and task.task_type = lane.task_type
          and task.payload_version = lane.payload_version
          and task.crashes = lane.crashes
          and task.priority = lane.priority
          and task.run_at <= now()
        order by task.run_at desc, task.task_id desc
        limit 1
    ) as last
),
chance as materialized (
    select
        ends.*,
        ends.first_run_at + random() * (ends.last_run_at - ends.first_run_at) as any_run_at,
        random() as part
    from ends
    cross join generate_series(1, ends.places)
)
select
    chance.lane,
    low.run_at as start_run_at,
    low.task_id + floor(chance.part * (high.task_id - low.task_id + 1))::bigint - 1 as start_task_id,
    chance.last_run_at as end_run_at,
    chance.last_task_id as end_task_id
from chance
cross join lateral (
    select task.run_at, task.task_id
    from taskq.task
    where task.queue = $1
      and task.task_type = chance.task_type
      and task.payload_version = chance.payload_version
      and task.crashes = chance.crashes
      and task.priority = chance.priority
      and task.run_at >= chance.any_run_at
      and task.run_at <= now()
    order by task.run_at, task.task_id
    limit 1
) as low
cross join lateral (
    -- The last of the same time. Said as an equation, the planner would look for it by the id alone.
    select task.task_id
    from taskq.task
    where task.queue = $1
      and task.task_type = chance.task_type
      and task.payload_version = chance.payload_version
      and task.crashes = chance.crashes
      and task.priority = chance.priority
      and task.run_at <= low.run_at
    order by task.run_at desc, task.task_id desc
    limit 1
) as high
