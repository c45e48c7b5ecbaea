-- Deletes what workers counted more than two days ago, so many rows at the most, and returns how many.
-- $1 most
-- Index minute_pkey. Locks: what is deleted, unless others have it.
with deleted as (
    delete from taskq.minute
    where ctid = any (
        array(
            select minute.ctid
            from taskq.minute
            where minute.minute < now() - interval '48 hours'
            order by minute.minute
            limit $1
            for update skip locked
        )
    )
    returning 1 as one
)
select coalesce(sum(deleted.one), 0)
from deleted
