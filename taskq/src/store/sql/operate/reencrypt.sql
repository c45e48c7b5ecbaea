-- Writes payloads in a place that say the same, encrypted with another key. Returns how many were still as they were found.
-- $1 the place, $2 ids, $3 the payloads as they were found, $4 as they are to be
-- Locks: the rows, in the order of their ids.
select taskq.reencrypt($1, $2, $3, $4)
