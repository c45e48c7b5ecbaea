-- Shows what goes on: how much waits, runs and is dead of each kind, what workers have done by the minute, and which workers
-- there are; and has one of them stop.

-- The dead tasks of a kind are counted without reading them. Nobody mourns what was cancelled. First, before anything is
-- locked that heartbeats write: building it reads the table once, and meanwhile no task dies.
create index if not exists dead_kind on taskq.dead (queue, task_type) where state <> 'cancelled';

alter table taskq.worker
    -- What its program calls this version of itself; null where it says nothing.
    add column release text,
    -- How many tasks it runs at once, of all its queues; null in rows of workers that know only older tables.
    add column slots integer,
    -- Whether it exposes metrics. One of those that do asks the tables for all.
    add column is_watched boolean not null default false,
    -- Since when it is asked to stop. Its next heartbeat reads it.
    add column stop_asked_at timestamptz,
    add constraint worker_release_length check (octet_length(release) between 1 and 200);

-- What workers have counted, by minute, queue and task type. A worker adds to it some seconds after an attempt has ended, in
-- the minute in which it writes; what a killed worker had not added yet is missing. Rows stay for two days.
create table taskq.minute (
    minute    timestamptz not null,
    queue     text        not null,
    task_type text        not null,
    completed bigint      not null,
    -- Attempts that failed, of tasks that are tried again.
    failed    bigint      not null,
    -- Tasks that went to taskq.dead, but for those that were cancelled.
    died      bigint      not null,
    -- How long the tasks of these attempts had been due when their handlers started, and how long the handlers ran. The
    -- first number counts what took less than a millisecond, and number n what took less than 2^(n-1) milliseconds and no
    -- less than half of that. Zeros at the end are left out.
    waits     bigint[]    not null,
    runs      bigint[]    not null,
    constraint minute_pkey primary key (minute, queue, task_type)
) with (
    -- Room for what the heartbeats of a minute add, on the same page.
    fillfactor = 50,
    autovacuum_vacuum_scale_factor = 0.05
);

-- The same of all queues and task types together, so that a day is read in 1,440 rows however many kinds there are.
create table taskq.minute_total (
    minute    timestamptz not null,
    completed bigint      not null,
    failed    bigint      not null,
    died      bigint      not null,
    waits     bigint[]    not null,
    runs      bigint[]    not null,
    constraint minute_total_pkey primary key (minute)
) with (
    fillfactor = 50,
    autovacuum_vacuum_scale_factor = 0.05
);

-- Tells a worker to stop. Should it miss that, its next heartbeat tells it.
create function taskq.tell_stopped() returns trigger
language plpgsql
as $tell_stopped$
begin
    perform pg_catalog.pg_notify(tg_table_schema || '.operator', 'stop ' || new.worker_id);
    return null;
end
$tell_stopped$;

create trigger tell_stopped
after insert on taskq.audit
for each row when (new.verb = 'stop')
execute function taskq.tell_stopped();

-- Returns the lanes that hold tasks, and when the first task of each is due: so many, in the order of index task_lane.
create function taskq.lanes(most integer) returns table (
    queue text,
    task_type text,
    payload_version smallint,
    crashes integer,
    priority smallint,
    run_at timestamptz,
    place integer
)
language sql
stable
as $lanes$
    with recursive lane as (
        (
            select task.queue, task.task_type, task.payload_version, task.crashes, task.priority, task.run_at, 1 as place
            from taskq.task
            order by task.queue, task.task_type, task.payload_version, task.crashes, task.priority, task.run_at
            limit 1
        )
        union all
        select next.*, lane.place + 1
        from lane
        cross join lateral (
            select task.queue, task.task_type, task.payload_version, task.crashes, task.priority, task.run_at
            from taskq.task
            where (task.queue, task.task_type, task.payload_version, task.crashes, task.priority)
                > (lane.queue, lane.task_type, lane.payload_version, lane.crashes, lane.priority)
            order by task.queue, task.task_type, task.payload_version, task.crashes, task.priority, task.run_at
            limit 1
        ) as next
        where lane.place < most
    )
    select *
    from lane
$lanes$;

