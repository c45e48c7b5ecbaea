-- Lets operators cancel, retry and discard a task, and records what they did.

-- What operators did to tasks. Nothing deletes it.
create table taskq.audit (
    audit_id  bigint      not null generated always as identity,
    at        timestamptz not null default now(),
    by        text        not null default session_user,
    -- cancel, retry or discard
    verb      text        not null,
    task_id   bigint      not null,
    task_type text        not null,
    queue     text        not null,
    -- In which state the task was.
    state     text        not null,
    reason    text,
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
                nullif(dead.metadata - 'task.expires', '{}')
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

revoke execute on function taskq.cancel(bigint, text, text) from public;
revoke execute on function taskq.retry(bigint, timestamptz, text, text) from public;
revoke execute on function taskq.discard(bigint, text, text) from public;

insert into taskq.migration (version, name, oldest_binary)
values (12, 'operate', 2);
