-- Sequences: of each key one task at a time, the oldest first. A key is closed while its head runs, is not due, or is dead.

-- The dead tasks that close the keys of their sequences. It outlives the row in taskq.dead, which may be pruned: a sequence
-- goes on when somebody retries the task or skips it, and not because nobody remembers it.
create table taskq.sequence_block (
    task_id    bigint      not null,
    task_type  text        not null,
    key        text        not null collate "C",
    -- The key is made of it, again where a later program names other fields.
    payload    jsonb       not null,
    state      text        not null,
    blocked_at timestamptz not null default now(),
    constraint sequence_block_pkey primary key (task_id)
);

create index sequence_block_key on taskq.sequence_block (key, task_type);

-- Gives a task its key and its place in the sequence of its key. The arguments of the trigger are the fields.
create function taskq.give_place() returns trigger
language plpgsql
as $give_place$
begin
    new.key := taskq.limit_key(new.payload, tg_argv);
    new.in_sequence := true;
    return new;
end
$give_place$;

-- Frees the key of a dead task that somebody retries: it is the first of those that wait. It runs with the rights of the
-- owner, since whoever enqueues may not read what is blocked.
create function taskq.unblock_sequence() returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $unblock_sequence$
begin
    delete from taskq.sequence_block where task_id = new.task_id;
    return new;
end
$unblock_sequence$;

-- Closes the key of a task of a sequence that is dead, unless the next one is to start then. The argument of the trigger is
-- the name by which the type is limited.
create function taskq.block_sequence() returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $block_sequence$
begin
    insert into taskq.sequence_block (task_id, task_type, key, payload, state)
    select
        new.task_id,
        new.task_type,
        taskq.limit_key(new.payload, limit_rule.fields),
        new.payload,
        new.state
    from taskq.limit_rule
    where limit_rule.scope = 'key'
      and limit_rule.name = tg_argv[0]
      and limit_rule.kind = 'sequence'
      and limit_rule.on_dead = 'block'
    on conflict on constraint sequence_block_pkey do nothing;
    return null;
end
$block_sequence$;

-- Does for a type with sequences what taskq.index_keys does for one with keys: whoever calls has locked the tables.
create function taskq.index_sequences(own_name text, of_name text, names text[], fields text[]) returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $index_sequences$
begin
    create index if not exists task_sequence
    on taskq.task (task_type, key, task_id)
    with (deduplicate_items = off)
    where in_sequence;
    if not (select indisvalid from pg_index where indexrelid = 'taskq.task_sequence'::regclass) then
        raise exception using
            errcode = 'object_not_in_prerequisite_state',
            message = 'the index taskq.task_sequence is not valid',
            hint = 'Drop it, or wait until whoever builds it has done so.';
    end if;
    -- What is enqueued now has never been dead.
    execute format(
        'create or replace trigger %I
         before insert on taskq.task
         for each row when (new.task_type = any (%L::text[]) and new.created_at <> now())
         execute function taskq.unblock_sequence()',
        replace(own_name, 'zz_key', 'zz_retry'),
        names
    );
    -- A handler that cancels a task has decided about it.
    execute format(
        'create or replace trigger %I
         after insert on taskq.dead
         for each row when (new.task_type = any (%L::text[]) and new.state <> %L)
         execute function taskq.block_sequence(%L)',
        own_name,
        names,
        'cancelled',
        of_name
    );
    update taskq.sequence_block
    set key = taskq.limit_key(payload, index_sequences.fields)
    where task_type = any (names);
end
$index_sequences$;

revoke execute on function taskq.index_sequences from public;

-- Returns the head of a key's sequence, the oldest task that waits in any lane, unless a dead task or one that Postgres
-- refuses to take back stands before it.
create function taskq.sequence_head(names text[], of_key text, fields text[], of_on_dead text) returns table (
    place tid,
    task_id bigint,
    run_at timestamptz,
    queue text,
    task_type text,
    payload_version smallint,
    crashes integer,
    priority smallint
)
language sql
stable
rows 1
as $sequence_head$
    select
        first.place,
        first.task_id,
        first.run_at,
        first.queue,
        first.task_type,
        first.payload_version,
        first.crashes,
        first.priority
    from unnest(names) as given (name)
    -- The next one in the index of sequences, whoever's it is: where Postgres has known one key so far, it would take
    -- another index for an equal key, and walk over the tasks of all others. With the collations of that index: from a
    -- key its own would go to all that is compared here.
    cross join lateral (
        select task.ctid as place, task.*
        from taskq.task
        where task.in_sequence
          and (task.task_type, task.key, task.task_id)
              > (given.name collate "default", of_key collate "C", -9223372036854775808)
        order by task.task_type, task.key, task.task_id
        limit 1
    ) as first
    where first.task_type = given.name
      and first.key = of_key
      and not exists (
        select
        from taskq.sequence_block as block
        where block.key = of_key
          and block.task_type = any (names)
          and of_on_dead = 'block'
    )
      and not exists (
        select
        from taskq.refused
        where refused.task_type = any (names)
          and taskq.limit_key(refused.payload, fields) = of_key
    )
    order by first.task_id
    limit 1
