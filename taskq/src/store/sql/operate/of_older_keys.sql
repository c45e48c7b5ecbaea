-- Finds tasks with fields that another key has encrypted than the newest, in the order of their ids.
-- $1 after this id, $2 the id of the newest key, $3 how many at most
-- Index task_pkey, dead_pkey, refused_pkey. Locks: none.
--
-- Those that run are in leases, and those that have completed are decrypted by nobody.
select found.task_id, found.task_type, found.payload
from (
    select task_id, task_type, payload from taskq.task where task_id > $1
    union all
    select task_id, task_type, payload from taskq.dead where task_id > $1
    union all
    select task_id, task_type, payload from taskq.refused where task_id > $1
) as found
where jsonb_path_exists(
    found.payload,
    '$.* ? (exists (@."$encrypted") && @."$key" != $newest)',
    jsonb_build_object('newest', $2::text)
)
order by found.task_id
limit $3
