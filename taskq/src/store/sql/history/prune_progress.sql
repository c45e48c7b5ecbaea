-- Deletes the progress of tasks that are nowhere any more, and returns up to which task it has looked.
-- $1 the task behind which it looks, $2 at so many rows at the most
-- Locks: the rows deleted.
select taskq.prune_progress($1, $2)
