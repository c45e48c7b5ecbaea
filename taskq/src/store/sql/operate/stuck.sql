-- Tells which attempts are perhaps stuck, as one array, the oldest first.
-- Walks the leases, and a day of minutes of the types of those that are old. Locks: none.
select coalesce(jsonb_agg(to_jsonb(stuck) || jsonb_build_object('usual_seconds', extract(epoch from stuck.usual))), '[]')
from taskq.stuck() as stuck
