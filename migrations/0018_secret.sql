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

-- Returns a key, or what Postgres said of a row, without what is secret: neither at all if it tells that.
create function taskq.masked_key(key jsonb, payload jsonb, fields text[]) returns jsonb
language sql
immutable
return case
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

-- Fails, and says what is wrong with a filter. A secret field cannot be looked for: that would tell its value.
alter function taskq.check_filter(jsonb) rename to check_filter_form;

create function taskq.check_filter(filter jsonb) returns void
language plpgsql
stable
as $check_filter$
declare
    problem text;
begin
    perform taskq.check_filter_form(filter);
    if not filter ? 'payload' then
        return;
    end if;
    select format(
        '%I is a secret field of tasks of type %s, so a filter cannot look for it; for a field of that name of another type say its type',
        secret_field.field,
        secret_field.task_type
    )
    into problem
    from jsonb_array_elements(filter -> 'payload') as said
    join taskq.secret_field on secret_field.field = said -> 'path' ->> 0
    where not filter ?| array['type', 'type_like']
       or secret_field.task_type = any (array(select jsonb_array_elements_text(filter -> 'type')))
       or secret_field.task_type like any (array(select jsonb_array_elements_text(filter -> 'type_like')))
    order by secret_field.task_type, secret_field.field
    limit 1;
    if problem is not null then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = problem;
    end if;
end
$check_filter$;

-- Tells of one task all that is stored, but for secret values; null where there is none.
create or replace function taskq.show(task_id bigint) returns jsonb
language sql
stable
return (
    select
        to_jsonb(found) || jsonb_build_object(
            'payload', taskq.masked(found.payload, secret.fields),
            'priority', coalesce(found.priority, 0),
            'payload_version', coalesce(found.payload_version, 0),
            'attempts', coalesce(found.attempts, 0),
            'crashes', coalesce(found.crashes, 0),
            'errors', coalesce(found.errors, '[]'),
            'metadata', coalesce(found.metadata, '{}'),
            'cause', (select dead.cause from taskq.dead where dead.task_id = show.task_id),
            'refusal', (
                select taskq.masked_key(refused.refusal, found.payload, secret.fields)
                from taskq.refused
                where refused.task_id = show.task_id
                order by refused.refused_at desc
                limit 1
            ),
            'worker', (
                select jsonb_build_object('host', worker.host, 'process_id', worker.process_id, 'seen_at', worker.seen_at)
                from taskq.worker
                where worker.worker_id = found.worker_id
            ),
            -- There is no index by tasks: so many keys of its type are looked at.
            'unique_keys', (
                select coalesce(
                    jsonb_agg(
                        jsonb_build_object(
                            'key', taskq.masked_key(held.key, found.payload, secret.fields),
                            'until', held.until,
                            'ends_at', held.ends_at
                        )
                        order by held.key
                    ),
                    '[]'
                )
                from (
                    select *
                    from taskq.unique_key
                    where unique_key.task_type = found.task_type
                    limit 100000
                ) as held
                where held.task_id = show.task_id
            ),
            'limit_key', (
                select taskq.masked_key(to_jsonb(task.key), found.payload, secret.fields) #>> '{}'
                from taskq.task
                where task.task_id = show.task_id
            ),
            'audit', (
                select coalesce(
                    jsonb_agg(
                        jsonb_build_object(
                            'at', audit.at, 'by', audit.by, 'verb', audit.verb, 'state', audit.state, 'reason', audit.reason
                        )
                        order by audit.audit_id
                    ),
                    '[]'
                )
                from (
                    select *
                    from taskq.audit
                    where audit.task_id = show.task_id
                    order by audit.audit_id desc
                    limit 100
                ) as audit
            )
        )
    from taskq.tasks as found
    cross join lateral (select taskq.secret_fields(found.task_type, found.metadata)) as secret (fields)
    where found.task_id = show.task_id
    order by found.state in ('waiting', 'running') desc, found.finished_at desc
    limit 1
);

-- Gives a dead task another payload, and has it run again as taskq.retry does. Returns in which state it was.
-- `payload_version` is that of the new payload; null: as it was. The old payload is gone,
-- but for secret fields of which the new one says ***.
create or replace function taskq.edit(
    task_id bigint,
    payload jsonb,
    payload_version smallint default null,
    at timestamptz default now(),
    reason text default null,
    by text default session_user
) returns text
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $edit$
#variable_conflict use_column
declare
    edited taskq.dead;
begin
    perform taskq.require_said(edit.reason, edit.by);
    if edit.payload is null then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = 'say what the payload is to be';
    end if;
    update taskq.dead
    set payload = taskq.unmasked(
            edit.payload,
            dead.payload,
            taskq.secret_fields(dead.task_type, dead.metadata)
        ),
        payload_version = coalesce(edit.payload_version, dead.payload_version)
    where dead.task_id = edit.task_id
    returning dead.*
    into edited;
    if not found then
        perform taskq.refuse_verb(
            'edit',
            edit.task_id,
            taskq.state_of(edit.task_id),
            ': only a dead task is edited, so cancel one that waits or runs first'
        );
    end if;
    insert into taskq.audit (by, verb, task_id, task_type, queue, state, reason)
    values (
        coalesce(edit.by, session_user),
        'edit',
        edit.task_id,
        edited.task_type,
        edited.queue,
        edited.state,
        edit.reason
    );
    return taskq.retry(edit.task_id, edit.at, edit.reason, edit.by);
end
$edit$;

insert into taskq.migration (version, name, oldest_binary)
select 18, 'secret', max(oldest_binary) from taskq.migration;
