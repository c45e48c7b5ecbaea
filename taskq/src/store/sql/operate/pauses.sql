-- Tells what is paused, and how long until each pause ends by itself.
-- Reads the whole table, which has a row for each pause. Locks: none.
select
    pause.scope,
    pause.name,
    pause.since,
    pause.by,
    pause.reason,
    pause.until,
    extract(epoch from pause.until - now())::float8 as ends_in
from taskq.pause
where pause.until is null
   or pause.until > now()
order by pause.since, pause.scope, pause.name
