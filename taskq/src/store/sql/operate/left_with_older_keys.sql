-- Counts the payloads, wherever they are, with fields that another key has encrypted than the newest.
-- $1 the id of the newest key
-- Locks: none.
select count(*)
from taskq.payloads_to_read() as found
where jsonb_path_exists(
    found.payload,
    '$.* ? (exists (@."$encrypted") && @."$key" != $newest)',
    jsonb_build_object('newest', $1::text)
)
