-- Lets operators cancel, retry and discard a task, have Postgres take one back and end a session, and records what they did.

-- What operators did. Nothing deletes it.
create table taskq.audit (
    audit_id  bigint      not null generated always as identity,
    at        timestamptz not null default now(),
    by        text        not null default session_user,
    -- cancel, pause, limit, ...
    verb      text        not null,
    task_id   bigint,
    task_type text,
    queue     text,
    -- In which state the task was. Of what is no task: what was said, or what became of it.
    state     text,
    reason    text,
    -- What it was done to, where that is no task: a queue, task_type, key, schedule or session, and its name.
    scope     text,
    name      text,
    -- What is done to many tasks is one row: taskq.bulk has the rest.
    bulk_id   bigint,
    worker_id uuid,
    constraint audit_pkey primary key (audit_id),
    constraint audit_by_length check (octet_length(by) between 1 and 200),
    constraint audit_reason_length check (octet_length(reason) <= 10000)
);

create index audit_task on taskq.audit (task_id);

-- Tells workers what they would find out by themselves later: that the handler of a task is to be stopped, and that a
-- waiting task is due elsewhere in its lane. A message is lost if nobody listens.
create function taskq.tell_operated() returns trigger
language plpgsql
as $tell$
begin
    perform pg_catalog.pg_notify(
        tg_table_schema || '.operator',
        case new.verb when 'cancel' then 'cancel ' || new.task_id else 'scan ' || new.queue end
    );
    return null;
end
$tell$;

create trigger tell_operated
after insert on taskq.audit
for each row when (new.verb = 'cancel' and new.state = 'running' or new.verb = 'retry' and new.state = 'waiting')
execute function taskq.tell_operated();

-- Refuses what says who or why in a way that cannot be recorded.
create function taskq.require_said(reason text, by text) returns void
language plpgsql
as $require_said$
begin
    if octet_length(reason) > 10000 then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = 'a reason has at most 10000 bytes';
    end if;
    if octet_length(by) not between 1 and 200 then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = 'the name of who does it has 1 to 200 bytes';
    end if;
end
$require_said$;

-- Records what was done to what is no task, or to a task at which a sequence waited. Whoever may change such a thing may
-- record that.
create function taskq.write_down(
    verb text,
    scope text,
    name text,
    state text,
    reason text,
    by text,
    task_id bigint default null,
    task_type text default null
) returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $write_down$
begin
    perform taskq.require_said(write_down.reason, write_down.by);
    insert into taskq.audit (verb, scope, name, state, reason, by, task_id, task_type)
    values (
        write_down.verb,
        write_down.scope,
        write_down.name,
        write_down.state,
        write_down.reason,
        coalesce(write_down.by, session_user),
        write_down.task_id,
        write_down.task_type
    );
end
$write_down$;

revoke execute on function taskq.write_down from public;

-- Returns the state of a task, wherever it is; null where there is none. What waits or runs comes first.
create function taskq.state_of(task_id bigint) returns text
language sql
stable
as $state_of$
    select 'waiting' from taskq.task where task.task_id = state_of.task_id
    union all
    select 'running'
    from taskq.lease
    where state_of.task_id = any (lease.task_ids)
      and state_of.task_id <> all (lease.done)
    union all
    select ended.state
    from (
        select 'completed' as state, history.finished_at from taskq.history where history.task_id = state_of.task_id
        union all
        select dead.state, dead.finished_at from taskq.dead where dead.task_id = state_of.task_id
        union all
        select 'refused', refused.refused_at from taskq.refused where refused.task_id = state_of.task_id
        order by finished_at desc
        limit 1
    ) as ended
    limit 1
$state_of$;

-- Fails, and says why a task in this state cannot be treated so; null where there is no such task.
create function taskq.refuse_verb(verb text, task_id bigint, state text, advice text) returns void
language plpgsql
as $refuse_verb$
begin
    raise exception using
        errcode = 'invalid_parameter_value',
        message = case
            when refuse_verb.state is null
                then format('there is no task %s: it has completed and was not kept, or never was', refuse_verb.task_id)
            else format(
                'task %s is %s, so there is nothing to %s%s',
                refuse_verb.task_id,
                refuse_verb.state,
                refuse_verb.verb,
                refuse_verb.advice
            )
        end;
end
$refuse_verb$;

-- The verbs run with the rights of whoever owns the tables: an operator may cancel a task, and not write one.

-- Cancels a task that waits or runs, and returns in which of both states it was; a task that is cancelled already stays
-- so. From then on nothing counts that its handler returns or has written in its transaction. The worker that runs it is
-- told, and stops the handler; should it miss that, its next heartbeat tells it. Locks the row of the task or of its
-- lease, so whoever cancels several in a transaction takes them in one order.
create function taskq.cancel(
    task_id bigint,
    reason text default null,
    by text default session_user
) returns text
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $cancel$
declare
    said constant text := concat_ws(': ', 'cancelled by ' || coalesce(cancel.by, session_user), cancel.reason);
    state text;
    waiting taskq.task;
    running taskq.lease;
    of_queue text;
    held taskq.held;
