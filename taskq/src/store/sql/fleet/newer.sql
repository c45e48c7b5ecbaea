-- Counts the waiting tasks of a worker's queues whose payload is newer than it decodes, and that have been due for so
-- long that no other worker seems to take them.
-- $1 queues, $2 task types, $3 the newest known payload version of each
-- $4 count at the most so many of a kind, $5 due for so many seconds
-- Index task_lane: one probe for each (queue, task_type), and the rows counted. Locks: none.
--
-- The order is that of the index. Without it Postgres guesses that a third of all tasks are newer, so that it would soon find
-- some in the table itself, and reads all of a million rows where none is.
select
    served.queue,
    known.task_type,
    newer.payload_version,
    newer.waiting
from unnest($1::text[]) as served (queue)
cross join unnest($2::text[], $3::smallint[]) as known (task_type, newest)
cross join lateral (
    select
        min(rows_of_kind.payload_version) as payload_version,
        count(*) as waiting
    from (
        select task.payload_version, task.run_at
        from taskq.task
        where task.queue = served.queue
          and task.task_type = known.task_type
          and task.payload_version > known.newest
        order by task.payload_version, task.crashes, task.priority, task.run_at, task.task_id
        limit $4
    ) as rows_of_kind
    where rows_of_kind.run_at < now() - make_interval(secs => $5)
) as newer
where newer.waiting > 0
order by newer.waiting desc, served.queue, known.task_type
