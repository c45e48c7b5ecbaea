-- Deletes what workers counted more than two days ago, so many rows at the most, and returns how many. The same of all kinds
-- together goes with it.
-- $1 most
-- Indexes minute_pkey, minute_total_pkey. Locks: what is deleted, unless others have it.
with total as (
    delete from taskq.minute_total
    where ctid = any (
        array(
            select minute_total.ctid
            from taskq.minute_total
            where minute_total.minute < now() - interval '48 hours'
            order by minute_total.minute
            limit $1
            for update skip locked
        )
    )
),
deleted as (
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
