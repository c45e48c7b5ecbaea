-- Tells what is wrong, in plain words.
-- $1 float8: so many seconds a transaction may be open
-- Reads some thousand rows of each kind at the most, and views of the server. Locks: none.
select
    problem,
    severity,
    subject,
    said,
    advice,
    command,
    statement
from taskq.doctor(make_interval(secs => $1))