$sequence_head$;

-- Does what taskq.next_key does, for a lane of sequences: at most one task of a key is due, its head, and only if that
-- stands in this lane. A head that is due later opens the lane then.
create function taskq.next_in_sequence(
    of_queue text,
    of_type text,
    of_version smallint,
    of_crashes integer,
    of_priority smallint,
    names text[],
    behind text,
    most integer,
    spacing double precision,
    burst integer,
    fields text[],
    of_on_dead text,
    keyed_to bigint
) returns table (key text, room bigint, opens_at timestamptz, due bigint)
language sql
stable
rows 1
as $next_in_sequence$
    select
        next.key,
        least(gate.room, head.due, 1) as room,
        greatest(gate.opens_at, head.run_at) as opens_at,
        greatest(least(gate.room, head.due, 1), 0) as due
    from (
        select task.key
        from taskq.task
        where task.queue = of_queue
          and task.task_type = of_type
          and task.payload_version = of_version
          and task.crashes = of_crashes
          and task.priority = of_priority
          and task.key > behind
        order by task.key
        limit 1
    ) as next
    cross join lateral (
        select
            least(
                most - (
                    select coalesce(sum(cardinality(lease.task_ids) - cardinality(lease.done)), 0)
                    from taskq.lease
                    where lease.limited_type = names[1]
                      and lease.limited_key = next.key
                ),
                case
                    when held.key is null then burst
                    else taskq.rate_room(held.next_start, held.held_until, spacing, burst)
                end
            ) as room,
            case
                when held.key is not null
                    then taskq.rate_opens(held.next_start, held.held_until, spacing, burst)
            end as opens_at
        from (values (1)) as always
        left join taskq.gate as held
          on held.scope = 'key'
         and held.name = names[1]
         and held.key = next.key
    ) as gate
    cross join lateral (
        select
            count(*) filter (
                where head.run_at <= now()
                  and head.queue = of_queue
                  and head.task_type = of_type
                  and head.payload_version = of_version
                  and head.crashes = of_crashes
                  and head.priority = of_priority
                  and (keyed_to is null or head.task_id <= keyed_to)
            ) as due,
            max(head.run_at) as run_at
        from (
            select first.*
            from taskq.sequence_head(names, next.key, fields, of_on_dead) as first
            -- While one of the key runs, none is looked for.
            where gate.room > 0
        ) as head
    ) as head
$next_in_sequence$;

-- For people: the dead tasks at which sequences wait, and how many tasks wait behind each.
create view taskq.blocked as
select
    block.task_id,
    block.task_type,
    block.key,
    block.state,
    block.blocked_at,
    dead.errors -> -1 ->> 'error' as error,
    dead.task_id is not null as is_kept,
    (
        select count(*)
        from taskq.task
        where task.in_sequence
          and task.task_type = any (rule.name || rule.aliases)
          and task.key = block.key
    ) as waiting
from taskq.sequence_block as block
join taskq.limit_rule as rule
  on rule.scope = 'key'
 and rule.kind = 'sequence'
 and rule.on_dead = 'block'
 and block.task_type = any (rule.name || rule.aliases)
left join taskq.dead on dead.task_id = block.task_id;

-- Has a sequence go on without the dead task at which it waits, and returns what was blocked. Whoever calls says how many
-- waiting tasks that may free at most, as taskq.blocked tells: if there are more, nothing changes. The dead task stays where
-- it is.
create function taskq.skip_dead(
    task_id bigint,
    frees bigint default null,
    reason text default null,
    by text default session_user
) returns setof taskq.blocked
language plpgsql
rows 1
set search_path = pg_catalog, pg_temp
as $skip_dead$
declare
    found_block taskq.blocked;
    problem text;
begin
    -- One at a time: two who skip one task are told so.
    perform pg_advisory_xact_lock(hashtextextended('taskq limits taskq', 0));
    select blocked.*
    into found_block
    from taskq.blocked
    where blocked.task_id = skip_dead.task_id;
    problem := case
        when found_block.task_id is null
            then format('no sequence waits at task %s: see taskq.blocked', skip_dead.task_id)
        when found_block.waiting > coalesce(skip_dead.frees, -1)
            then format(
                '%s tasks wait behind task %s, key %s of %s: to have them go on without it, say that it frees %s',
                found_block.waiting,
                skip_dead.task_id,
                found_block.key,
                found_block.task_type,
                found_block.waiting
            )
    end;
    if problem is not null then
        raise exception using errcode = 'invalid_parameter_value', message = problem;
    end if;
    delete from taskq.sequence_block where sequence_block.task_id = skip_dead.task_id;
    perform taskq.write_down(
        'skip',
        'key',
        found_block.key,
        found_block.state,
        skip_dead.reason,
        skip_dead.by,
        skip_dead.task_id,
        found_block.task_type
    );
    return next found_block;
end
$skip_dead$;

-- By the row: most deletions find none.
create trigger tell_limits
after delete on taskq.sequence_block
for each row execute function taskq.tell_limits();

insert into taskq.migration (version, name, oldest_binary)
values (16, 'sequences', 2);
