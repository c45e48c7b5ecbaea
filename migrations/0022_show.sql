-- What attempts say of how far they are, and all that is stored of one task.

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
