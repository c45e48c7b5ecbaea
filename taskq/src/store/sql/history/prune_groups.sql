-- Deletes groups that ended long ago.
-- $1 so many seconds ago, $2 so many rows of members at the most
-- Index task_group_ended. Locks: the rows deleted.
select taskq.prune_groups($1, $2)
