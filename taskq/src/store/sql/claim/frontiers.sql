-- Finds the lanes of a queue of which claims have reserved ranges, as scan would if the first task of each stood where its
-- frontier does.
-- $1 queue, $2 task types, $3 the newest known payload version of each, $4 worker_id
-- Index frontier_pkey. Locks: none.
-- Goes on in lanes.sql.
with lane as (
    select
        frontier.task_type,
        frontier.payload_version,
        0 as crashes,
        frontier.priority,
        frontier.run_at,
        frontier.task_id
    from unnest($2::text[], $3::smallint[]) as known (task_type, newest)
    join taskq.frontier
      on frontier.queue = $1
     and frontier.task_type = known.task_type
     and frontier.payload_version <= known.newest
)
