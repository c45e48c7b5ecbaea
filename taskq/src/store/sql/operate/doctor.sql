-- Tells what is wrong, in plain words.
-- Reads some thousand rows of each kind at the most, and views of the server. Locks: none.
select
    problem,
    severity,
    subject,
    said,
    advice,
    command,
    statement
from taskq.doctor()
