-- Counts the running tasks with fields that another key has encrypted than the newest.
-- $1 the id of the newest key
-- Locks: none.
select count(*)
from taskq.lease
cross join lateral taskq.left_in(lease) as task
where jsonb_path_exists(
    task.payload,
    '$.* ? (exists (@."$encrypted") && @."$key" != $newest)',
    jsonb_build_object('newest', $1::text)
)
