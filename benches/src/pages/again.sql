-- What grows old within minutes: run after the tables are filled, and before each measurement of tables that were kept.

update taskq.worker
set expires_at = now() + interval '1 day';

update taskq.lease
set expires_at = now() + interval '1 day';

truncate taskq.minute, taskq.minute_total;

-- Two days of minutes.
insert into taskq.minute (minute, queue, task_type, completed, failed, died, waits, runs)
select
    date_trunc('minute', now()) - interval '1 minute' * n,
    'queue_' || k % 20,
    'kind_' || k,
    60,
    3,
    1,
    array[0, 1, 2, 5, 10, 20, 15, 7, 2, 1],
    array[0, 0, 0, 0, 1, 5, 20, 20, 10, 5]
from generate_series(0, 2879) as n
cross join generate_series(1, 100) as k;

-- All kinds of a minute are alike.
insert into taskq.minute_total (minute, completed, failed, died, waits, runs)
select
    minute.minute,
    100 * minute.completed,
    100 * minute.failed,
    100 * minute.died,
    array(select 100 * number from unnest(minute.waits) with ordinality as counted (number, place) order by place),
    array(select 100 * number from unnest(minute.runs) with ordinality as counted (number, place) order by place)
from taskq.minute
where minute.task_type = 'kind_1';
