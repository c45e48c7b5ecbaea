-- Has an operation rest after the part that is being taken.
-- $1 bulk_id
-- Index bulk_pkey. Locks: its row.
select *
from taskq.stop_bulk($1)
