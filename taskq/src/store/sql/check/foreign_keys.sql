-- Lists foreign keys of users that refer to waiting tasks.
-- Locks: none.
select
    foreign_key.conname::text as constraint_name,
    foreign_key.conrelid::regclass::text as table_name,
    case foreign_key.confdeltype
        when 'c' then 'on delete cascade'
        when 'n' then 'on delete set null'
        when 'd' then 'on delete set default'
    end as changes_rows
from pg_constraint as foreign_key
where foreign_key.contype = 'f'
  and foreign_key.confrelid = 'taskq.task'::regclass
order by 2, 1
