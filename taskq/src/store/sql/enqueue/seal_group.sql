-- Says that all members of a group are there, once the caller's transaction commits.
-- $1 group_id
-- Index task_group_pkey. Locks: a new row; at the commit the row of the group.
select taskq.seal_group($1)
