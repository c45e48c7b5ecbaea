-- Says in the place of whoever has begun a group that all its members are there, and records who says it.
-- $1 group_id, $2 why (null: nothing), $3 who (null: the role of the session)
-- Index task_group_pkey. Locks: new rows; at the commit the row of the group.
select taskq.seal_group($1, $2, coalesce($3, session_user))