-- Returns the first kinds of waiting tasks, that is their queues and task types, and no more than so many. Index task_lane: a
-- probe for each.
create function taskq.waiting_kinds(most integer) returns table (queue text, task_type text)
language sql
stable
as $waiting_kinds$
    with recursive kind as (
        (
            select task.queue, task.task_type, 1 as place
            from taskq.task
            order by task.queue, task.task_type
            limit 1
        )
        union all
        select next.queue, next.task_type, kind.place + 1
        from kind
        cross join lateral (
            select task.queue, task.task_type
            from taskq.task
            where (task.queue, task.task_type) > (kind.queue, kind.task_type)
            order by task.queue, task.task_type
            limit 1
        ) as next
        where kind.place < most
    )
    select kind.queue, kind.task_type
    from kind
$waiting_kinds$;

-- Returns a row for each of the first tasks of a lane that are due within a time; of a kind of dead tasks, if `lane` says so.
-- It is inlined where it is called, so it has no settings of its own.
create function taskq.head_of_kind(
    is_dead boolean,
    queue text,
    task_type text,
    payload_version smallint,
    crashes integer,
    priority smallint,
    after timestamptz,
    until timestamptz,
    most bigint
) returns table (one integer)
language sql
stable
as $head_of_kind$
    (
        select 1
        from taskq.task
        where not head_of_kind.is_dead
          and task.queue = head_of_kind.queue
          and task.task_type = head_of_kind.task_type
          and task.payload_version = head_of_kind.payload_version
          and task.crashes = head_of_kind.crashes
          and task.priority = head_of_kind.priority
          and task.run_at > head_of_kind.after
          and task.run_at <= head_of_kind.until
        limit head_of_kind.most
    )
    union all
    (
        select 1
        from taskq.dead
        where head_of_kind.is_dead
          and dead.queue = head_of_kind.queue
          and dead.task_type = head_of_kind.task_type
          and dead.state <> 'cancelled'
        limit head_of_kind.most
    )
$head_of_kind$;

-- Returns which task types living workers know, each with the queues that they serve. It is inlined where it is called.
create function taskq.known_types() returns table (task_type text, queues text[])
language sql
stable
as $known_types$
    select unnest(declared.task_types), declared.queues
    from (
        -- Workers of one program are alike.
        select distinct worker.queues, worker.task_types
        from taskq.worker
        where worker.expires_at > now()
    ) as declared
$known_types$;

