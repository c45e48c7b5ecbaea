-- Keeps the values of secret fields of payloads from those who look at tasks: they are shown as ***.

-- Which fields of payloads are secret, as programs declare them. A field that was secret once stays so: older rows have it
-- still. The table `taskq.task` has the values in clear, for whoever may read it.
create table taskq.secret_field (
    task_type text        not null,
    -- Its name in the payload's JSON, where it stands at the top.
    field     text        not null,
    since     timestamptz not null default now(),
    constraint secret_field_pkey primary key (task_type, field),
    constraint secret_field_task_type_length check (octet_length(task_type) between 1 and 200),
    constraint secret_field_field_length check (octet_length(field) between 1 and 1000)
);

-- Whoever shows a task reads it.
grant select on taskq.secret_field to public;

-- Returns the secret fields of a task: those of its type, and those that its enqueue has named in its metadata, which a
-- program without workers does.
create function taskq.secret_fields(task_type text, metadata jsonb default null) returns text[]
language sql
stable
return array(
    select secret_field.field
    from taskq.secret_field
    where secret_field.task_type = secret_fields.task_type
    union
    select jsonb_array_elements_text(
        case jsonb_typeof(secret_fields.metadata -> 'task.secret')
            when 'array' then secret_fields.metadata -> 'task.secret'
            else '[]'
        end
    )
);

-- Returns a payload without the values of some fields. One that is no object has no fields, and is hidden as a whole.
create function taskq.masked(payload jsonb, fields text[]) returns jsonb
language sql
immutable
return case
    when coalesce(cardinality(fields), 0) = 0 then payload
    when jsonb_typeof(payload) <> 'object' then '"***"'
    else payload || (
        select coalesce(jsonb_object_agg(field, '***'), '{}')
        from unnest(fields) as field
        where payload ? field
    )
end;

-- Returns what is shown of a task's payload, so that a filter can look at nothing else. `known` are the fields that the asker
-- knows to be secret: {"send_card": ["pin"]}.
create function taskq.shown_payload(payload jsonb, task_type text, metadata jsonb, known jsonb) returns jsonb
language sql
stable
return taskq.masked(
    payload,
    taskq.secret_fields(task_type, metadata)
        || array(select jsonb_array_elements_text(known -> shown_payload.task_type))
);

-- Returns a key, or what Postgres said of a row, without what is secret: neither at all if it tells that.
create function taskq.masked_key(key jsonb, payload jsonb, fields text[]) returns jsonb
language sql
immutable
return case
    when cardinality(fields) > 0 and jsonb_typeof(payload) <> 'object' then '"***"'
    when exists (
        select
        from unnest(fields) as field
        cross join lateral (
            -- As a text, and as JSON quotes it.
            values (masked_key.payload ->> field), (btrim((masked_key.payload -> field)::text, '"'))
        ) as hidden (value)
        where hidden.value <> ''
          and (
              strpos(masked_key.key #>> '{}', hidden.value) > 0
              or strpos(masked_key.key::text, hidden.value) > 0
          )
    ) then '"***"'
    else key
end;

-- Returns an edited payload with the values that the task has where the edit says *** of a secret field. Fails where there
-- is no such value.
create function taskq.unmasked(edited jsonb, stored jsonb, fields text[]) returns jsonb
language plpgsql
immutable
as $unmasked$
declare
    field text;
begin
    if coalesce(cardinality(fields), 0) = 0 then
        return edited;
    end if;
    if edited = '"***"' then
        return stored;
    end if;
    if jsonb_typeof(edited) <> 'object' then
        return edited;
    end if;
    foreach field in array fields loop
        continue when edited -> field is distinct from '"***"';
        if jsonb_typeof(stored) <> 'object' or not stored ? field then
            raise exception using
                errcode = 'invalid_parameter_value',
                message = format('%I is secret, and *** stands for its stored value, which the task does not have: say the value', field);
        end if;
        edited := jsonb_set(edited, array[field], stored -> field);
    end loop;
    return edited;
end
$unmasked$;

-- Returns what an edit of a dead task would write, for a program that decodes it first.
create function taskq.edited_payload(task_id bigint, payload jsonb) returns jsonb
language sql
stable
return (
    select taskq.unmasked(
        edited_payload.payload,
        found.payload,
        taskq.secret_fields(found.task_type, found.metadata)
    )
    from taskq.tasks as found
    where found.task_id = edited_payload.task_id
    order by found.finished_at desc nulls last
    limit 1
);

insert into taskq.migration (version, name, oldest_binary)
select 19, 'secret', max(oldest_binary) from taskq.migration;
