-- Gives tasks payloads that say the same, encrypted with another key. Returns the ids of those that had the payload still.
-- $1 task ids, $2 their payloads as they were, $3 as they are to be
-- Index task_pkey, dead_pkey, refused_pkey. Locks: the rows, one after the other.
with given as materialized (
    select given.task_id, given.old, given.payload
    from unnest($1::bigint[], $2::jsonb[], $3::jsonb[]) as given (task_id, old, payload)
    order by given.task_id
),
waiting as (
    update taskq.task
    set payload = given.payload
    from given
    where task.task_id = given.task_id and task.payload = given.old
    returning task.task_id
),
dead as (
    update taskq.dead
    set payload = given.payload
    from given
    where dead.task_id = given.task_id and dead.payload = given.old
    returning dead.task_id
),
refused as (
    update taskq.refused
    set payload = given.payload
    from given
    where refused.task_id = given.task_id and refused.payload = given.old
    returning refused.task_id
)
select task_id from waiting
union all
select task_id from dead
union all
select task_id from refused
