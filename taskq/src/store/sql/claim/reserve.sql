-- Sets the next tasks of lanes apart for one claim, where several workers claim from them: moves each
-- lane's frontier to behind its share, and returns the stretch that it passed.
-- $1 queue; $2 task types, $3 payload versions, $4 priorities: lanes without crashes
-- $5 and $6 how far this worker knows each to have been claimed (run_at, task_id), $7 the lanes' shares
-- Index frontier_pkey; task_lane: as many entries as are set apart. Locks: the lanes' frontiers, in the
-- order of their keys.
--
-- Only a hint moves: the claim that follows takes what it finds. A lane that holds less than its share is
-- not returned, nor is one that has no frontier yet. The parameters stand in subqueries so that the plan is
-- made once: see claim.
with known as materialized (
    select $1 as queue, lane.*
    from unnest(
        (select $2::text[]),
        (select $3::smallint[]),
        (select $4::smallint[]),
        (select $5::timestamptz[]),
        (select $6::bigint[]),
        (select $7::integer[])
    ) as lane (task_type, payload_version, priority, run_at, task_id, share)
),
begun as (
    insert into taskq.frontier (queue, task_type, payload_version, priority, run_at, task_id)
    select queue, task_type, payload_version, priority, run_at, task_id
    from known
    order by task_type, payload_version, priority
    on conflict do nothing
),
held as materialized (
    select frontier.*, known.share, known.run_at as known_run_at, known.task_id as known_task_id
    from taskq.frontier
    join known using (queue, task_type, payload_version, priority)
    order by frontier.task_type, frontier.payload_version, frontier.priority
    for update of frontier
),
stretch as (
    select
        held.queue,
        held.task_type,
        held.payload_version,
        held.priority,
        floor.run_at as floor_run_at,
        floor.task_id as floor_task_id,
        ceiling.run_at,
        ceiling.task_id
    from held
    cross join lateral (
        select place.run_at, place.task_id
        from (values (held.run_at, held.task_id), (held.known_run_at, held.known_task_id))
            as place (run_at, task_id)
        order by place.run_at desc, place.task_id desc
        limit 1
    ) as floor
    cross join lateral (
        select task.run_at, task.task_id
        from taskq.task
        where task.queue = held.queue
          and task.task_type = held.task_type
          and task.payload_version = held.payload_version
          and task.crashes = 0
          and task.priority = held.priority
          and (task.run_at, task.task_id) > (floor.run_at, floor.task_id)
          and task.run_at <= now()
        order by task.run_at, task.task_id
        offset held.share - 1
        limit 1
    ) as ceiling
)
update taskq.frontier
set run_at = stretch.run_at,
    task_id = stretch.task_id
from stretch
where frontier.queue = stretch.queue
  and frontier.task_type = stretch.task_type
  and frontier.payload_version = stretch.payload_version
  and frontier.priority = stretch.priority
returning
    frontier.task_type,
    frontier.payload_version,
    frontier.priority,
    stretch.floor_run_at,
    stretch.floor_task_id,
    frontier.run_at as ceiling_run_at,
    frontier.task_id as ceiling_task_id