-- Returns how much of each kind, that is of each queue and task type, is due, is due later, runs (or waits in a worker for a
-- slot), and is dead, but for what was cancelled. Counts no more than `counted_to` of each, which is at most `most`, and less
-- where many kinds have much: a number that equals it means "or more". Looks at no more than 1,000 lanes (the priorities of a
-- kind are lanes), 1,000 kinds of dead tasks, and 100,000 tasks that run; `stopped` says that there are more.
create function taskq.stats(most bigint default 10000) returns table (
    queue text,
    task_type text,
    due bigint,
    scheduled bigint,
    counted_to bigint,
    oldest_due_at timestamptz,
    running bigint,
    dead bigint,
    is_paused boolean,
    is_served boolean,
    stopped boolean
)
language sql
stable
set search_path = pg_catalog, pg_temp
set jit = off
-- It would read all of a kind to count the first of it.
set enable_bitmapscan = off
as $stats$
    with recursive lane as (
        -- One more than it looks at.
        select *
        from taskq.lanes(1001)
    ),
    grave as (
        (
            select dead.queue, dead.task_type, 1 as place
            from taskq.dead
            where dead.state <> 'cancelled'
            order by dead.queue, dead.task_type
            limit 1
        )
        union all
        select next.queue, next.task_type, grave.place + 1
        from grave
        cross join lateral (
            select dead.queue, dead.task_type
            from taskq.dead
            where dead.state <> 'cancelled'
              and (dead.queue, dead.task_type) > (grave.queue, grave.task_type)
            order by dead.queue, dead.task_type
            limit 1
        ) as next
        where grave.place <= 1000
    ),
    -- What is counted: of each lane what is due and what is due later, and the dead of each kind.
    heap as (
        select
            half.name,
            lane.queue,
            lane.task_type,
            lane.payload_version,
            lane.crashes,
            lane.priority,
            half.after,
            half.until,
            case half.name when 'due' then lane.run_at end as oldest_due_at
        from lane
        cross join (
            values ('due', '-infinity'::timestamptz, now()), ('scheduled', now(), 'infinity')
        ) as half (name, after, until)
        where lane.place <= 1000
          -- The first of the lane is the first to be due.
          and (half.name = 'scheduled' or lane.run_at <= now())
        union all
        select 'dead', grave.queue, grave.task_type, null, null, null, null, null, null
        from grave
        where grave.place <= 1000
    ),
    -- Most hold little. What holds more is counted again, if there is time to count fifty of each at least: 50,000 tasks in all,
    -- and less where there are hundreds of lanes.
    glance as materialized (
        select heap.*, head.number
        from heap
        cross join lateral (
            select count(*) as number
            from taskq.head_of_kind(
                heap.name = 'dead', heap.queue, heap.task_type, heap.payload_version, heap.crashes, heap.priority,
                heap.after, heap.until, 20
            )
        ) as head
    ),
    reach as materialized (
        select case when room.each >= 50 then least(room.each, stats.most) else least(20, stats.most) end as counted_to
        from (
            select
                (20000 + greatest(30000 - 100 * (select count(*) from lane), 0))
                    / greatest(count(*) filter (where glance.number = 20), 1) as each
            from glance
        ) as room
    ),
    counted as (
        select glance.name, glance.queue, glance.task_type, glance.oldest_due_at, glance.number
        from glance
        cross join reach
        where glance.number < 20
           or reach.counted_to <= 20
        union all
        select glance.name, glance.queue, glance.task_type, glance.oldest_due_at, head.number
        from glance
        cross join reach
        cross join lateral (
            select count(*) as number
            from taskq.head_of_kind(
                glance.name = 'dead', glance.queue, glance.task_type, glance.payload_version, glance.crashes, glance.priority,
                glance.after, glance.until, reach.counted_to
            )
        ) as head
        where glance.number = 20
          and reach.counted_to > 20
    ),
    held as materialized (
        select lease.queue, held.task_type
        from taskq.lease
        cross join lateral unnest(lease.task_ids, lease.task_types) as held (task_id, task_type)
        where held.task_id <> all (lease.done)
        limit 100000
    ),
    part as (
        select *
        from counted
        union all
        select 'running', held.queue, held.task_type, null, count(*)
        from held
        group by held.queue, held.task_type
    ),
    kind as (
        select
            part.queue,
            part.task_type,
            coalesce(sum(part.number) filter (where part.name = 'due'), 0)::bigint as due,
            coalesce(sum(part.number) filter (where part.name = 'scheduled'), 0)::bigint as scheduled,
            min(part.oldest_due_at) as oldest_due_at,
            coalesce(sum(part.number) filter (where part.name = 'running'), 0)::bigint as running,
            coalesce(sum(part.number) filter (where part.name = 'dead'), 0)::bigint as dead
        from part
        where part.number > 0
        group by part.queue, part.task_type
    ),
    served as materialized (
        select distinct kind.queue, kind.task_type
        from kind
        join taskq.known_types() as known
          on known.task_type = kind.task_type
         and kind.queue = any (known.queues)
    ),
    paused as materialized (
        select pause.scope, pause.name
        from taskq.pause
        where pause.until is null
           or pause.until > now()
    )
    select
        kind.queue,
        kind.task_type,
        least(kind.due, reach.counted_to),
        least(kind.scheduled, reach.counted_to),
        reach.counted_to,
        kind.oldest_due_at,
        kind.running,
        least(kind.dead, reach.counted_to),
        ('queue', kind.queue) in (select paused.scope, paused.name from paused)
            or ('task_type', kind.task_type) in (select paused.scope, paused.name from paused),
        (kind.queue, kind.task_type) in (select served.queue, served.task_type from served),
        exists (select from lane where lane.place > 1000)
            or exists (select from grave where grave.place > 1000)
            or (select count(*) from held) >= 100000
    from kind
    cross join reach
    order by kind.queue, kind.task_type
$stats$;

