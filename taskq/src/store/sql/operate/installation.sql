-- Reads the random id that the first migration has made for these tables.
-- Index migration_pkey. Locks: none.
select installation_id
from taskq.migration
where version = 1
