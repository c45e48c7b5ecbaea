-- Tells what time it is by the clock of Postgres.
-- Index none. Locks: none.
select now()
