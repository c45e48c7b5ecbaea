-- Deletes keys of tasks that have ended.
-- $1 so many at the most
-- Locks: the rows deleted; keys that others have locked are skipped.
select taskq.prune_keys($1)
