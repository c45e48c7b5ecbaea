-- Gives tasks the keys by which their types are limited.

-- Returns the key of a task by fields of its payload. Fields that are absent, or null, make a key as others do. Whoever
-- enqueues calls it, so every name is qualified.
create function taskq.limit_key(payload jsonb, fields text[]) returns text
language plpgsql
immutable
parallel safe
as $limit_key$
declare
    field text;
    key jsonb := '{}';
    said text;
begin
    if pg_catalog.jsonb_typeof(payload) operator(pg_catalog.=) 'object' then
        foreach field in array fields loop
            if payload operator(pg_catalog.?) field then
                key := key operator(pg_catalog.||)
                    pg_catalog.jsonb_build_object(field, payload operator(pg_catalog.->) field);
            end if;
        end loop;
    end if;
    said := key::text;
    -- 1.0 is 1. Few have a number with a point.
    if pg_catalog.strpos(said, '.') operator(pg_catalog.>) 0
        and said operator(pg_catalog.~) '\.[0-9]*0[^0-9]'
    then
        said := taskq.spell_numbers(key)::text;
    end if;
    -- An index cannot hold more than some kilobytes.
    if pg_catalog.octet_length(said) operator(pg_catalog.>) 1000 then
        said := pg_catalog.concat(
            'sha256 ',
            pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(said, 'UTF8')), 'hex')
        );
    end if;
    return said;
end
$limit_key$;

-- Gives a task its key. The arguments of the trigger are the fields.
create function taskq.give_key() returns trigger
language plpgsql
as $give_key$
begin
    new.key := taskq.limit_key(new.payload, tg_argv);
    return new;
end
$give_key$;

-- Has tasks of a type have keys from now on, and an index by keys: with the first limit by key there is an index, and with
-- the first of each type a trigger. Before, taskq.task has neither, and enqueues cost what they cost without limits.
-- Writes to taskq.task wait while the index is built, which reads the table once; an index of this name that somebody has
-- built before, concurrently, is taken as it is. Whoever waits for this lock keeps those who come later, so it gives up
-- soon: only a little later than a vacuum would let it pass.
create function taskq.index_keys() returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '1500ms'
as $index_keys$
declare
    names text[] := new.name || new.aliases;
    -- Behind triggers of the application in the order of names: they may change the payload.
    own_name text := 'zz_key_' || md5(new.name);
    is_sequence boolean := exists (
        select
        from taskq.limit_rule
        where scope = 'key'
          and name = new.name
          and kind = 'sequence'
    );
    said text := format('The %s of %s by %s', case when is_sequence then 'sequences' else 'keys' end, names, new.fields);
    last bigint;
begin
    if exists (
        select
        from pg_trigger
        where tgrelid = 'taskq.task'::regclass
          and tgname = own_name
          and obj_description(oid, 'pg_trigger') = said
    ) then
        return null;
    end if;
    begin
        lock table taskq.task in share row exclusive mode;
        if is_sequence then
            lock table taskq.dead in share row exclusive mode;
        end if;
    exception
        when lock_not_available then
            raise exception using
                errcode = 'lock_not_available',
                message = format('tasks of type %s cannot have keys yet: a transaction has written to taskq.task and is still open', new.name),
                hint = 'Try again, or end that transaction: see pg_stat_activity.';
    end;
    create index if not exists task_key
    on taskq.task (queue, task_type, payload_version, crashes, priority, key, run_at, task_id)
    with (deduplicate_items = off)
    where key is not null;
    if not (select indisvalid from pg_index where indexrelid = 'taskq.task_key'::regclass) then
        raise exception using
            errcode = 'object_not_in_prerequisite_state',
            message = 'the index taskq.task_key is not valid',
            hint = 'Drop it, or wait until whoever builds it has done so.';
    end if;
    execute format(
        'create or replace trigger %I
         before insert or update of payload, task_type on taskq.task
         for each row when (new.task_type = any (%L::text[]))
         execute function taskq.%I(%s)',
        own_name,
        names,
        case when is_sequence then 'give_place' else 'give_key' end,
        (select string_agg(quote_literal(field), ', ') from unnest(new.fields) as field)
    );
    execute format('comment on trigger %I on taskq.task is %L', own_name, said);
    if is_sequence then
        perform taskq.index_sequences(own_name, new.name, names, new.fields);
    end if;
    execute format('select last_value from %s', pg_get_serial_sequence('taskq.task', 'task_id')) into last;
    update taskq.limit_rule
    set keyless_after = 0,
        keyless_to = last
    where scope = 'key'
      and name = new.name;
    return null;
end
$index_keys$;

create trigger index_keys
after insert or update of fields, aliases on taskq.limit_rule
for each row when (new.scope = 'key')
execute function taskq.index_keys();

-- Gives their keys to some of the tasks that waited before their type had a limit by these fields.
create function taskq.give_missing_keys(of_type text) returns void
language plpgsql
as $give_missing_keys$
declare
    page constant integer := 2000;
    rule taskq.limit_rule;
    last bigint;
    -- True or null.
    is_sequence boolean := (
        select true
        from taskq.limit_rule
        where limit_rule.scope = 'key'
          and limit_rule.name = of_type
          and limit_rule.kind = 'sequence'
    );
begin
    select limit_rule.*
    into rule
    from taskq.limit_rule
    where limit_rule.scope = 'key'
      and limit_rule.name = of_type
      and limit_rule.keyless_to is not null
    order by limit_rule.kind
    limit 1
    for update skip locked;
    if not found then
        return;
    end if;
    select max(task.task_id)
    into last
    from (
        select task_id
        from taskq.task
        where task_id > rule.keyless_after
          and task_id <= rule.keyless_to
        order by task_id
        limit page
    ) as task;
    update taskq.task
    set key = taskq.limit_key(payload, rule.fields),
        in_sequence = is_sequence
    where ctid = any (
        array(
            select task.ctid
            from taskq.task
            where task.task_id > rule.keyless_after
              and task.task_id <= last
              and task.task_type = any (rule.name || rule.aliases)
              and (task.key, task.in_sequence)
                is distinct from (taskq.limit_key(task.payload, rule.fields), is_sequence)
            for update skip locked
        )
    );
    update taskq.limit_rule
    set keyless_after = last,
        keyless_to = case when last is not null then rule.keyless_to end
    where scope = 'key'
      and name = rule.name;
end
$give_missing_keys$;

-- Gives their keys to the first tasks of a lane, where a transaction older than the limit has added some without.
create function taskq.give_lane_keys(
    of_queue text,
    of_type text,
    of_version smallint,
    of_crashes integer,
    of_priority smallint,
    fields text[],
    is_sequence boolean
) returns void
language plpgsql
as $give_lane_keys$
begin
    update taskq.task
    set key = taskq.limit_key(payload, fields),
        in_sequence = case when is_sequence then true end
    where ctid = any (
        array(
            select task.ctid
            from taskq.task
            where task.queue = of_queue
              and task.task_type = of_type
              and task.payload_version = of_version
              and task.crashes = of_crashes
              and task.priority = of_priority
            order by task.run_at, task.task_id
            limit 1000
            for update skip locked
        )
    );
end
$give_lane_keys$;

insert into taskq.migration (version, name, oldest_binary)
values (13, 'keys', 2);
