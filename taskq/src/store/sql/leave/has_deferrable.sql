-- Tells whether somebody may have something deferred to the end of a transaction: a constraint, or a trigger of one. Those of taskq
-- itself are meant to wait for the commit.
-- Reads all triggers there are. Locks: none.
select exists (
    select
    from pg_catalog.pg_trigger
    where tgdeferrable
      and tgfoid not in ('taskq.note_groups'::regproc, 'taskq.commit_groups'::regproc)
) as has_deferrable
