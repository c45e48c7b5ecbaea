-- Has operators write tasks: give a dead one another payload, and enqueue one by hand.

-- Gives a dead task another payload, and has it run again as taskq.retry does. Returns in which state it was.
-- `payload_version` is that of the new payload; null: as it was. The old payload is gone,
-- but for secret fields of which the new one says ***.
create function taskq.edit(
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

-- Enqueues a task as taskq.enqueue does, for an operator, and records it.
create function taskq.enqueue_by_hand(
    task_type text,
    payload jsonb default '{}',
    options jsonb default '{}',
    reason text default null,
    by text default session_user
) returns table (task_id bigint, outcome text)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $enqueue_by_hand$
#variable_conflict use_column
begin
    perform taskq.require_said(enqueue_by_hand.reason, enqueue_by_hand.by);
    select made.task_id, made.outcome
    into enqueue_by_hand.task_id, enqueue_by_hand.outcome
    from taskq.enqueue(enqueue_by_hand.task_type, enqueue_by_hand.payload, enqueue_by_hand.options) as made;
    insert into taskq.audit (by, verb, task_id, task_type, queue, state, reason)
    values (
        coalesce(enqueue_by_hand.by, session_user),
        'enqueue',
        enqueue_by_hand.task_id,
        enqueue_by_hand.task_type,
        coalesce(enqueue_by_hand.options ->> 'queue', 'default'),
        enqueue_by_hand.outcome,
        enqueue_by_hand.reason
    );
    return next;
end
$enqueue_by_hand$;

revoke execute on function taskq.edit from public;
revoke execute on function taskq.enqueue_by_hand from public;

insert into taskq.migration (version, name, oldest_binary)
values (25, 'edit', 2);