-- Returns how many tasks of a queue could run now if there were workers enough: those that run, and those that are due and
-- that neither a pause nor a limit of how many run at once, of the queue or of the task type, holds back. For autoscalers.
-- Rates, limits by key, sequences and brakes are not looked at: what they hold back counts. Neither is anything that
-- no worker serves: a worker that comes may. Counts no more than `most`, and looks at no more than 1,000 lanes.
create function taskq.load(queue text, most bigint default 10000) returns bigint
language sql
stable
set search_path = pg_catalog, pg_temp
set jit = off
as $load$
    with recursive lane as (
        (
            select task.task_type, task.payload_version, task.crashes, task.priority, task.run_at, 1 as position
            from taskq.task
            where task.queue = load.queue
            order by task.task_type, task.payload_version, task.crashes, task.priority, task.run_at
            limit 1
        )
        union all
        select next.task_type, next.payload_version, next.crashes, next.priority, next.run_at, lane.position + 1
        from lane
        cross join lateral (
            select task.task_type, task.payload_version, task.crashes, task.priority, task.run_at
            from taskq.task
            where task.queue = load.queue
              and (task.task_type, task.payload_version, task.crashes, task.priority)
                > (lane.task_type, lane.payload_version, lane.crashes, lane.priority)
            order by task.task_type, task.payload_version, task.crashes, task.priority, task.run_at
            limit 1
        ) as next
        where lane.position < 1000
    ),
    paused as materialized (
        select pause.scope, pause.name
        from taskq.pause
        where (pause.until is null or pause.until > now())
          and (pause.scope = 'task_type' or pause.scope = 'queue' and pause.name = load.queue)
    ),
    held as materialized (
        select lease.queue, held.task_type, count(*) as running
        from taskq.lease
        cross join lateral unnest(lease.task_ids, lease.task_types) as held (task_id, task_type)
        where held.task_id <> all (lease.done)
        group by lease.queue, held.task_type
    ),
    -- No more than so many in all. Of what is limited, no more than its limit, so that it does not stand for the rest.
    found as (
        select
            coalesce(bound.name, lane.task_type) as task_type,
            bound.most as bound,
            bound.aliases
        from lane
        left join taskq.limits as bound
          on bound.scope = 'task_type'
         and bound.kind = 'concurrency'
         and (bound.name = lane.task_type or lane.task_type = any (bound.aliases))
        cross join lateral (
            select
            from taskq.task
            where task.queue = load.queue
              and task.task_type = lane.task_type
              and task.payload_version = lane.payload_version
              and task.crashes = lane.crashes
              and task.priority = lane.priority
              and task.run_at <= now()
            limit coalesce(bound.most, load.most)
        ) as head
        where lane.run_at <= now()
          and not exists (
              select
              from paused
              where paused.scope = 'queue'
                 or paused.name = lane.task_type
          )
        limit load.most
    ),
    due as (
        select found.task_type, found.bound, found.aliases, count(*) as due
        from found
        group by found.task_type, found.bound, found.aliases
    ),
    -- What may start, as far as the limits of types go.
    startable as (
        select coalesce(
            sum(
                case
                    when due.bound is null then due.due
                    else least(
                        due.due,
                        greatest(
                            due.bound - coalesce(
                                (
                                    select sum(held.running)
                                    from held
                                    where held.task_type = due.task_type
                                       or held.task_type = any (due.aliases)
                                ),
                                0
                            ),
                            0
                        )
                    )
                end
            ),
            0
        ) as number
        from due
    ),
    running as (
        select coalesce(sum(held.running), 0) as number
        from held
        where held.queue = load.queue
    )
    select least(
        case
            when bound.most is null then running.number + startable.number
            -- What runs may be more than a limit that was lowered.
            else greatest(running.number, least(running.number + startable.number, bound.most))
        end,
        load.most
    )::bigint
    from startable
    cross join running
    left join taskq.limits as bound
      on bound.scope = 'queue'
     and bound.name = load.queue
     and bound.kind = 'concurrency'
$load$;

