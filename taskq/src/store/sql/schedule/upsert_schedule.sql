-- Makes a schedule, or changes it, and returns which.
-- $1 name, $2 expression, $3 task type, $4 payload, $5 time zone, $6 options, $7 why (null: nobody said), $8 by whom; null for the role
-- Index schedule_pkey. Locks: the schedule's row.
select taskq.upsert_schedule($1, $2, $3, $4, $5, $6, $7, $8)
