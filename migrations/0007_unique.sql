-- Keeps keys of which one task at a time may be there.

-- Who has a key. Nothing that ends a task touches this table: whether the task that has a key still lives is looked up
-- when another asks for the key, so tasks without one pay nothing, and no way out of a lease can forget one.
create table taskq.unique_key (
    task_type text    not null,
    -- A string that was given, an object of the payload's fields, or an array with the hash of either.
    key       jsonb   not null,
    -- The task that has the key.
    task_id   bigint  not null,
    -- Until when: 'done', 'started', 'again' (until it starts, and the next starts when it has ended), or 'within' a time,
    -- whatever becomes of the task.
    until     text    not null,
    -- Of those 'within'.
    ends_at   timestamptz,
    -- Of those 'again': older tasks with the key that were there when this one came. It starts when none of them runs.
    before    bigint[],
    constraint unique_key_pkey primary key (task_type, key),
    constraint unique_key_until check (
        case until
            when 'within' then ends_at is not null
            else until in ('done', 'started', 'again') and ends_at is null
        end
    )
);

-- Returns a key with its numbers in one spelling, so that equal keys have one text.
create function taskq.spell_numbers(key jsonb) returns jsonb
language plpgsql
immutable
parallel safe
as $spell_numbers$
begin
    return case jsonb_typeof(key)
        when 'number' then to_jsonb(trim_scale((key #>> '{}')::numeric))
        when 'array' then (
            select coalesce(jsonb_agg(taskq.spell_numbers(item) order by place), '[]')
            from jsonb_array_elements(key) with ordinality as given (item, place)
        )
        when 'object' then (
            select coalesce(jsonb_object_agg(given.key, taskq.spell_numbers(given.value)), '{}')
            from jsonb_each(spell_numbers.key) as given
        )
        else key
    end;
end
$spell_numbers$;

-- Returns what is stored of a key: an index cannot hold more than some kilobytes.
create function taskq.short_key(key jsonb) returns jsonb
language sql
immutable
parallel safe
return case
    when pg_column_size(key) <= 1000 then key
    else jsonb_build_array(
        'sha256',
        encode(
            sha256(
                convert_to(
                    case
                        -- Few have a number that ends in zeros behind its point.
                        when key::text ~ '\.[0-9]*0[^0-9]' then taskq.spell_numbers(key)
                        else key
                    end::text,
                    'UTF8'
                )
            ),
            'hex'
        )
    )
end;

-- Returns the key that a payload has by some of its fields, or by all of them. A field that is null is not a field
-- that is absent, and 1 is 1.0.
create function taskq.payload_key(payload jsonb, fields text[]) returns jsonb
language sql
immutable
parallel safe
return case
    when fields is null or jsonb_typeof(payload) <> 'object' then payload
    else (
        select coalesce(jsonb_object_agg(field, payload -> field), '{}')
        from unnest(fields) as field
        where payload ? field
    )
end;

-- Tells where a task is: 'waiting', 'running', or null where it has ended.
create function taskq.where_is(id bigint) returns text
language sql
stable
return case
    when exists (select from taskq.task where task.task_id = id) then 'waiting'
    when exists (select from taskq.lease where id = any (lease.task_ids) and id <> all (lease.done)) then 'running'
end;

-- Returns those of some tasks that have not ended; null where that is none.
create function taskq.living(ids bigint[]) returns bigint[]
language sql
stable
return (select array_agg(id) from unnest(ids) as id where taskq.where_is(id) is not null);

-- Returns the metadata of a task with this key until then. A key 'again' travels with its task, so that a claim finds it.
create function taskq.with_key(metadata jsonb, until text, key jsonb) returns jsonb
language sql
immutable
parallel safe
return case until
    when 'again' then coalesce(metadata, '{}') || jsonb_build_object('task.again', key)
    else metadata
end;

-- Returns the metadata of a task that is a member of this group, and of no other; null: of none.
create function taskq.with_group(metadata jsonb, of_group jsonb) returns jsonb
language sql
immutable
parallel safe
return case
    when of_group is not null then coalesce(metadata, '{}') || jsonb_build_object('task.group', of_group)
    when metadata ? 'task.group' then nullif(metadata - 'task.group', '{}')
    else metadata
end;

-- Returns the id of a task to be inserted. Whoever may insert a task may have one, though not use the sequence.
create function taskq.new_task_id() returns bigint
language sql
volatile
security definer
return nextval(pg_get_serial_sequence('taskq.task', 'task_id'));

grant execute on function taskq.new_task_id to public;

-- Has what this transaction waits for wait no longer than until then: it fails with lock_not_available.
create function taskq.wait_until(give_up_at timestamptz) returns void
language plpgsql
as $wait_until$
begin
    if give_up_at is not null then
        perform set_config(
            'lock_timeout',
            least(greatest(ceil(extract(epoch from give_up_at - clock_timestamp()) * 1000), 1), 2147483647)::bigint::text,
            true
        );
    end if;
end
$wait_until$;

-- Gives keys to new tasks, or says which tasks have them. Returns a row for each key, in the order given: the id of
-- the task, and whether it is to be created, is there already, or was replaced. The payload and the metadata of a task
-- that is to be created come with it: where a key is there twice, that is the last payload if `on_conflict` replaces, and
-- else the first.
--
-- Keys are taken in their order, so two calls never wait for each other in a circle. A call waits for a transaction
-- that has taken the same key and is still open; for all keys together no longer than `busy_after` seconds, if it says so.
create function taskq.take_keys(
    of_type text,
    keys jsonb[],
    payloads jsonb[],
    until text,
    within double precision,
    on_conflict text,
    of_version smallint,
    of_queue text,
    of_priority smallint,
    of_max_attempts integer,
    due_at timestamptz,
    at_latest double precision,
    of_metadata jsonb,
    busy_after double precision
) returns table (place bigint, task_id bigint, outcome text, payload jsonb, metadata jsonb)
language plpgsql
-- A web server may take a key, and may neither see the tasks nor change them otherwise.
security definer
set search_path = pg_catalog, pg_temp
as $take_keys$
#variable_conflict use_column
declare
    replaces constant boolean := on_conflict in ('replace', 'push_back');
    key_ends_at constant timestamptz := now() + make_interval(secs => within);
    give_up_at constant timestamptz := clock_timestamp() + make_interval(secs => busy_after);
    former_timeout constant text := current_setting('lock_timeout');
    same record;
    holder record;
    new_id bigint;
    state text;
    is_new boolean;
    tries integer;
    has_replaced boolean := false;
begin
    if on_conflict not in ('keep', 'replace', 'push_back', 'error') then
        raise exception 'unknown on_conflict "%": it is keep, replace, push_back or error', on_conflict
            using errcode = 'invalid_parameter_value';
    end if;
    if until = 'again' then
        -- A binary that does not know it would start two of a key at once: from now on, none starts.
        update taskq.migration
        set oldest_binary = 11
        where version = 11
          and oldest_binary < 11;
    end if;
    for same in
        select
            given.key,
            array_agg(given.place order by given.place) as places
        from unnest(keys) with ordinality as given (key, place)
        group by given.key
        order by given.key
    loop
        payload := payloads[same.places[case when replaces then cardinality(same.places) else 1 end]];
        metadata := taskq.with_key(of_metadata, until, same.key);
        new_id := null;
        tries := 0;
        loop
            -- Ids may have gaps; one that is not used is given to nobody.
            new_id := coalesce(new_id, taskq.new_task_id());
            outcome := 'created';
            task_id := new_id;
            perform taskq.wait_until(give_up_at);
            insert into taskq.unique_key (task_type, key, task_id, until, ends_at)
            values (of_type, same.key, new_id, take_keys.until, key_ends_at)
            on conflict do nothing;
            exit when found;

            perform taskq.wait_until(give_up_at);
            select unique_key.task_id, unique_key.until, unique_key.ends_at, unique_key.before
            into holder
            from taskq.unique_key
            where unique_key.task_type = of_type
              and unique_key.key = same.key
            for update;
            if not found then
                -- Whoever looks for keys of ended tasks has deleted it, or its transaction was rolled back.
                tries := tries + 1;
                if tries = 100 then
                    raise exception 'the key of a task of the type "%" is there, and cannot be seen', of_type
                        using hint = 'Row level security on taskq.unique_key must let the owner of taskq.take_keys see all.';
                end if;
                continue;
            end if;

            -- A statement after the lock was had, which sees all that was committed before.
            state := taskq.where_is(holder.task_id);
            is_new := case holder.until
                when 'within' then holder.ends_at <= now()
                when 'started' then state is distinct from 'waiting'
                when 'again' then state is null or state = 'running' and take_keys.until = 'again'
                else state is null
            end;
            if is_new then
                update taskq.unique_key
                set task_id = new_id,
                    until = take_keys.until,
                    ends_at = key_ends_at,
                    before = case
                        when take_keys.until = 'again' then taskq.living(holder.before || holder.task_id)
                    end
                where unique_key.task_type = of_type
                  and unique_key.key = same.key;
                exit;
            end if;

            outcome := 'existing';
            task_id := holder.task_id;
            if on_conflict = 'error' then
                raise exception 'task % has the key already', holder.task_id using
                    errcode = 'unique_violation',
                    table = 'unique_key',
                    constraint = 'unique_key',
                    detail = format('task_type: %s, key: %s, task_id: %s', of_type, same.key, holder.task_id);
            end if;
            if on_conflict = 'keep' then
                -- No worker runs it before this transaction ends: it would not see what the caller has written.
                perform from taskq.task where task.task_id = holder.task_id for key share;
            else
                update taskq.task
                set payload = take_keys.payload,
                    payload_version = of_version,
                    queue = of_queue,
                    priority = of_priority,
                    max_attempts = of_max_attempts,
                    -- The older task's creation is further away.
                    metadata = taskq.with_key(
                        taskq.with_group(
                            case jsonb_typeof(of_metadata -> 'task.expires')
                                when 'number' then of_metadata || jsonb_build_object(
                                    'task.expires',
                                    (of_metadata ->> 'task.expires')::double precision
                                        + extract(epoch from now() - task.created_at)
                                )
                                else of_metadata
                            end,
                            task.metadata -> 'task.group'
                        ),
                        holder.until,
                        same.key
                    ),
                    attempts = 0,
                    errors = null,
                    run_at = case on_conflict
                        when 'push_back'
                            then least(due_at, task.created_at + make_interval(secs => at_latest))
                        else due_at
                    end
                where task.task_id = holder.task_id;
                outcome := case when found then 'replaced' else 'existing' end;
            end if;
            -- It runs, and its payload cannot be changed any more; or it has ended, and has its key for a time.
            exit when found or state is distinct from 'waiting';
            -- It began to run, or ended, a moment ago: look again. Or a trigger keeps it as it is.
            tries := tries + 1;
            exit when tries >= 3;
        end loop;

        has_replaced := has_replaced or outcome = 'replaced';
        foreach place in array same.places loop
            return next;
            -- Those behind it came to the same key.
            if outcome = 'created' then
                outcome := case when replaces then 'replaced' else 'existing' end;
            end if;
            if on_conflict = 'error' and place < same.places[cardinality(same.places)] then
                raise exception 'two of the tasks have one key, the last of them at index %', same.places[2] - 1
                    using errcode = 'unique_violation', table = 'unique_key', constraint = 'unique_key';
            end if;
        end loop;
    end loop;
    if give_up_at is not null then
        perform set_config('lock_timeout', former_timeout, true);
    end if;
    -- It may be due sooner, or in another queue, and the trigger tells of inserts alone.
    if has_replaced
        and exists (select from taskq.sleeper where sleeper.queue = of_queue and sleeper.expires_at > now())
    then
        perform pg_notify(pg_namespace.nspname::text, of_queue)
        from pg_class
        join pg_namespace on pg_namespace.oid = pg_class.relnamespace
        where pg_class.oid = 'taskq.task'::regclass;
    end if;
end
$take_keys$;

-- Tells whether a waiting task with a key 'again' may start now, that is whether none of its key runs. A claim asks it in
-- its own transaction, and has the key until that ends: others that ask, or enqueue, see what it has claimed. What it
-- cannot have at once it does not wait for. Drops a task whose place a newer one has taken while it ran.
create function taskq.may_start(id bigint, of_type text, of_key jsonb) returns boolean
language plpgsql
as $may_start$
#variable_conflict use_column
declare
    held record;
    older bigint[];
    former_timeout text;
    is_first boolean;
begin
    if of_key is null then
        return true;
    end if;
    select unique_key.task_id, unique_key.before
    into held
    from taskq.unique_key
    where unique_key.task_type = of_type
      and unique_key.key = of_key
    for update skip locked;
    if not found then
        if exists (select from taskq.unique_key where unique_key.task_type = of_type and unique_key.key = of_key) then
            -- Somebody enqueues just now.
            return false;
        end if;
        -- Its key was forgotten, as that of a task that was dead.
        former_timeout := current_setting('lock_timeout');
        begin
            -- An insert would wait for another of the key, and that one perhaps for a key of this claim.
            perform taskq.wait_until(clock_timestamp());
            insert into taskq.unique_key (task_type, key, task_id, until)
            values (of_type, of_key, id, 'again')
            on conflict do nothing;
            is_first := found;
            perform set_config('lock_timeout', former_timeout, true);
            return is_first;
        exception
            when lock_not_available then
                return false;
        end;
    end if;

    -- Statements after the lock was had, which see all that was committed before.
    older := array(
        select given.task_id
        from unnest(held.before || case when held.task_id <> id then held.task_id end) as given (task_id)
        where given.task_id <> id
          and taskq.where_is(given.task_id) is not null
    );
    if id = any (held.before) then
        delete from taskq.task
        where ctid = any (array(select task.ctid from taskq.task where task.task_id = id for update skip locked));
        return false;
    end if;
    if exists (select from unnest(older) as given (task_id) where taskq.where_is(given.task_id) = 'running')
        or held.task_id <> id and held.task_id = any (older)
    then
        return false;
    end if;
    if held.task_id <> id or held.before is not null then
        delete from taskq.task
        where ctid = any (
            array(select task.ctid from taskq.task where task.task_id = any (older) for update skip locked)
        );
        update taskq.unique_key
        set task_id = id, until = 'again', ends_at = null, before = taskq.living(older)
        where unique_key.task_type = of_type
          and unique_key.key = of_key;
    end if;
    return true;
end
$may_start$;

-- Deletes keys of tasks that have ended, so many at the most, and returns how many. One that is taken anew meanwhile
-- has another task then, and stays.
create function taskq.prune_keys(most bigint) returns bigint
language sql
begin atomic
    -- One that has left a lease may run again in another while the others of the first run still.
    with running as materialized (
        select left_in.task_id
        from taskq.lease
        cross join lateral (
            select unnest(lease.task_ids)
            except
            select unnest(lease.done)
        ) as left_in (task_id)
    ),
    ended as materialized (
        select unique_key.task_type, unique_key.key, unique_key.task_id
        from taskq.unique_key
        where case unique_key.until
                when 'within' then unique_key.ends_at <= now()
                else not exists (select from taskq.task where task.task_id = unique_key.task_id)
                    and not exists (select from running where running.task_id = unique_key.task_id)
            end
          -- An older one that is to be retried does not take the place of a newer one that has ended.
          and (
              unique_key.before is null
              or not exists (select from taskq.task where task.task_id = any (unique_key.before))
              and not exists (select from running where running.task_id = any (unique_key.before))
          )
        limit most
    ),
    -- Not in the step before: of a row that was changed meanwhile Postgres would look at the new task with an old eye.
    locked as materialized (
        select unique_key.task_type, unique_key.key
        from taskq.unique_key
        join ended using (task_type, key, task_id)
        for update of unique_key skip locked
    ),
    pruned as (
        delete from taskq.unique_key
        using locked
        where unique_key.task_type = locked.task_type
          and unique_key.key = locked.key
        returning unique_key.task_id
    )
    select count(*) from pruned;
end;

-- For those who enqueue, and for workers: see roles.sql.
revoke execute on function taskq.take_keys from public;
revoke execute on function taskq.prune_keys from public;

insert into taskq.migration (version, name, oldest_binary)
values (7, 'unique', 2);