-- Returns the workers that have been there in the last hour, but for those that have said that they stopped: what they serve,
-- what they hold, and whether they live. At most 1,000, those that live first.
create function taskq.workers() returns table (
    worker_id uuid,
    host text,
    process_id integer,
    release text,
    queues text[],
    task_types text[],
    slots integer,
    -- With the tasks that wait in it for a slot.
    running bigint,
    leases bigint,
    oldest_claimed_at timestamptz,
    started_at timestamptz,
    seen_at timestamptz,
    expires_at timestamptz,
    stop_asked_at timestamptz,
    is_alive boolean
)
language sql
stable
set search_path = pg_catalog, pg_temp
as $workers$
    with held as materialized (
        select
            lease.worker_id,
            count(*) as leases,
            sum(cardinality(lease.task_ids) - cardinality(lease.done))::bigint as running,
            min(lease.claimed_at) as oldest_claimed_at
        from taskq.lease
        group by lease.worker_id
    )
    select
        worker.worker_id,
        worker.host,
        worker.process_id,
        worker.release,
        worker.queues,
        worker.task_types,
        worker.slots,
        coalesce(held.running, 0),
        coalesce(held.leases, 0),
        held.oldest_claimed_at,
        worker.started_at,
        worker.seen_at,
        worker.expires_at,
        worker.stop_asked_at,
        worker.expires_at > now()
    from taskq.worker
    left join held on held.worker_id = worker.worker_id
    order by worker.expires_at > now() desc, worker.host, worker.started_at, worker.worker_id
    limit 1000
$workers$;

-- Asks a worker to stop as SIGTERM does: it claims nothing more, lets its handlers end for as long as its grace period is,
-- hands the rest back, and ends. Returns since when it is asked; to ask again is no error. It is told at once; should it
-- miss that, its next heartbeat tells it.
create function taskq.stop_worker(
    worker_id uuid,
    reason text default null,
    by text default session_user
) returns timestamptz
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $stop_worker$
declare
    found_worker taskq.worker;
begin
    perform taskq.require_said(stop_worker.reason, stop_worker.by);
    select worker.*
    into found_worker
    from taskq.worker
    where worker.worker_id = stop_worker.worker_id
    for update;
    if not found then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = format('there is no worker %s: it has stopped, or never was', stop_worker.worker_id);
    end if;
    if found_worker.expires_at <= now() then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = format('worker %s has not been seen since %s: there is nobody to ask', stop_worker.worker_id, found_worker.seen_at);
    end if;
    if found_worker.slots is null then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = format(
                'worker %s is of a version that cannot be asked: send SIGTERM to process %s on %s',
                stop_worker.worker_id,
                found_worker.process_id,
                found_worker.host
            );
    end if;
    if found_worker.stop_asked_at is null then
        update taskq.worker
        set stop_asked_at = now()
        where worker.worker_id = stop_worker.worker_id;
        insert into taskq.audit (by, verb, worker_id, reason)
        values (coalesce(stop_worker.by, session_user), 'stop', stop_worker.worker_id, stop_worker.reason);
    end if;
    return coalesce(found_worker.stop_asked_at, now());
end
$stop_worker$;

revoke execute on function taskq.stop_worker(uuid, text, text) from public;

-- Forgets a worker that vanished, once somebody knows why: an hour later it would be forgotten anyway. Returns whether
-- there was one.
create function taskq.forget_worker(
    worker_id uuid,
    reason text default null,
    by text default session_user
) returns boolean
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $forget_worker$
declare
    found_worker taskq.worker;
begin
    select worker.*
    into found_worker
    from taskq.worker
    where worker.worker_id = forget_worker.worker_id
    for update;
    if not found then
        return false;
    end if;
    if found_worker.expires_at > now() then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = format('worker %s lives: it was seen at %s', forget_worker.worker_id, found_worker.seen_at);
    end if;
    if exists (select from taskq.lease where lease.worker_id = forget_worker.worker_id) then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = format(
                'tasks of worker %s are not rescued yet: a living worker does that within a minute',
                forget_worker.worker_id
            );
    end if;
    delete from taskq.worker where worker.worker_id = forget_worker.worker_id;
    insert into taskq.audit (by, verb, worker_id, reason)
    values (coalesce(forget_worker.by, session_user), 'forget', forget_worker.worker_id, forget_worker.reason);
    return true;
end
$forget_worker$;

revoke execute on function taskq.forget_worker from public;

insert into taskq.migration (version, name, oldest_binary)
select 26, 'watch', max(oldest_binary) from taskq.migration;
