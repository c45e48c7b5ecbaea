-- Does what complete_own does, for a member of a group, and notes that it has ended.
-- Goes on in own_left.sql or own_silent.sql.
-- $1 lease_id
-- Index lease_pkey, group_member_pkey. Locks: the lease; then the row of the member, and a new row; at the commit the row of
-- the group.
--
-- A lease of this kind holds one task, so each of its arrays has one place.
with completed as (
    delete from taskq.lease
    where lease_id = $1::uuid
      and cardinality(task_ids) = 1
      and cardinality(done) = 0
    returning lease_id, task_ids[1] as task_id, metadatas[1] as metadata
),
ended_member as (
    update taskq.group_member
    set outcome = 'completed'
    from completed
    where group_member.group_id = any (array[taskq.group_of(completed.metadata)])
      and group_member.task_id = any (array[completed.task_id])
      and group_member.outcome is null
    returning group_member.group_id
),
counted_member as (
    insert into taskq.group_change (transaction, group_id, kind, number)
    select pg_current_xact_id(), ended_member.group_id, 'completed', 1
    from ended_member
    on conflict (transaction, group_id, kind) do update
    set number = group_change.number + excluded.number
)
