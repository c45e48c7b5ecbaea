-- Groups: a task that is enqueued once all members of a group have ended.

-- One row for each group. Whoever adds members, seals the group or ends a member locks it only while his transaction
-- commits: see taskq.group_change.
create table taskq.task_group (
    group_id    bigint      not null generated always as identity,
    created_at  timestamptz not null default now(),
    -- When somebody said that all members are there. From then on only members that run may add others.
    sealed_at   timestamptz,
    -- When the last member had ended, and the group's task was enqueued.
    ended_at    timestamptz,
    -- The group's task, as taskq.enqueue takes it, and its id once it is enqueued.
    task_type   text        not null,
    payload     jsonb       not null default '{}',
    options     jsonb       not null default '{}',
    task_id     bigint,
    -- Why it could not be enqueued, the last time that this was tried.
    problem     text,
    -- How many members there are, and how they ended.
    members     bigint      not null default 0,
    completed   bigint      not null default 0,
    discarded   bigint      not null default 0,
    cancelled   bigint      not null default 0,
    invalid     bigint      not null default 0,
    quarantined bigint      not null default 0,
    expired     bigint      not null default 0,
    deleted     bigint      not null default 0,
    remaining   bigint      not null generated always as (
        members - completed - discarded - cancelled - invalid - quarantined - expired - deleted
    ) stored,
    -- When somebody looked for members that are nowhere any more, and how far he came.
    tended_at   timestamptz,
    tended_to   bigint      not null default 0,
    constraint task_group_pkey primary key (group_id),
    constraint task_group_type_length check (octet_length(task_type) between 1 and 200),
    constraint task_group_options check (jsonb_typeof(options) = 'object')
);

create index task_group_open on taskq.task_group (tended_at nulls first, group_id) where ended_at is null;
create index task_group_ended on taskq.task_group (ended_at) where ended_at is not null;

-- Which tasks are members, and how each ended the first time. Null: it has not.
create table taskq.group_member (
    group_id bigint not null,
    task_id  bigint not null,
    outcome  text,
    constraint group_member_pkey primary key (group_id, task_id)
) with (
    -- Room for the outcome on the same page.
    fillfactor = 70
);

-- What one transaction changes of groups: a row for each group and kind, which its commit takes away again. So nobody
-- waits for a transaction that adds members and stays open, and each transaction locks the rows of its groups last, in
-- their order. Unlogged: nothing outlives its transaction.
create unlogged table taskq.group_change (
    transaction xid8   not null,
    group_id    bigint not null,
    -- added, sealed, or how members ended; last, of no group, once for each transaction.
    kind        text   not null,
    number      bigint not null,
    constraint group_change_pkey primary key (transaction, group_id, kind)
) with (
    autovacuum_vacuum_scale_factor = 0.01,
    vacuum_truncate = off
);

-- Returns the group whose member a task is, by its metadata.
create function taskq.group_of(metadata jsonb) returns bigint
language sql
immutable
parallel safe
return case when metadata ->> 'task.group' ~ '^[0-9]{1,18}$' then (metadata ->> 'task.group')::bigint end;

-- Returns the id under which a task became a member: taskq.take_back may have given it another since.
create function taskq.member_of(metadata jsonb, task_id bigint) returns bigint
language sql
immutable
parallel safe
return case
    when metadata ->> 'task.first_id' ~ '^[0-9]{1,18}$' then (metadata ->> 'task.first_id')::bigint
    else task_id
end;

-- Notes that members of a group have ended. Those that had ended before are left out: each ends once.
create function taskq.end_members(of_group bigint, task_ids bigint[], outcomes text[]) returns bigint
language sql
security definer
set search_path = pg_catalog, pg_temp
begin atomic
    with ended as (
        update taskq.group_member
        set outcome = given.outcome
        from unnest(task_ids, outcomes) as given (task_id, outcome)
        where group_member.group_id = of_group
          and group_member.task_id = any (array[given.task_id])
          and group_member.outcome is null
        returning given.outcome
    ),
    changed as (
        insert into taskq.group_change (transaction, group_id, kind, number)
        select pg_current_xact_id(), of_group, ended.outcome, count(*)
        from ended
        group by ended.outcome
        on conflict (transaction, group_id, kind) do update
        set number = group_change.number + excluded.number
    )
    select count(*) from ended;
end;