begin
    perform taskq.require_said(cancel.reason, cancel.by);
    -- A task may change its place between two looks.
    for tries in 1..100 loop
        state := taskq.state_of(cancel.task_id);
        if state = 'waiting' then
            delete from taskq.task
            where task.task_id = cancel.task_id
            returning *
            into waiting;
            of_queue := waiting.queue;
            held := row(
                waiting.task_id,
                waiting.task_type,
                waiting.payload_version,
                waiting.payload,
                waiting.priority,
                waiting.run_at,
                waiting.created_at,
                waiting.max_attempts,
                waiting.attempts,
                waiting.crashes,
                waiting.errors,
                waiting.metadata
            );
        elsif state = 'running' then
            select found.*
            into running
            from taskq.lease as found
            where cancel.task_id = any (found.task_ids)
              and cancel.task_id <> all (found.done)
            for update;
            of_queue := running.queue;
            select found.*
            into held
            from taskq.left_in(running) as found
            where found.task_id = cancel.task_id;
            -- The fence: no outcome of the task counts that is written later.
            if cardinality(running.done) + 1 >= cardinality(running.task_ids) then
                delete from taskq.lease where lease_id = running.lease_id;
            else
                update taskq.lease
                set done = done || cancel.task_id
                where lease_id = running.lease_id;
            end if;
        elsif state = 'cancelled' then
            return state;
        else
            perform taskq.refuse_verb(
                'cancel',
                cancel.task_id,
                state,
                case when state = 'refused' then ': taskq.take_back has it wait again' else '' end
            );
        end if;
        continue when held.task_id is null;
        insert into taskq.dead (
            task_id,
            task_type,
            payload_version,
            payload,
            queue,
            priority,
            created_at,
            max_attempts,
            attempts,
            crashes,
            errors,
            metadata,
            state
        )
        values (
            held.task_id,
            held.task_type,
            held.payload_version,
            held.payload,
            of_queue,
            held.priority,
            held.created_at,
            held.max_attempts,
            held.attempts,
            held.crashes,
            -- Of the attempt that runs, if one does.
            taskq.with_error(held.errors, held.attempts + (state = 'running')::integer, said),
            held.metadata,
            'cancelled'
        );
        insert into taskq.audit (by, verb, task_id, task_type, queue, state, reason)
        values (
            coalesce(cancel.by, session_user),
            'cancel',
            cancel.task_id,
            held.task_type,
            of_queue,
            state,
            cancel.reason
        );
        return state;
    end loop;
    raise exception using
        errcode = 'lock_not_available',
        message = format('task %s does not stay in one place: try again', cancel.task_id);
end
$cancel$;

-- Has a task run again that is dead, or now where it waits, and returns in which state it was. A dead one gets all its
-- attempts again, keeps its id and its errors, and does not expire by what its enqueue said. `at` is when it is due.
create function taskq.retry(
    task_id bigint,
    at timestamptz default now(),
    reason text default null,
    by text default session_user
) returns text
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $retry$
declare
    state text;
    dead taskq.dead;
    waiting taskq.task;
begin
    perform taskq.require_said(retry.reason, retry.by);
    if retry.at is null then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = 'a retry is at a time: leave it out for now';
    end if;
    for tries in 1..100 loop
        state := taskq.state_of(retry.task_id);
        if state = 'waiting' then
            update taskq.task
            set run_at = retry.at
            where task.task_id = retry.task_id
            returning *
            into waiting;
            continue when not found;
        elsif state in ('discarded', 'cancelled', 'invalid', 'quarantined', 'expired') then
            delete from taskq.dead
            where ctid = (
                select found.ctid
                from taskq.dead as found
                where found.task_id = retry.task_id
                order by found.finished_at desc
                limit 1
                for update
            )
            returning *
            into dead;
            continue when not found;
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
                errors,
                metadata
            )
            overriding system value
            values (
                dead.task_id,
                dead.task_type,
                dead.payload_version,
                dead.payload,
                dead.queue,
                dead.priority,
                retry.at,
                dead.created_at,
                dead.max_attempts,
                dead.errors,
                nullif(dead.metadata - array['task.expires', 'task.gives_up', 'task.snoozes', 'task.discard', 'task.batch'], '{}')
            )
            returning *
            into waiting;
        else
            perform taskq.refuse_verb(
                'retry',
                retry.task_id,
                state,
                case when state = 'refused' then ': taskq.take_back has it wait again' else '' end
            );
        end if;
        insert into taskq.audit (by, verb, task_id, task_type, queue, state, reason)
        values (
            coalesce(retry.by, session_user),
            'retry',
            retry.task_id,
            waiting.task_type,
            waiting.queue,
            state,
            retry.reason
        );
        return state;
    end loop;
    raise exception using
        errcode = 'lock_not_available',
        message = format('task %s does not stay in one place: try again', retry.task_id);
