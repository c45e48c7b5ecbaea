-- Says the weight of a key of a task type, and returns what was said before, if something was.
-- $1 task type, $2 the fields that make the key, $3 the weight (null: that of others again)
-- $4 reason, $5 by whom; null for the role of the session
-- Index fair_weight_pkey. Locks: the row of the key.
select *
from taskq.set_weight($1, $2, $3, $4, coalesce($5, session_user))
