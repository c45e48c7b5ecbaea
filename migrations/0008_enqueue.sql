-- Enqueues from SQL, with every option.

-- Returns the seconds of a JSON value: a number of them, or a text that is an interval.
create function taskq.option_seconds(name text, value jsonb) returns double precision
language plpgsql
immutable
strict
parallel safe
as $option_seconds$
declare
    seconds double precision;
begin
    seconds := case jsonb_typeof(value)
        when 'number' then (value #>> '{}')::double precision
        else extract(epoch from (value #>> '{}')::interval)
    end;
    if seconds < 0 then
        raise exception 'the option "%" must not be negative: %', name, value
            using errcode = 'invalid_parameter_value';
    end if;
    return seconds;
exception
    when invalid_datetime_format or datetime_field_overflow or interval_field_overflow or numeric_value_out_of_range then
        raise exception 'the option "%" is no length of time: %', name, value using
            errcode = 'invalid_parameter_value',
            hint = 'Write a number of seconds, or an interval such as "5 minutes".';
end
$option_seconds$;

-- Enqueues a task in the caller's transaction, and returns its id and what was done: 'created', or for a task with a
-- key 'existing' or 'replaced'. What the task type declares of queue, priority, attempts and key is said in its program
-- alone: say it here again.
--
-- `options`: "queue", "priority", "max_attempts", "run_at", "delay", "expires", "awaited" (true: its end is told to those
-- who wait for it), "group" (of which it is a member), "metadata", "payload_version"; and for a task of which one at a time may be there "unique_key" (a
-- text), "unique_fields" (an array of the payload's fields) or "unique" (true: the whole payload), with "until", "within", "on_conflict", "at_latest" and "debounce". With "busy_after" it
-- fails (lock_not_available) where another transaction has had the key for so long.
create function taskq.enqueue(
    task_type text,
    payload jsonb default '{}',
    options jsonb default '{}'
) returns table (task_id bigint, outcome text)
language plpgsql
as $enqueue$
#variable_conflict use_column
declare
    wrong record;
    problem text;
    is_unique constant boolean :=
        options ?| array['unique_key', 'unique_fields', 'debounce'] or coalesce(options -> 'unique' = 'true', false);
    debounce constant double precision := taskq.option_seconds('debounce', options -> 'debounce');
    delay constant double precision := coalesce(debounce, taskq.option_seconds('delay', options -> 'delay'), 0);
    due_at constant timestamptz :=
        coalesce((options ->> 'run_at')::timestamptz, now() + make_interval(secs => delay));
    to_queue constant text := coalesce(options ->> 'queue', 'default');
    expires constant double precision := taskq.option_seconds('expires', options -> 'expires');
    is_awaited constant boolean := coalesce(options -> 'awaited' = 'true', false);
    of_group constant bigint := (options ->> 'group')::bigint;
    with_metadata jsonb := case
        when expires is null and not is_awaited and of_group is null then options -> 'metadata'
        else coalesce(options -> 'metadata', '{}')
            || case
                when expires is null then '{}'
                else jsonb_build_object('task.expires', extract(epoch from due_at - now()) + expires)
            end
            || case when is_awaited then '{"task.awaited": true}'::jsonb else '{}' end
            || case when of_group is null then '{}' else jsonb_build_object('task.group', of_group) end
    end;
begin
    if jsonb_typeof(options) <> 'object' then
        raise exception 'the options must be a JSON object, not %', options
            using errcode = 'invalid_parameter_value';
    end if;
    select given.name, given.value, known.types
    into wrong
    from jsonb_each(options) as given (name, value)
    left join (
        values
            ('queue', array['string']),
            ('priority', array['number']),
            ('max_attempts', array['number']),
            ('run_at', array['string']),
            ('delay', array['number', 'string']),
            ('expires', array['number', 'string']),
            ('awaited', array['boolean']),
            ('group', array['number']),
            ('metadata', array['object']),
            ('payload_version', array['number']),
            ('unique', array['boolean']),
            ('unique_key', array['string']),
            ('unique_fields', array['array']),
            ('until', array['string']),
            ('within', array['number', 'string']),
            ('on_conflict', array['string']),
            ('at_latest', array['number', 'string']),
            ('debounce', array['number', 'string']),
            ('busy_after', array['number', 'string'])
    ) as known (name, types) on known.name = given.name
    where known.types is null
       or jsonb_typeof(given.value) <> all (known.types)
       or not is_unique and given.name in ('until', 'within', 'on_conflict', 'at_latest', 'busy_after')
    order by given.name
    limit 1;
    if found then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = case
                when wrong.types is null then format('there is no option "%s"', wrong.name)
                when wrong.name in ('until', 'within', 'on_conflict', 'at_latest', 'busy_after') and not is_unique
                    then format('the option "%s" is for a task with a key', wrong.name)
                else format('the option "%s" must be a JSON %s', wrong.name, array_to_string(wrong.types, ' or '))
            end,
            hint = case
                when wrong.types is null
                    then 'The options are queue, priority, max_attempts, run_at, delay, expires, awaited, group, metadata, payload_version, '
                        'unique, unique_key, unique_fields, until, within, on_conflict, at_latest, debounce and busy_after.'
                when wrong.name in ('until', 'within', 'on_conflict', 'at_latest', 'busy_after') and not is_unique
                    then 'Add "unique_key", "unique_fields" or "unique": true.'
                else format('It was given as %s.', wrong.value)
            end;
    end if;
    problem := case
        when (options ? 'run_at')::integer + (options ? 'delay')::integer + (options ? 'debounce')::integer > 1
            then 'say one of "run_at", "delay" and "debounce"'
        when expires = 0 then 'the option "expires" must be longer than nothing'
        when options ?& array['unique_key', 'unique_fields'] then 'say one of "unique_key" and "unique_fields"'
        when options ->> 'unique_key' = '' then 'the option "unique_key" must not be empty'
        when options -> 'unique_fields' = '[]' or exists (
            select
            from jsonb_array_elements(options -> 'unique_fields') as field
            where jsonb_typeof(field) <> 'string'
        )
            then 'the option "unique_fields" must name fields of the payload'
        when options ?& array['until', 'within'] then '"within" says until when a task has its key: leave out "until"'
        when options ->> 'until' not in ('done', 'started', 'again')
            then format('unknown until "%s": it is done, started or again', options ->> 'until')
        when options ->> 'until' = 'again' and options ->> 'on_conflict' in ('keep', 'error')
            then 'with "until": "again" the newest payload holds: leave out "on_conflict"'
        when taskq.option_seconds('within', options -> 'within') = 0
            then 'the option "within" must be longer than nothing'
        when options ->> 'on_conflict' = 'push_back' and not options ?| array['at_latest', 'debounce']
            then '"push_back" puts a task off for ever: say "at_latest"'
        when options ? 'at_latest' and coalesce(options ->> 'on_conflict', 'push_back') <> 'push_back'
            or options ? 'at_latest' and not options ?| array['on_conflict', 'debounce']
            then 'the option "at_latest" is for "on_conflict": "push_back"'
    end;
    if problem is not null then
        raise exception using errcode = 'invalid_parameter_value', message = problem;
    end if;

    if is_unique then
        select taken.task_id, taken.outcome, taken.metadata
        into enqueue.task_id, enqueue.outcome, with_metadata
        from taskq.take_keys(
            enqueue.task_type,
            array[
                taskq.short_key(
                    coalesce(
                        options -> 'unique_key',
                        taskq.payload_key(
                            enqueue.payload,
                            case
                                when options ? 'unique_fields'
                                    then array(select jsonb_array_elements_text(options -> 'unique_fields'))
                            end
                        )
                    )
                )
            ],
            array[enqueue.payload],
            case when options ? 'within' then 'within' else coalesce(options ->> 'until', 'done') end,
            taskq.option_seconds('within', options -> 'within'),
            coalesce(
                options ->> 'on_conflict',
                case
                    when debounce is not null then 'push_back'
                    when options ->> 'until' = 'again' then 'replace'
                    else 'keep'
                end
            ),
            coalesce((options ->> 'payload_version')::smallint, 0::smallint),
            to_queue,
            coalesce((options ->> 'priority')::smallint, 0::smallint),
            (options ->> 'max_attempts')::integer,
            due_at,
            coalesce(taskq.option_seconds('at_latest', options -> 'at_latest'), debounce * 10),
            with_metadata,
            taskq.option_seconds('busy_after', options -> 'busy_after')
        ) as taken;
        if enqueue.outcome <> 'created' then
            return next;
            return;
        end if;
    end if;

    outcome := 'created';
    insert into taskq.task as added (
        task_id,
        task_type,
        payload_version,
        payload,
        queue,
        priority,
        max_attempts,
        metadata,
        run_at
    )
    overriding system value
    values (
        coalesce(enqueue.task_id, taskq.new_task_id()),
        enqueue.task_type,
        coalesce((options ->> 'payload_version')::smallint, 0::smallint),
        enqueue.payload,
        to_queue,
        coalesce((options ->> 'priority')::smallint, 0::smallint),
        (options ->> 'max_attempts')::integer,
        with_metadata,
        due_at
    )
    returning added.task_id
    into enqueue.task_id;
    if not found then
        raise exception 'the task was not inserted: a trigger has dropped it';
    end if;
    if of_group is not null then
        perform taskq.join_group(of_group, array[enqueue.task_id]);
    end if;
    return next;
end
$enqueue$;

-- The tasks that were to start by a time, and did not.
alter table taskq.dead drop constraint dead_state;
alter table taskq.dead add constraint dead_state
    check (state in ('discarded', 'cancelled', 'invalid', 'quarantined', 'expired'));

insert into taskq.migration (version, name, oldest_binary)
values (8, 'enqueue', 2);
