-- Tells what is wrong, in plain words, as one array.
-- $1 float8: so many seconds a transaction may be open
-- Reads some thousand rows of each kind at the most, and views of the server. Locks: none.
select coalesce(jsonb_agg(to_jsonb(ailment)), '[]')
from taskq.doctor(make_interval(secs => $1)) as ailment
