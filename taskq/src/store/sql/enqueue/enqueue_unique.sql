-- Inserts tasks of one type that have keys, in the caller's transaction, in the order given. Returns as arrays the id of
-- the task that has the key of each, and what was done: 'created', 'existing' or 'replaced'. Returns nothing where a
-- trigger has dropped a task.
-- $1 task_type, $2 payloads, $3 queue, $4 priority, $5 max_attempts
-- $6 run_at, null for now; $7 delay in seconds, added to now where there is no run_at
-- $8 payload_version, $9 metadata (null: none)
-- $10 the key of all, null for keys by the payloads; $11 the fields that make a key, null for all
-- $12 until, $13 within so many seconds, $14 on_conflict, $15 at the latest after so many seconds
-- $16 waits no longer than so many seconds for a transaction that has a key (null: as long as it is open)
-- Index unique_key_pkey: one probe for each key. Locks: the keys, in their order; then new rows, and the waiting tasks
-- that have a key.
with taken as materialized (
    select taken.place, taken.task_id, taken.outcome, taken.payload, taken.metadata
    from taskq.take_keys(
        $1,
        array(
            select taskq.short_key(coalesce(to_jsonb($10::text), taskq.payload_key(given.payload, $11::text[])))
            from unnest($2::jsonb[]) with ordinality as given (payload, place)
            order by given.place
        ),
        $2,
        $12,
        $13,
        $14,
        $8,
        $3,
        $4,
        $5,
        coalesce($6, now() + make_interval(secs => $7)),
        $15,
        $9,
        $16
    ) as taken
),
inserted as (
    insert into taskq.task (
        task_id,
        task_type,
        payload_version,
        payload,
        queue,
        priority,
        max_attempts,
        metadata,
        run_at
    )
    overriding system value
    select
        taken.task_id,
        $1,
        $8,
        taken.payload,
        $3,
        $4,
        $5,
        taken.metadata,
        coalesce($6, now() + make_interval(secs => $7))
    from taken
    where taken.outcome = 'created'
    order by taken.place
    returning task_id
)
select
    coalesce(array_agg(taken.task_id order by taken.place), '{}') as task_ids,
    coalesce(array_agg(taken.outcome order by taken.place), '{}') as outcomes
from taken
having count(*) filter (where taken.outcome = 'created') = (select count(*) from inserted)
