-- Tells which queues and task types are limited, and of which types nothing is said but that their keys have fair turns.
-- Reads the whole table, which has a row for each limit. Locks: none.
select
    limited.scope,
    limited.name,
    bool_and(limited.kind = 'fair') as is_fair
from (
    select
        case scope when 'queue' then 'queue' else 'task_type' end as scope,
        name,
        kind
    from taskq.limit_rule
) as limited
group by limited.scope, limited.name
