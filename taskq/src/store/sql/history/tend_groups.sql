-- Notes which members of open groups are nowhere any more, and enqueues the tasks of groups that Postgres has refused before.
-- $1 so many groups and $2 so many members of each, at the most
-- Index task_group_open, group_member_pkey; of each member that has not ended, the places where it may be. Locks: rows of members that are gone, and the rows of
-- the groups, in their order.
select
    gone,
    ended
from taskq.tend_groups($1, $2)
