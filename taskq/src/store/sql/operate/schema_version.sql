-- Tells which migrations have been applied, by the newest, and which binaries can run on them.
-- Locks: none.
select
    max(version) as version,
    max(oldest_binary) as oldest_binary
from taskq.migration
