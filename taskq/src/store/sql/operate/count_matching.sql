-- Counts what would be frozen, for somebody who asks before doing something to all of it.
-- $1 retry, discard, cancel or reschedule, $2 filter
-- Walks each table that the filter allows. Locks: none.
select taskq.count_matching($1, $2)
