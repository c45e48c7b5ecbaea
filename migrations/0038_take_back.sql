-- Another id for a task that is taken back, where a dead task has its own: it could never die.

-- As before, but for the look at the dead.
create or replace function taskq.take_back(
    task_id bigint,
    reason text default null,
    by text default session_user
) returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $take_back$
#variable_conflict use_column
declare
    gone taskq.refused;
    back taskq.task;
begin
    perform taskq.require_said(take_back.reason, take_back.by);
    delete from taskq.refused
    where refused.ctid = (
        select refused.ctid
        from taskq.refused
        where refused.task_id = take_back.task_id
        order by refused.refused_at
        limit 1
        for update skip locked
    )
    returning *
    into gone;
    if not found then
        return null;
    end if;
    insert into taskq.task (
        task_id,
        task_type,
        payload_version,
        payload,
        queue,
        priority,
        run_at,
        created_at,
        max_attempts,
        attempts,
        crashes,
        errors,
        metadata
    )
    overriding system value
    values (
        case
            when exists (select from taskq.task where task.task_id = gone.task_id)
                or exists (select from taskq.dead where dead.task_id = gone.task_id)
                then nextval(pg_get_serial_sequence('taskq.task', 'task_id'))
            else gone.task_id
        end,
        gone.task_type,
        gone.payload_version,
        gone.payload,
        gone.queue,
        gone.priority,
        gone.run_at,
        gone.created_at,
        gone.max_attempts,
        gone.attempts,
        gone.crashes,
        gone.errors,
        gone.metadata
    )
    returning *
    into back;
    -- What a handler has made of the old id must not change: see `Attempt::key`.
    if back.task_id <> gone.task_id and not coalesce(gone.metadata ? 'task.first_id', false) then
        update taskq.task
        set metadata = coalesce(metadata, '{}') || jsonb_build_object('task.first_id', gone.task_id)
        where task.task_id = back.task_id;
    end if;
    insert into taskq.audit (by, verb, task_id, task_type, queue, state, reason)
    values (
        coalesce(take_back.by, session_user),
        'take back',
        back.task_id,
        back.task_type,
        back.queue,
        'refused',
        take_back.reason
    );
    return back.task_id;
-- It stays where it is, and this says what is still in its way.
exception
    when integrity_constraint_violation or raise_exception then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = format('Postgres still refuses task %s: %s', take_back.task_id, sqlerrm);
end
$take_back$;

insert into taskq.migration (version, name, oldest_binary)
select 38, 'take_back', max(oldest_binary) from taskq.migration;