-- Notes that a member has ended: at its row in the history, or among the dead. Of other tasks the condition of the trigger
-- reads the metadata, which most have not, and nothing is called. A statement that has noted it itself leaves nothing to do.
create function taskq.end_member() returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $end_member$
begin
    perform taskq.end_members(
        taskq.group_of(new.metadata),
        array[taskq.member_of(new.metadata, new.task_id)],
        array[case when tg_nargs > 0 then tg_argv[0] else to_jsonb(new) ->> 'state' end]
    );
    return null;
end
$end_member$;

create trigger end_member
after insert on taskq.history
for each row
when (new.metadata ? 'task.group')
execute function taskq.end_member('completed');

create trigger end_member
after insert on taskq.dead
for each row
when (new.metadata ? 'task.group')
execute function taskq.end_member();

-- Enqueues the task of a group whose members have all ended, with their counts in its metadata. If Postgres refuses it, the
-- group says why and stays open: the refusal is nothing to those whose transaction this is, and taskq.tend_groups tries
-- again. The caller has locked the row of the group.
create function taskq.close_group(of_group bigint) returns boolean
language plpgsql
as $close_group$
#variable_conflict use_column
declare
    closed taskq.task_group;
    said text;
begin
    select * into closed from taskq.task_group where task_group.group_id = of_group;
    begin
        update taskq.task_group
        set ended_at = now(),
            problem = null,
            task_id = (
                select enqueued.task_id
                from taskq.enqueue(
                    closed.task_type,
                    closed.payload,
                    closed.options
                        || jsonb_build_object(
                            'metadata',
                            coalesce(closed.options -> 'metadata', '{}')
                                || jsonb_build_object(
                                    'group.ended',
                                    to_jsonb(closed) - array[
                                        'sealed_at', 'ended_at', 'task_type', 'payload', 'options', 'task_id', 'problem',
                                        'remaining', 'tended_at', 'tended_to'
                                    ]
                                )
                        )
                        -- Those whose transaction this is wait for nobody's key.
                        || case
                            when closed.options ?| array['unique', 'unique_key', 'unique_fields', 'debounce']
                                then '{"busy_after": 0.05}'::jsonb
                            else '{}'
                        end
                ) as enqueued
            )
        where task_group.group_id = of_group;
        -- What would refuse the row at the very end refuses it here.
        set constraints all immediate;
        return true;
    exception
        when others then
            get stacked diagnostics said = message_text;
    end;
    update taskq.task_group
    set problem = left(said, 2000)
    where task_group.group_id = of_group;
    return false;
end
$close_group$;

-- Adds up, as a transaction commits, what it has changed of groups, and closes those whose last member has ended. Fails if
-- it has added to a group that has ended.
create function taskq.commit_groups() returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $commit_groups$
#variable_conflict use_column
declare
    change record;
    changed taskq.task_group;
begin
    for change in
        with taken as (
            delete from taskq.group_change
            where group_change.transaction = pg_current_xact_id()
            returning *
        )
        select taken.group_id, jsonb_object_agg(taken.kind, taken.number) as numbers
        from taken
        where taken.kind <> 'last'
        group by taken.group_id
        order by taken.group_id
    loop
        update taskq.task_group
        set members = members + coalesce((change.numbers -> 'added')::bigint, 0),
            completed = completed + coalesce((change.numbers -> 'completed')::bigint, 0),
            discarded = discarded + coalesce((change.numbers -> 'discarded')::bigint, 0),
            cancelled = cancelled + coalesce((change.numbers -> 'cancelled')::bigint, 0),
            invalid = invalid + coalesce((change.numbers -> 'invalid')::bigint, 0),
            quarantined = quarantined + coalesce((change.numbers -> 'quarantined')::bigint, 0),
            expired = expired + coalesce((change.numbers -> 'expired')::bigint, 0),
            deleted = deleted + coalesce((change.numbers -> 'deleted')::bigint, 0),
            sealed_at = case when change.numbers ? 'sealed' then coalesce(sealed_at, now()) else sealed_at end
        where task_group.group_id = change.group_id
        returning *
        into changed;
        if change.numbers ? 'added' and (not found or changed.ended_at is not null) then
            perform taskq.refuse_group(change.group_id, found);
        end if;
        continue when not found;
        if changed.sealed_at is not null and changed.remaining = 0 and changed.ended_at is null then
            perform taskq.close_group(changed.group_id);
        end if;
    end loop;
    return null;
end
$commit_groups$;

create constraint trigger commit_groups
after insert on taskq.group_change
deferrable initially deferred
for each row
when (new.kind = 'last')
execute function taskq.commit_groups();

