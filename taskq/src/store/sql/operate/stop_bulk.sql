-- Has an operation rest after the part that is being taken.
-- $1 bulk_id, $2 reason, $3 by whom; null for the role of the session
-- Index bulk_pkey. Locks: its row.
select *
from taskq.stop_bulk($1, $2, $3)
