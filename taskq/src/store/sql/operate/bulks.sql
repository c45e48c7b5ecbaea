-- Tells of the newest operations on all that matched; of one, if it is said which.
-- $1 bulk_id (null: all), $2 how many at the most
-- Index bulk_pkey. Locks: none.
select *
from taskq.bulk
where $1::bigint is null
   or bulk_id = $1::bigint
order by bulk_id desc
limit $2
