-- Tells all limits: declared, overridden, and in force.
-- Reads the whole table, which has a row for each limit. Locks: none.
select *
from taskq.limits
order by scope desc, name, kind
