-- Returns what an edit of a dead task would write: with the stored values where it says *** of a secret field.
-- $1 task_id, $2 payload
-- Indexes as of show.sql. Locks: none.
select taskq.edited_payload($1, $2)
