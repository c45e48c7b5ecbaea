-- Deletes tasks that are kept no longer and do not go with a whole day, and returns how many, and whether there may be more.
-- $1 so many rows of each time and outcome at the most
-- Indexes history_pkey, dead_kept. Locks: the rows deleted; dead ones that others have locked are skipped, and for others it
-- waits a fifth of a second.
select pruned, is_more from taskq.prune_kept($1)
