-- Tells which migrations have been applied, and when.
-- Reads the whole table, which has a row for each migration. Locks: none.
select
    version,
    name,
    applied_at
from taskq.migration
order by version
