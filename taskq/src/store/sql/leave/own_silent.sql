-- Ends complete_own.sql, complete_own_kept.sql and complete_own_member.sql where own_left.sql would have nothing to tell: neither the
-- session nor the type has left anything so far. Returns no row.
-- Index: none.
--
-- What `execute` returns Postgres stores twice before it sends it. That takes longer than to delete the lease.
--
-- Fails where the lease is gone, where this is another transaction than that of the attempt, where it does not see what others
-- commit meanwhile, and where own_left.sql would tell of something that was left. What it does not tell either is when the next
-- transaction begins. Those are begun deferrable, which means nothing to them and which no other transaction of the session is.
--
-- Postgres makes all that is looked at ready each time, and that takes it longer than to look. So there is one subquery and no
-- parameter.
select
-- The case is zero, or fails.
where 1 = cast(
    case
        when current_setting('transaction_deferrable') <> 'on'
            then 'the transaction of this attempt has ended'
        when current_setting('transaction_isolation') <> 'read committed'
            then 'the isolation of this attempt was changed'
        else coalesce(
            (
                select
                    case
                        when
                            pg_my_temp_schema() <> 0
                            or session_user <> 'taskq_user'
                            or current_user <> 'taskq_role'
                            then 'the handler left a temporary table or another role on its session, as none of its type did before'
                        -- It is never null.
                        when pg_advisory_unlock_all() is null then '2'
                        else '0'
                    end
                from completed
            ),
            'the lease of this task is gone'
        )
    end as integer
)
