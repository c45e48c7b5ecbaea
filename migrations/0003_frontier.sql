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

insert into taskq.migration (version, name, oldest_binary)
values (3, 'frontier', 2);
