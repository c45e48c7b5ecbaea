-- A history of 24 days that have ended, and dead tasks. Each day is filled before it is a part of the history, as it would be
-- if its tasks had come in its time.
do $fill$
declare
    a_day bigint := current_setting('bench.finished')::bigint / 24;
    day date;
    first timestamptz;
begin
    for back in 2 .. 25 loop
        day := (now() at time zone 'UTC')::date - back;
        first := day::timestamp at time zone 'UTC';
        perform taskq.make_history_partition(day);
        execute format(
            'insert into taskq.%I (
                 task_id, task_type, payload_version, payload, queue, priority, created_at, attempts, claimed_at, finished_at
             )
             select
                 100000000 + %s::bigint * %s + n,
                 case when n %% 4 = 0 then ''kept_shorter'' else ''kept_longer'' end,
                 1,
                 jsonb_build_object(''usr_id'', n %% 10007, ''to'', n || ''@example.org''),
                 ''mail'',
                 0,
                 $1 - interval ''1 minute'',
                 1,
                 $1,
                 $1 + interval ''1 day'' * (n - 1) / %s
             from generate_series(1, %s) as n',
            'history_' || to_char(day, 'YYYYMMDD'), a_day, back, a_day, a_day
        ) using first;
    end loop;
end
$fill$;

insert into taskq.dead (
    task_id, task_type, payload_version, payload, queue, priority, created_at, attempts, crashes, errors, state, finished_at
)
select
    50000000 + n,
    'kept_shorter',
    1,
    jsonb_build_object('usr_id', n % 10007, 'to', n || '@example.org'),
    'mail',
    0,
    now() - interval '31 days',
    5,
    0,
    jsonb_build_array(jsonb_build_object('attempt', 5, 'at', now(), 'error', 'mail server said no')),
    'discarded',
    now() - interval '2 days' - interval '28 days' * n / (current_setting('bench.finished')::bigint / 50 + 1)
from generate_series(1, current_setting('bench.finished')::bigint / 50) as n;

-- Workers that start declare their own times; these hold in their place.
select
    taskq.keep('', 'completed', 'forever'),
    taskq.keep('kept_longer', 'completed', 'forever');
