-- Tells which trouble somebody has acknowledged, as one array.
-- Reads the table, which is small. Locks: none.
select coalesce(jsonb_agg(to_jsonb(acknowledged)), '[]')
from taskq.acknowledged
where until is null
   or until > now()
