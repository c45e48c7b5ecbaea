-- Fills the tables as they are after a bad week: much waits, much has died, and much more has completed.
-- The settings bench.waiting, bench.dead and bench.finished say how much. No trigger announces the rows one by one.

-- Half of it is of one kind. The rest is of four hundred kinds in twenty queues, a tenth of it due later.
insert into taskq.task (task_type, queue, payload, payload_version, run_at, created_at)
select
    case when n % 2 = 0 then 'send_mail' else 'kind_' || n % 400 end,
    case when n % 2 = 0 then 'mail' else 'queue_' || n % 20 end,
    jsonb_build_object('usr_id', n % 10007, 'to', n || '@example.org'),
    1,
    now() + case when n % 10 = 1 then interval '1 day' else interval '-1 hour' end,
    now() - interval '3 days' * n / current_setting('bench.waiting')::integer
from generate_series(1, current_setting('bench.waiting')::integer) as n;

-- Of a hundred causes, over three days: more than ten thousand of each of the first twenty.
insert into taskq.dead (
    task_id, task_type, payload, queue, priority, created_at, attempts, crashes, errors, state, finished_at, payload_version
)
select
    100000000 + n,
    'kind_' || c,
    jsonb_build_object('usr_id', n % 10007, 'to', n || '@example.org'),
    'queue_' || c % 20,
    0,
    now() - interval '4 days',
    5,
    0,
    jsonb_build_array(
        jsonb_build_object('attempt', 4, 'at', now(), 'error', 'connection reset by peer'),
        jsonb_build_object(
            'attempt', 5,
            'at', now(),
            'error', format('mail server %s said: user %s is over quota, case %s',
                (array['a', 'b', 'c', 'd', 'e'])[c % 5 + 1], n, md5(n::text))
        )
    ),
    case when n % 50 = 0 then 'cancelled' when n % 49 = 0 then 'quarantined' else 'discarded' end,
    now() - interval '3 days' * n / current_setting('bench.dead')::integer,
    1
from generate_series(1, current_setting('bench.dead')::integer) as n
cross join lateral (
    select case when n % 10 = 0 then n / 10 % 100 else n % 20 end as c
) as cause;

-- Ten days of history.
select taskq.make_history_partition((now() at time zone 'UTC')::date - back)
from generate_series(1, 10) as back;

insert into taskq.history (
    task_id, task_type, payload, queue, priority, created_at, attempts, claimed_at, finished_at, payload_version
)
select
    200000000 + n,
    case when n % 2 = 0 then 'send_mail' else 'kind_' || n % 400 end,
    jsonb_build_object('usr_id', n % 10007, 'to', n || '@example.org'),
    case when n % 2 = 0 then 'mail' else 'queue_' || n % 20 end,
    0,
    now() - interval '11 days',
    1,
    now() - interval '10 days',
    now() - interval '10 days' * n / current_setting('bench.finished')::integer,
    1
from generate_series(1, current_setting('bench.finished')::integer) as n;

-- 32 workers, each of which runs 200 tasks in four leases.
insert into taskq.worker (worker_id, host, process_id, queues, task_types, expires_at, slots, release)
select
    uuid_in(md5('worker ' || n)::cstring),
    'host-' || n,
    n,
    array(select 'queue_' || q from generate_series(0, 19) as q) || 'mail'::text,
    array(select 'kind_' || k from generate_series(0, 399) as k) || 'send_mail'::text,
    now() + interval '1 day',
    200,
    '1.' || n % 2
from generate_series(1, 32) as n;

insert into taskq.lease (
    lease_id, worker_id, queue, claimed_at, expires_at, task_ids, task_types, payload_versions, payloads, priorities, run_ats,
    created_ats, max_attempts, attempts, crashes, errors
)
select
    gen_random_uuid(),
    uuid_in(md5('worker ' || n % 32 + 1)::cstring),
    'mail',
    now() - n * interval '1 second',
    now() + interval '1 day',
    array_agg(300000000 + n * 50 + k),
    array_agg('send_mail'::text),
    array_agg(1::smallint),
    array_agg(jsonb_build_object('usr_id', k, 'to', n || '@example.org')),
    array_agg(0::smallint),
    array_agg(now()),
    array_agg(now()),
    array_agg(null::integer),
    array_agg(0),
    array_agg(0),
    array_agg(null::jsonb)
from generate_series(1, 128) as n
cross join generate_series(1, 50) as k
group by n;

insert into taskq.audit (at, by, verb, task_id, task_type, queue, state, reason)
select
    now() - interval '1 minute' * (200000 - n),
    'ada',
    (array['retry', 'cancel', 'discard'])[n % 3 + 1],
    100000000 + n,
    'kind_' || n % 20,
    'queue_' || n % 20,
    'discarded',
    'the mail server works again'
from generate_series(1, 200000) as n;

insert into taskq.bulk (verb, filter, said, by, began_at, ended_at, frozen, done, failed)
select 'retry', '{"state": ["discarded"]}', 'state:discarded', 'ada', now(), now(), 100000, 99000, 1000
from generate_series(1, 500);

insert into taskq.bulk_failure (bulk_id, task_id, error)
select 500, n, 'a trigger has kept a task from where it goes'
from generate_series(1, 1000) as n;

insert into taskq.refused (task_id, task_type, payload, queue, priority, run_at, created_at, attempts, crashes, refusal, refused_at)
select
    400000000 + n,
    'kind_' || n % 400,
    '{}',
    'queue_' || n % 20,
    0,
    now(),
    now(),
    1,
    0,
    '{"message": "violates check constraint"}',
    now() - interval '1 second' * n
from generate_series(1, 10000) as n;

insert into taskq.unique_key (task_type, key, task_id, until)
select 'send_mail', to_jsonb('key ' || n), n, 'done'
from generate_series(2, 200000, 2) as n;

-- A sequence of many keys: fifty of them wait at a dead task, each with a thousand tasks behind it. Its trigger makes the
-- index.
set session_replication_role = origin;

insert into taskq.limit_rule (scope, name, kind, fields, declared_most, declared_at, on_dead, is_settled)
select 'key', 'kind_1', 'sequence', array['usr_id'], 1, now(), 'block', true;

set session_replication_role = replica;

insert into taskq.sequence_block (task_id, task_type, key, payload, state)
select 100000001 + n * 20, 'kind_1', 'key ' || n, '{}', 'discarded'
from generate_series(1, 50) as n;

insert into taskq.task (task_type, queue, payload, payload_version, key, in_sequence)
select 'kind_1', 'queue_1', '{}', 1, 'key ' || n % 50 + 1, true
from generate_series(1, 50000) as n;

insert into taskq.limit_rule (scope, name, kind, declared_most, declared_at, is_settled)
select 'task_type', 'kind_' || n, 'concurrency', n, now(), true
from generate_series(100, 300) as n;

insert into taskq.pause (scope, name, by, reason)
select 'task_type', 'kind_' || n, 'ada', 'the printer is broken'
from generate_series(10, 20) as n;

insert into taskq.schedule_definition (
    name, digest, expression, timezone, task_type, payload, options, catch_up, overlap, jitter
)
select 'schedule_' || n, '', '0 4 * * *', 'UTC', 'kind_' || n, '{}', '{}', 'once', 'allow', 0
from generate_series(1, 200) as n;

insert into taskq.schedule (name, definition_id, next_tick)
select name, definition_id, now() + interval '1 hour'
from taskq.schedule_definition;
