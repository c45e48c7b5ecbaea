-- Adds to what workers have counted in this minute.
-- $1 queues, $2 task types, $3 how many attempts completed, $4 failed, $5 died
-- $6 how long their tasks had been due, $7 how long they ran: arrays as text, by powers of two of a millisecond
-- Index minute_pkey. Locks: rows of this minute, in the order of their keys.
insert into taskq.minute (minute, queue, task_type, completed, failed, died, waits, runs)
select
    date_trunc('minute', now()),
    given.queue,
    given.task_type,
    given.completed,
    given.failed,
    given.died,
    given.waits::bigint[],
    given.runs::bigint[]
from unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::text[], $7::text[]) as given (
    queue,
    task_type,
    completed,
    failed,
    died,
    waits,
    runs
)
order by given.queue, given.task_type
on conflict (minute, queue, task_type) do update
set completed = minute.completed + excluded.completed,
    failed = minute.failed + excluded.failed,
    died = minute.died + excluded.died,
    waits = array(
        select coalesce(both_counts.former, 0) + coalesce(both_counts.added, 0)
        from unnest(minute.waits, excluded.waits) with ordinality as both_counts (former, added, place)
        order by both_counts.place
    ),
    runs = array(
        select coalesce(both_counts.former, 0) + coalesce(both_counts.added, 0)
        from unnest(minute.runs, excluded.runs) with ordinality as both_counts (former, added, place)
        order by both_counts.place
    )
