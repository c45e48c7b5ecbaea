-- Whether anybody listens, where an enqueue reads it without a query.

-- 1 nobody does, 2 somebody may. A sequence: to read it takes neither a plan nor a snapshot nor a row, and it is as it is for
-- everybody at once, whatever is committed.
create sequence taskq.sleeping minvalue 1 maxvalue 2;

create function taskq.note_sleepers() returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $note$
declare
    is_anybody boolean := true;
begin
    if tg_op = 'DELETE' then
        if not exists (select from gone) then
            return null;
        end if;
    end if;
    -- One after the other: who goes as the last has seen everybody who came.
    perform pg_advisory_xact_lock(hashtextextended('taskq sleepers taskq', 0));
    -- With a snapshot that is older than the lock nobody can tell.
    if tg_op = 'DELETE' and current_setting('transaction_isolation') = 'read committed' then
        is_anybody := exists (select from taskq.sleeper);
    end if;
    if is_anybody is distinct from (pg_sequence_last_value('taskq.sleeping') = 2) then
        -- After a crash nobody listens, so nobody waits for the disk.
        perform set_config('synchronous_commit', 'off', true);
        perform setval('taskq.sleeping', case when is_anybody then 2 else 1 end);
    end if;
    return null;
end
$note$;

create trigger sleeper_comes
after insert on taskq.sleeper
for each statement execute function taskq.note_sleepers();

create trigger sleeper_goes
after delete on taskq.sleeper
referencing old table as gone
for each statement execute function taskq.note_sleepers();

-- Nobody comes or goes until this commits.
select
    setval(
        'taskq.sleeping',
        case
            when current_setting('transaction_isolation') <> 'read committed' or exists (select from taskq.sleeper) then 2
            else 1
        end
    );

-- As before, but for the first question.
create or replace function taskq.wake_sleepers() returns trigger
language plpgsql
security definer
as $wake$
begin
    if pg_catalog.pg_sequence_last_value('taskq.sleeping') operator(pg_catalog.=) 2 then
        perform pg_catalog.pg_notify(tg_table_schema::pg_catalog.text, woken.queue)
        from (
            select distinct sleeper.queue
            from taskq.sleeper
            where sleeper.expires_at operator(pg_catalog.>) pg_catalog.now()
              and exists (
                  select from added where added.queue operator(pg_catalog.=) sleeper.queue
              )
        ) as woken;
    end if;
    return null;
end
$wake$;

insert into taskq.migration (version, name, oldest_binary)
select 37, 'sleeping', max(oldest_binary) from taskq.migration;
