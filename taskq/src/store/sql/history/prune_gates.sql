-- Deletes the rows of gates that say nothing any more.
-- $1 so many at the most
-- Reads all gates. Locks: the rows deleted; those that others have locked are skipped.
select taskq.prune_gates($1)
