-- Makes an enqueue cheaper: one function checks a task, and its index looks for no duplicates.

-- Raises the error of a rule that a task breaks. Not called for null, where none is broken.
create function taskq.refuse_task(broken text) returns boolean
language plpgsql
strict
as $refuse_task$
begin
    raise exception using
        errcode = 'check_violation',
        table = 'task',
        constraint = broken,
        message = format('new row for relation "task" violates check constraint "%s"', broken),
        detail = case broken
            when 'task_type_length' then 'task_type has 1 to 200 bytes.'
            when 'task_queue_length' then 'queue has 1 to 200 bytes.'
            when 'task_payload_version_positive' then 'payload_version is 0 where it is not known, or larger.'
            when 'task_payload_size' then 'payload has at most 1048576 bytes, not compressed.'
            when 'task_run_at_range' then 'run_at is in the years 1 to 9999.'
            when 'task_created_at_range' then 'created_at is in the years 1 to 9999.'
            when 'task_max_attempts_range' then 'max_attempts is null or 1 to 65535.'
            when 'task_attempts_positive' then 'attempts is 0 or larger.'
            when 'task_crashes_positive' then 'crashes is 0 or larger.'
            when 'task_errors_array' then 'errors is null or an array.'
            when 'task_metadata_object' then 'metadata is null or an object.'
            when 'task_metadata_size' then 'metadata has at most 131072 bytes as text.'
        end;
end
$refuse_task$;

-- Returns true for a task that may wait, and raises an error otherwise. Postgres reads the text of each check of a
-- table again with every statement, and a function of plpgsql once for each session.
--
-- A payload is measured as it is when it is read: a compressed one may come from another table.
create function taskq.check_task(
    task_type text,
    queue text,
    payload_version smallint,
    payload jsonb,
    run_at timestamptz,
    created_at timestamptz,
    max_attempts integer,
    attempts integer,
    crashes integer,
    errors jsonb,
    metadata jsonb
) returns boolean
language plpgsql
stable
parallel safe
as $check_task$
begin
    -- One expression: each further statement costs every row as much as three rules.
    return coalesce(
        taskq.refuse_task(
            case
                when octet_length(task_type) not between 1 and 200 then 'task_type_length'
                when octet_length(queue) not between 1 and 200 then 'task_queue_length'
                when payload_version < 0 then 'task_payload_version_positive'
                when pg_column_size(payload) > 1048576 then 'task_payload_size'
                when pg_column_compression(payload) is not null
                    and pg_column_size(jsonb_build_array(payload)) > 1048576 then 'task_payload_size'
                when run_at < '0001-01-01 00:00+00' or run_at >= '10000-01-01 00:00+00'
                    then 'task_run_at_range'
                when created_at < '0001-01-01 00:00+00' or created_at >= '10000-01-01 00:00+00'
                    then 'task_created_at_range'
                when max_attempts not between 1 and 65535 then 'task_max_attempts_range'
                when attempts < 0 then 'task_attempts_positive'
                when crashes < 0 then 'task_crashes_positive'
                when jsonb_typeof(errors) <> 'array' then 'task_errors_array'
                when jsonb_typeof(metadata) <> 'object' then 'task_metadata_object'
                when octet_length(metadata::text) > 131072 then 'task_metadata_size'
            end
        ),
        true
    );
end
$check_task$;

-- Whoever may insert a task may have it checked, whatever the defaults of the database are.
grant execute on function taskq.refuse_task, taskq.check_task to public;

-- Tasks that wait already are not looked at.
alter table taskq.task
    drop constraint task_type_length,
    drop constraint task_queue_length,
    drop constraint task_payload_version_positive,
    drop constraint task_payload_size,
    drop constraint task_run_at_range,
    drop constraint task_created_at_range,
    drop constraint task_max_attempts_range,
    drop constraint task_attempts_positive,
    drop constraint task_crashes_positive,
    drop constraint task_errors_array,
    drop constraint task_metadata_object,
    drop constraint task_metadata_size,
    add constraint task_checks check (
        taskq.check_task(
            task_type,
            queue,
            payload_version,
            payload,
            run_at,
            created_at,
            max_attempts,
            attempts,
            crashes,
            errors,
            metadata
        )
    ) not valid;

-- No two entries are alike, for each has its task_id. Postgres looks for such before each split of a page.
alter index taskq.task_lane set (deduplicate_items = off);

insert into taskq.migration (version, name, oldest_binary)
values (6, 'checks', 2);
