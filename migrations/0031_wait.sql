-- Tells those who wait for a task that it has ended.

-- Only of tasks that were enqueued so that their end is told: of the others the condition of the trigger reads the
-- metadata, which most have not, and nothing is called. Whoever has not heard asks. None on taskq.refused, which must take
-- every row.
create function taskq.tell_ended() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $tell_ended$
begin
    perform pg_notify(tg_table_schema || '.ended', new.task_id::text);
    return null;
end
$tell_ended$;

create trigger tell_ended
after insert on taskq.history
for each row
when (new.metadata ? 'task.awaited')
execute function taskq.tell_ended();

create trigger tell_ended
after insert on taskq.dead
for each row
when (new.metadata ? 'task.awaited')
execute function taskq.tell_ended();

insert into taskq.migration (version, name, oldest_binary)
select 31, 'wait', max(oldest_binary) from taskq.migration;
