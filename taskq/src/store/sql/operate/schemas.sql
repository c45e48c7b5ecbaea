-- Tells a test that has not found a task in which other schemas there may be some: those that have the tables, and that
-- may be read.
-- $1 the schema in which it has looked
-- Locks: none.
select tables.nspname::text
from pg_class as tasks
join pg_namespace as tables on tables.oid = tasks.relnamespace
join pg_class as lease on lease.relnamespace = tables.oid
where tasks.relname = 'tasks'
  and tasks.relkind = 'v'
  and lease.relname = 'lease'
  and tables.nspname <> $1
  and tables.nspname ~ '^[a-z][a-z0-9_]*$'
  and has_schema_privilege(tables.oid, 'usage')
  and has_table_privilege(tasks.oid, 'select')
order by tables.nspname
