-- Notes which members of groups have ended, and counts them for their groups: a part of settle.sql, before keep.sql, where
-- some of its tasks are members. taskq.commit_groups adds the counts up as the transaction commits. What the triggers of the
-- history and of the dead tasks would note is noted already.
-- Index group_member_pkey, looked up for each task by itself. Locks: rows of members, and new rows; at the commit the rows of
-- the groups, in their order.
ended_members as (
    update taskq.group_member
    set outcome = settled.outcome
    from settled
    where settled.outcome in ('completed', 'discarded', 'cancelled', 'invalid', 'expired')
      and settled.metadata ? 'task.group'
      and group_member.group_id = any (array[taskq.group_of(settled.metadata)])
      and group_member.task_id = any (array[settled.task_id])
      and group_member.outcome is null
    returning group_member.group_id, group_member.outcome
),
counted_members as (
    insert into taskq.group_change (transaction, group_id, kind, number)
    select pg_current_xact_id(), ended_members.group_id, ended_members.outcome, count(*)
    from ended_members
    group by ended_members.group_id, ended_members.outcome
    on conflict (transaction, group_id, kind) do update
    set number = group_change.number + excluded.number
),
