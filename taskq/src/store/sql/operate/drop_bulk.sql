-- Forgets an operation that is frozen and has not begun.
-- $1 bulk_id, $2 reason, $3 by whom; null for the role of the session
-- Index bulk_pkey, bulk_part_pkey. Locks: its row and its parts.
select taskq.drop_bulk($1, $2, $3)
