-- Lists groups: those that are open, the newest first; then those that have ended.
-- $1 so many at the most, $2 this one alone (null: all)
-- Index task_group_pkey. Locks: none.
select
    group_id,
    task_type,
    created_at,
    sealed_at,
    ended_at,
    task_id,
    problem,
    members,
    remaining,
    completed,
    discarded,
    cancelled,
    invalid,
    quarantined,
    expired,
    deleted
from taskq.task_group
where $2::bigint is null
   or group_id = $2
order by ended_at is not null, group_id desc
limit $1
