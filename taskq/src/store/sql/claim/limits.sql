-- Tells which queues and task types are limited.
-- Reads the whole table, which has a row for each limit. Locks: none.
select distinct
    case scope when 'queue' then 'queue' else 'task_type' end as scope,
    name
from taskq.limit_rule
