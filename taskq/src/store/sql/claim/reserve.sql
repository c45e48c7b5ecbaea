-- Reserves ranges of lanes for one claim, where several workers claim from them: moves each lane's frontier
-- past its share, and returns the range that the frontier passed. Of a lane that holds less than its share it returns where the
-- rest begins, which nobody has reserved.
-- $1 queue; $2 task types, $3 payload versions, $4 priorities: lanes without crashes
-- $5 and $6 this worker's cursors in them (run_at, task_id), $7 the lanes' shares
-- Index frontier_pkey; task_lane: as many entries as are reserved. Locks: the lanes' frontiers, in the
-- order of their keys.
--
-- The frontier is a hint: the claim that follows takes what it finds. A lane that has no frontier yet is not returned. The
-- parameters stand in subqueries so that Postgres plans once: see claim.
with lane as materialized (
    select $1 as queue, given.*
    from unnest(
        (select $2::text[]),
        (select $3::smallint[]),
        (select $4::smallint[]),
        (select $5::timestamptz[]),
        (select $6::bigint[]),
        (select $7::integer[])
    ) as given (task_type, payload_version, priority, cursor_run_at, cursor_task_id, share)
),
begun as (
    insert into taskq.frontier (queue, task_type, payload_version, priority, run_at, task_id)
    select queue, task_type, payload_version, priority, cursor_run_at, cursor_task_id
    from lane
    order by task_type, payload_version, priority
    on conflict do nothing
),
held as materialized (
    select frontier.*, lane.share, lane.cursor_run_at, lane.cursor_task_id
    from taskq.frontier
    join lane using (queue, task_type, payload_version, priority)
    order by frontier.task_type, frontier.payload_version, frontier.priority
    for update of frontier
),
range as (
    select
        held.queue,
        held.task_type,
        held.payload_version,
        held.priority,
        range_start.run_at as start_run_at,
        range_start.task_id as start_task_id,
        range_end.run_at as end_run_at,
        range_end.task_id as end_task_id
    from held
    cross join lateral (
        select place.run_at, place.task_id
        from (values (held.run_at, held.task_id), (held.cursor_run_at, held.cursor_task_id))
            as place (run_at, task_id)
        order by place.run_at desc, place.task_id desc
        limit 1
    ) as range_start
    left join lateral (
        select task.run_at, task.task_id
        from taskq.task
        where task.queue = held.queue
          and task.task_type = held.task_type
          and task.payload_version = held.payload_version
          and task.crashes = 0
          and task.priority = held.priority
          and (task.run_at, task.task_id) > (range_start.run_at, range_start.task_id)
          and task.run_at <= now()
        order by task.run_at, task.task_id
        offset held.share - 1
        limit 1
    ) as range_end on true
),
moved as (
    update taskq.frontier
    set run_at = range.end_run_at,
        task_id = range.end_task_id
    from range
    where range.end_task_id is not null
      and frontier.queue = range.queue
      and frontier.task_type = range.task_type
      and frontier.payload_version = range.payload_version
      and frontier.priority = range.priority
)
select
    range.task_type,
    range.payload_version,
    range.priority,
    range.start_run_at,
    range.start_task_id,
    range.end_run_at,
    range.end_task_id
from range
