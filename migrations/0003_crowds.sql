-- Makes many workers at once faster, and every enqueue.

-- How far each lane has been set apart, so that workers who claim at the same moment claim from
-- different stretches of it and do not walk over each other's rows. Unlogged: after a crash of the
-- server the claims begin where they find something. A hint: a stretch that nobody claimed is found by
-- the next look, which begins at the start.
create unlogged table taskq.frontier (
    queue           text        not null,
    task_type       text        not null,
    payload_version smallint    not null,
    priority        smallint    not null,
    run_at          timestamptz not null,
    task_id         bigint      not null,
    constraint frontier_pkey primary key (queue, task_type, payload_version, priority)
) with (fillfactor = 50);

-- Looks whether anybody sleeps before it looks who. Every name is qualified, operators too, in place of a
-- search_path of the function's own, which would be set and reset with every enqueue.
create or replace function taskq.wake_sleepers() returns trigger
language plpgsql
security definer
as $wake$
begin
    if exists (select from taskq.sleeper) then
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
values (3, 'crowds', 2);
