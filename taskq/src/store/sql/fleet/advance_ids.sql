-- Moves the sequence of ids past every id that a task has, and returns the last of them if it was behind.
-- Locks: none beyond the sequence.
select taskq.advance_ids()
