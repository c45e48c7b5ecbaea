-- Says that a worker is alive and what it serves, and returns whether somebody has asked it to stop, and
-- whether it is the one that asks the tables for metrics: of those that expose any, the one that started first; forgets workers that have been silent for an hour,
-- waiting listeners that vanished, and frontiers that have long been passed.
-- $1 worker_id, $2 host, $3 process_id, $4 queues, $5 task types
-- $6 for how many seconds it may be taken for alive, $7 its release, $8 how many tasks it runs at once
-- $9 whether it exposes metrics
-- Index worker_pkey. Locks: the worker's own row; what is forgotten, unless others have it; then, if a listener was, that of
-- those who come and go, by a trigger.
with forgotten as (
    delete from taskq.worker
    where worker_id in (
        select worker.worker_id
        from taskq.worker
        where worker.expires_at < now() - interval '1 hour'
        order by worker.worker_id
        for update skip locked
    )
),
vanished as (
    delete from taskq.sleeper
    where ctid = any (
        array(
            select sleeper.ctid
            from taskq.sleeper
            where sleeper.expires_at < now() - interval '1 minute'
            for update skip locked
        )
    )
),
passed as (
    delete from taskq.frontier
    where ctid = any (
        array(
            select frontier.ctid
            from taskq.frontier
            where frontier.run_at < now() - interval '1 day'
            for update skip locked
        )
    )
)
insert into taskq.worker (worker_id, host, process_id, queues, task_types, expires_at, release, slots, is_watched)
values ($1, $2, $3, $4, $5, now() + make_interval(secs => $6), $7, $8, $9)
on conflict (worker_id) do update
set seen_at = now(),
    expires_at = excluded.expires_at
returning
    worker.stop_asked_at is not null as is_asked_to_stop,
    case
        when worker.is_watched then not exists (
            select
            from taskq.worker as other
            where other.is_watched
              and other.expires_at > now()
              and (other.started_at, other.worker_id) < (worker.started_at, worker.worker_id)
        )
        else false
    end as leads
