-- Tells all weights of keys that were said.
-- Reads the whole table, which has a row for each such key. Locks: none.
select *
from taskq.fair_weight
order by task_type, key
