-- What attempts say of how far they are, the lines that they log, and all that is stored of one task.

-- How far the last attempt of a task is that said so. Its worker writes it, once a second at the most and beside the handler's
-- transaction. The row goes with a task that completes and is not kept; taskq.prune_progress deletes what others left.
create table taskq.progress (
    task_id   bigint           primary key,
    attempt   integer          not null,
    worker_id uuid             not null,
    -- From 0 to 1; null where only the text says it.
    fraction  double precision,
    said      text             not null,
    said_at   timestamptz      not null,
    constraint progress_fraction check (fraction between 0 and 1),
    constraint progress_said check (octet_length(said) <= 1000)
)
-- Rows are written again and again.
with (fillfactor = 50);

-- Deletes the progress of tasks that are nowhere any more. It looks at so many rows at the most, those behind this task, and
-- returns the last that it has looked at; null at the end.
create function taskq.prune_progress(behind bigint, most integer) returns bigint
language sql
set search_path = pg_catalog, pg_temp
as $prune_progress$
    with seen as materialized (
        select progress.task_id
        from taskq.progress
        where progress.task_id > behind
        order by progress.task_id
        limit most
    ),
    held as materialized (
        select unnest(lease.task_ids) as task_id
        from taskq.lease
    ),
    gone as (
        delete from taskq.progress
        using seen
        where progress.task_id = seen.task_id
          and progress.said_at < now() - interval '1 minute'
          and seen.task_id not in (select held.task_id from held)
          and not exists (select from taskq.task where task.task_id = seen.task_id)
          and not exists (select from taskq.dead where dead.task_id = seen.task_id)
          and not exists (select from taskq.history where history.task_id = seen.task_id)
          and not exists (select from taskq.refused where refused.task_id = seen.task_id)
    )
    select max(seen.task_id)
    from seen
$prune_progress$;

revoke execute on function taskq.prune_progress from public;

-- The lines that runs of handlers have logged, where the program keeps them. A run is one call of a handler: an attempt that was
-- handed back or snoozed has had several, and a batch is one run of the attempts of many tasks. The newest twenty runs stay of
-- each task. Its worker deletes those of a task that completes and is not kept; taskq.prune_log deletes what others left.
create table taskq.attempt_log (
    task_id    bigint      not null,
    log_id     uuid        not null,
    attempt    integer     not null,
    worker_id  uuid        not null,
    -- When the first line was logged that was written.
    begun_at   timestamptz not null,
    -- Of how many tasks the call was.
    tasks      integer     not null,
    -- How many lines are shown, the newest. Twice as many may stand.
    most_lines integer     not null,
    constraint attempt_log_pkey primary key (task_id, log_id)
);
create index attempt_log_run on taskq.attempt_log (log_id);

-- The lines themselves: those of one run that were written at once.
create table taskq.log_chunk (
    log_id     uuid        not null,
    chunk      integer     not null,
    -- That of the run.
    begun_at   timestamptz not null,
    -- How many lines the run has logged up to here, those that were dropped counted.
    said       bigint      not null,
    line_count integer     not null,
    -- [{"us": microseconds since begun_at, "level", "target", "message", "fields"}]
    lines      jsonb       not null,
    constraint log_chunk_pkey primary key (log_id, chunk)
);

-- Returns the runs of a task that have lines, the oldest first, each with so many of its newest lines at the most.
create function taskq.logs_of(task_id bigint, most integer) returns jsonb
language sql
stable
set search_path = pg_catalog, pg_temp
as $logs_of$
    select coalesce(
        jsonb_agg(
            jsonb_build_object(
                'attempt', held.attempt,
                'worker_id', held.worker_id,
                'begun_at', held.begun_at,
                'tasks', held.tasks,
                'kept', kept.lines,
                'dropped', kept.said - kept.lines,
                'lines', shown.lines
            )
            order by held.begun_at, held.log_id
        ),
        '[]'
    )
    from taskq.attempt_log as held
    cross join lateral (
        select max(log_chunk.said) as said, least(held.most_lines, sum(log_chunk.line_count)) as lines
        from taskq.log_chunk
        where log_chunk.log_id = held.log_id
    ) as kept
    cross join lateral (
        select jsonb_agg(newest.line order by newest.chunk, newest.place) as lines
        from (
            select
                log_chunk.chunk,
                line.place,
                line.value - 'us'::text || jsonb_build_object(
                    'at', log_chunk.begun_at + (line.value ->> 'us')::double precision * interval '1 microsecond'
                ) as line
            from taskq.log_chunk
            cross join lateral jsonb_array_elements(log_chunk.lines) with ordinality as line (value, place)
            where log_chunk.log_id = held.log_id
            order by log_chunk.chunk desc, line.place desc
            limit least(most, kept.lines)
        ) as newest
    ) as shown
    where held.task_id = logs_of.task_id
      and shown.lines is not null
$logs_of$;

