-- Ends complete_own.sql, complete_own_kept.sql and complete_own_member.sql, behind `completed`, the lease that is deleted. That the
-- transaction is the attempt's is looked at before.
--
-- Fails where the lease is gone.
--
-- Releases the locks that the handler took for its session and left, and tells what else the next task must not
-- see, added up: 1 the session has had temporary tables, 2 it has another user or role. The names of those that it
-- had are written in the place of `taskq_user` and `taskq_role`. Statements of their own for that would take longer. So would
-- counting what is deleted.
--
-- Tells when the next transaction begins, which stands in the same message and so has its time.
select
    cast(
        case
            when (select lease_id from completed) is null then 'the lease of this task is gone'
            when pg_advisory_unlock_all() is null or pg_my_temp_schema() = 0 then '0'
            else '1'
        end as integer
    )
    + case when session_user <> 'taskq_user' or current_user <> 'taskq_role' then 2 else 0 end
        as left_behind,
    cast(date_part('epoch', statement_timestamp()) * 1000000 as bigint) as begun