-- Has what a transaction changes of groups be added up as its last thing. Who says `set constraints all immediate` before, as
-- workers do when a handler has returned, and locks other rows then, has no row of a group locked. What is added to a group
-- that has ended is refused here already.
create function taskq.note_groups() returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $note_groups$
declare
    noted taskq.task_group;
begin
    if new.kind = 'added' then
        select * into noted from taskq.task_group where task_group.group_id = new.group_id;
        if not found or noted.ended_at is not null then
            perform taskq.refuse_group(new.group_id, found);
        end if;
    end if;
    if not exists (
        select
        from taskq.group_change
        where group_change.transaction = pg_current_xact_id()
          and group_change.group_id = 0
          and group_change.kind = 'last'
    ) then
        set constraints taskq.commit_groups deferred;
        insert into taskq.group_change (transaction, group_id, kind, number)
        values (pg_current_xact_id(), 0, 'last', 0);
    end if;
    return null;
end
$note_groups$;

create constraint trigger note_groups
after insert on taskq.group_change
deferrable initially deferred
for each row
when (new.kind <> 'last')
execute function taskq.note_groups();

-- Fails, and says why nothing can be added to a group.
create function taskq.refuse_group(of_group bigint, is_there boolean) returns void
language plpgsql
as $refuse_group$
begin
    raise exception using
        errcode = 'invalid_parameter_value',
        table = 'task_group',
        constraint = 'task_group',
        message = case
            when is_there then format('group %s has ended: add members before it is sealed, or from a member that runs', of_group)
            else format('there is no group %s: it was not begun in a transaction that committed, or ended long ago', of_group)
        end;
end
$refuse_group$;

-- Begins a group, and returns its id. Once it is sealed and all its members have ended, this task is enqueued, as
-- taskq.enqueue takes it.
create function taskq.begin_group(
    task_type text,
    payload jsonb default '{}',
    options jsonb default '{}'
) returns bigint
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $begin_group$
#variable_conflict use_column
declare
    begun bigint;
begin
    if options ? 'group' then
        raise exception 'the task of a group is a member of none: leave out the option "group"'
            using errcode = 'invalid_parameter_value';
    end if;
    if octet_length(task_type) not between 1 and 200 then
        raise exception 'a task type has 1 to 200 bytes' using errcode = 'invalid_parameter_value';
    end if;
    insert into taskq.task_group (task_type, payload, options)
    values (begin_group.task_type, begin_group.payload, begin_group.options)
    returning task_group.group_id
    into begun;
    return begun;
end
$begin_group$;

-- Has tasks that were just inserted be members of a group. What makes a task one is this, and its metadata.
create function taskq.join_group(of_group bigint, task_ids bigint[]) returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $join_group$
#variable_conflict use_column
declare
    joined taskq.task_group;
begin
    select * into joined from taskq.task_group where task_group.group_id = of_group;
    if not found or joined.ended_at is not null then
        perform taskq.refuse_group(of_group, found);
    end if;
    insert into taskq.group_member (group_id, task_id)
    select of_group, given.task_id
    from unnest(task_ids) as given (task_id);
    insert into taskq.group_change (transaction, group_id, kind, number)
    values (pg_current_xact_id(), of_group, 'added', cardinality(task_ids))
    on conflict (transaction, group_id, kind) do update
    set number = group_change.number + excluded.number;
end
$join_group$;

-- Says that all members of a group are there, from the commit of this transaction on. Said twice it holds as well. An operator
-- who says it in the place of whoever has begun the group says who he is.
create function taskq.seal_group(of_group bigint, reason text default null, by text default null) returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $seal_group$
#variable_conflict use_column
begin
    if not exists (select from taskq.task_group where task_group.group_id = of_group) then
        perform taskq.refuse_group(of_group, false);
    end if;
    insert into taskq.group_change (transaction, group_id, kind, number)
    values (pg_current_xact_id(), of_group, 'sealed', 1)
    on conflict (transaction, group_id, kind) do nothing;
    if seal_group.by is not null then
        perform taskq.write_down('seal', 'group', of_group::text, null, seal_group.reason, seal_group.by);
    end if;
end
$seal_group$;

revoke execute on function taskq.begin_group from public;
revoke execute on function taskq.join_group from public;
revoke execute on function taskq.seal_group from public;
revoke execute on function taskq.end_members from public;

insert into taskq.migration (version, name, oldest_binary)
select 33, 'groups', max(oldest_binary) from taskq.migration;