end
$retry$;

-- Deletes a dead task: somebody has decided that it never runs. Returns in which state it was.
create function taskq.discard(
    task_id bigint,
    reason text default null,
    by text default session_user
) returns text
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $discard$
declare
    dead taskq.dead;
begin
    perform taskq.require_said(discard.reason, discard.by);
    delete from taskq.dead
    where ctid = (
        select found.ctid
        from taskq.dead as found
        where found.task_id = discard.task_id
        order by found.finished_at desc
        limit 1
        for update
    )
    returning *
    into dead;
    if not found then
        perform taskq.refuse_verb(
            'discard',
            discard.task_id,
            taskq.state_of(discard.task_id),
            ': cancel it first'
        );
    end if;
    insert into taskq.audit (by, verb, task_id, task_type, queue, state, reason)
    values (
        coalesce(discard.by, session_user),
        'discard',
        discard.task_id,
        dead.task_type,
        dead.queue,
        dead.state,
        discard.reason
    );
    return dead.state;
end
$discard$;

-- Has Postgres take a refused task back, once what was in its way is gone: it waits again. Returns the id under which it
-- waits, a new one if another task has taken its own. Null: there is no such task, or another transaction has it.
create function taskq.take_back(
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

-- Returns who has begun a session: the user, the program if it has said its name, and the host.
create function taskq.whose_session(usename name, program text, hostname text, address inet) returns text
language sql
immutable
return concat_ws(
    ' ',
    'user ' || usename,
    'with the program ' || nullif(program, ''),
    'from ' || coalesce(hostname, host(address), 'the machine of the database')
);

-- Ends a session that has a transaction open, and returns its last statement. Who may, Postgres decides: the role of the
-- session, a member of it or of pg_signal_backend, or a superuser.
create function taskq.end_session(
    process_id integer,
    reason text default null,
    by text default session_user
) returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $end_session$
declare
    held pg_stat_activity;
    problem text;
begin
    select session.*
    into held
    from pg_stat_activity as session
    where session.pid = end_session.process_id;
    problem := case
        when held.pid is null then format('there is no session %s any more', end_session.process_id)
        when held.pid = pg_backend_pid() then 'that is the session of this statement'
        -- Of another role, of which this one sees nothing.
        when held.backend_type is null then null
        when held.backend_type <> 'client backend'
            then format('process %s is no session of a client, but %s', held.pid, held.backend_type)
        when held.xact_start is null then format('session %s has no transaction open any more', held.pid)
    end;
    if problem is not null then
        raise exception using errcode = 'invalid_parameter_value', message = problem;
    end if;
    perform taskq.write_down(
        'end session',
        'session',
        held.pid::text,
        format(
            'of %s, whose transaction was open since %s, last statement: %s',
            taskq.whose_session(held.usename, held.application_name, held.client_hostname, held.client_addr),
            to_char(held.xact_start at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS "UTC"'),
            left(held.query, 200)
        ),
        end_session.reason,
        end_session.by
    );
    perform pg_terminate_backend(held.pid);
    return held.query;
exception
    when insufficient_privilege then
        raise exception using
            errcode = 'invalid_parameter_value',
            message = format(
                'the role %s may not end session %s of %s: a member of pg_signal_backend may, or a superuser',
                current_user,
                held.pid,
                held.usename
            );
end
$end_session$;

-- The audit has pauses, and what was said of schedules by hand, whoever writes the row.

-- A pause says itself who made it, and why.
create function taskq.audit_pause() returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $audit_pause$
begin
    perform taskq.write_down('pause', new.scope, new.name, 'until ' || new.until, new.reason, (new).by);
    return null;
end
$audit_pause$;

create trigger audit_pause
after insert or update of reason, until, by on taskq.pause
for each row execute function taskq.audit_pause();

-- So does what was said of a schedule.
create function taskq.audit_schedule() returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $audit_schedule$
begin
    perform taskq.write_down(
        'schedule',
        'schedule',
        new.name,
        format('%s %s, %s', new.expression, new.timezone, new.task_type),
        new.reason,
        new.made_by
    );
    return null;
end
$audit_schedule$;

create trigger audit_schedule
after insert on taskq.schedule_definition
for each row when (new.declared_until is null)
execute function taskq.audit_schedule();

revoke execute on function taskq.cancel(bigint, text, text) from public;
revoke execute on function taskq.retry(bigint, timestamptz, text, text) from public;
revoke execute on function taskq.discard(bigint, text, text) from public;
revoke execute on function taskq.take_back(bigint, text, text) from public;
revoke execute on function taskq.end_session from public;

insert into taskq.migration (version, name, oldest_binary)
values (17, 'operate', 2);
