-- Lists foreign keys of users that refer to waiting tasks.
-- Reads the catalog alone, which needs no rights. Locks: none.
select
    foreign_key.conname::text as constraint_name,
    foreign_key.conrelid::regclass::text as table_name,
    case foreign_key.confdeltype
        when 'c' then 'on delete cascade'
        when 'n' then 'on delete set null'
        when 'd' then 'on delete set default'
    end as changes_rows
from pg_constraint as foreign_key
join pg_class as referred on referred.oid = foreign_key.confrelid
join pg_namespace as namespace on namespace.oid = referred.relnamespace
where foreign_key.contype = 'f'
  and referred.relname = 'task'
  -- The name of another schema comes in quotes.
  and namespace.nspname = trim(both '"' from 'taskq')
order by 2, 1