-- Deletes the lines of tasks that are nowhere any more. It looks at so many rows at the most, those behind this task and run, and
-- returns the last that it has looked at; null at the end, where it also deletes lines of which no row tells whose they are.
create function taskq.prune_log(behind bigint, behind_run uuid, most integer, out last_task bigint, out last_run uuid)
language plpgsql
set search_path = pg_catalog, pg_temp
as $prune_log$
begin
    with seen as materialized (
        select attempt_log.task_id, attempt_log.log_id, attempt_log.begun_at
        from taskq.attempt_log
        where (attempt_log.task_id, attempt_log.log_id) > (behind, behind_run)
        order by attempt_log.task_id, attempt_log.log_id
        limit most
    ),
    held as materialized (
        select unnest(lease.task_ids) as task_id
        from taskq.lease
    ),
    gone as (
        delete from taskq.attempt_log
        using seen
        where attempt_log.task_id = seen.task_id
          and attempt_log.log_id = seen.log_id
          and seen.begun_at < now() - interval '1 minute'
          and seen.task_id not in (select held.task_id from held)
          and not exists (select from taskq.task where task.task_id = seen.task_id)
          and not exists (select from taskq.dead where dead.task_id = seen.task_id)
          and not exists (select from taskq.history where history.task_id = seen.task_id)
          and not exists (select from taskq.refused where refused.task_id = seen.task_id)
    )
    select seen.task_id, seen.log_id into last_task, last_run
    from seen
    order by seen.task_id desc, seen.log_id desc
    limit 1;
    if last_task is null then
        delete from taskq.log_chunk
        where log_chunk.begun_at < now() - interval '1 minute'
          and not exists (select from taskq.attempt_log where attempt_log.log_id = log_chunk.log_id);
    end if;
end
$prune_log$;

revoke execute on function taskq.prune_log from public;

-- Tells all that is stored of one task.

-- Returns what taskq.tasks has of one task, and opens no lease but the one that holds it.
create function taskq.tasks_of(task_id bigint) returns setof taskq.tasks
language sql
stable
as $tasks_of$
    select *
    from taskq.tasks
    where tasks.task_id = tasks_of.task_id
      and tasks.state <> 'running'
    union all
    select
        held.task_id,
        held.task_type,
        'running',
        lease.queue,
        held.priority,
        held.payload,
        held.attempts,
        held.max_attempts,
        held.crashes,
        held.errors,
        held.created_at,
        held.run_at,
        lease.claimed_at,
        null,
        lease.worker_id,
        held.payload_version,
        null,
        held.metadata
    from taskq.lease
    cross join lateral taskq.left_in(lease) as held
    where tasks_of.task_id = any (lease.task_ids)
      and held.task_id = tasks_of.task_id
$tasks_of$;

-- Tells of one task all that is stored, but for secret values; null where there is none.
create function taskq.show(task_id bigint) returns jsonb
language sql
stable
return (
    select
        to_jsonb(found) || jsonb_build_object(
            'payload', taskq.masked(found.payload, secret.fields),
            'priority', coalesce(found.priority, 0),
            'payload_version', coalesce(found.payload_version, 0),
            'attempts', coalesce(found.attempts, 0),
            'crashes', coalesce(found.crashes, 0),
            'errors', coalesce(found.errors, '[]'),
            'metadata', coalesce(found.metadata, '{}'),
            'progress', (
                select to_jsonb(progress) - '{task_id}'::text[]
                from taskq.progress
                where progress.task_id = show.task_id
            ),
            'log_lines', (
                select coalesce(sum(kept.lines), 0)
                from taskq.attempt_log as held
                cross join lateral (
                    select least(held.most_lines, sum(log_chunk.line_count)) as lines
                    from taskq.log_chunk
                    where log_chunk.log_id = held.log_id
                ) as kept
                where held.task_id = show.task_id
            ),
            'cause', (select dead.cause from taskq.dead where dead.task_id = show.task_id),
            'refusal', (
                select taskq.masked_key(refused.refusal, found.payload, secret.fields)
                from taskq.refused
                where refused.task_id = show.task_id
                order by refused.refused_at desc
                limit 1
            ),
            'worker', (
                select jsonb_build_object('host', worker.host, 'process_id', worker.process_id, 'seen_at', worker.seen_at)
                from taskq.worker
                where worker.worker_id = found.worker_id
            ),
            -- There is no index by tasks: so many keys of its type are looked at.
            'unique_keys', (
                select coalesce(
                    jsonb_agg(
                        jsonb_build_object(
                            'key', taskq.masked_key(held.key, found.payload, secret.fields),
                            'until', held.until,
                            'ends_at', held.ends_at
                        )
                        order by held.key
                    ),
                    '[]'
                )
                from (
                    select *
                    from taskq.unique_key
                    where unique_key.task_type = found.task_type
                    limit 100000
                ) as held
                where held.task_id = show.task_id
            ),
            'limit_key', (
                select taskq.masked_key(to_jsonb(task.key), found.payload, secret.fields) #>> '{}'
                from taskq.task
                where task.task_id = show.task_id
            ),
            'audit', (
                select coalesce(
                    jsonb_agg(
                        jsonb_build_object(
                            'at', audit.at, 'by', audit.by, 'verb', audit.verb, 'state', audit.state, 'reason', audit.reason
                        )
                        order by audit.audit_id
                    ),
                    '[]'
                )
                from (
                    select *
                    from taskq.audit
                    where audit.task_id = show.task_id
                    order by audit.audit_id desc
                    limit 100
                ) as audit
            )
        )
    from taskq.tasks_of(show.task_id) as found
    cross join lateral (select taskq.secret_fields(found.task_type, found.metadata)) as secret (fields)
    order by found.state in ('waiting', 'running') desc, found.finished_at desc
    limit 1
);

insert into taskq.migration (version, name, oldest_binary)
values (22, 'show', 2);
