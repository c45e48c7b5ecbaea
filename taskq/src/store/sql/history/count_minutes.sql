-- Adds to what workers have counted in this minute, and to the same of all kinds together.
-- $1 queues, $2 task types, $3 how many attempts completed, $4 failed, $5 died
-- $6 how long their tasks had been due, $7 how long they ran: arrays as text, by powers of two of a millisecond
-- $8 to $12 the last five of all kinds together
-- Indexes minute_pkey, minute_total_pkey. Locks: rows of this minute, in the order of their keys; at last that of all kinds.
with total as (
    -- Nobody reads what it returns, so Postgres runs it last.
    insert into taskq.minute_total (minute, completed, failed, died, waits, runs)
    values (date_trunc('minute', now()), $8, $9, $10, $11::text::bigint[], $12::text::bigint[])
    on conflict (minute) do update
    set completed = minute_total.completed + excluded.completed,
        failed = minute_total.failed + excluded.failed,
        died = minute_total.died + excluded.died,
        waits = array(
            select coalesce(both_counts.former, 0) + coalesce(both_counts.added, 0)
            from unnest(minute_total.waits, excluded.waits) with ordinality as both_counts (former, added, place)
            order by both_counts.place
        ),
        runs = array(
            select coalesce(both_counts.former, 0) + coalesce(both_counts.added, 0)
            from unnest(minute_total.runs, excluded.runs) with ordinality as both_counts (former, added, place)
            order by both_counts.place
        )
)
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
