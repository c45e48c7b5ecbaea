-- Finds payloads in a place with fields that another key has encrypted than the newest, in the order of the ids.
-- $1 the place, $2 after this id, $3 the id of the newest key, $4 how many at most
-- Index task_pkey, dead_pkey, refused_pkey, task_group_pkey. Locks: none.
select found.id, found.task_type, found.payload
from taskq.payloads_to_read() as found
where found.place = $1
  and found.id > $2
  and jsonb_path_exists(
      found.payload,
      '$.* ? (exists (@."$encrypted") && @."$key" != $newest)',
      jsonb_build_object('newest', $3::text)
  )
order by found.id
limit $4
