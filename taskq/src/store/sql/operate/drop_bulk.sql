-- Forgets an operation that is frozen and has not begun.
-- $1 bulk_id
-- Index bulk_pkey, bulk_part_pkey. Locks: its row and its parts.
select taskq.drop_bulk($1)
