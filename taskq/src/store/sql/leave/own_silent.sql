-- Ends complete_own.sql, complete_own_kept.sql and complete_own_member.sql as own_left.sql does, where it would have nothing to tell:
-- neither the session nor the type has left anything so far. Returns no row.
-- $1, $2 as there
-- Index lease_pkey, which is not read.
--
-- What `execute` returns Postgres stores twice before it sends it. That takes longer than to delete the lease.
--
-- Fails where own_left.sql does, and where it would tell of something that was left. What it does not tell either is when the next
-- transaction begins. Those are begun deferrable, which means nothing to them and which no other transaction of the session is.
delete from taskq.lease
-- No other lease is deleted: the case is zero, or fails.
where lease_id = $1::uuid
    and 1 = cast(
        case
            when
                case
                    when $2::bigint is null then current_setting('transaction_deferrable') <> 'on'
                    else cast(date_part('epoch', now()) * 1000000 as bigint) <> $2
                end
                then 'the transaction of this attempt has ended'
            when current_setting('transaction_isolation') <> 'read committed'
                then 'the isolation of this attempt was changed'
            when (select lease_id from completed) is null then 'the lease of this task is gone'
            when
                pg_my_temp_schema() <> 0
                or session_user <> 'taskq_user'
                or current_user <> 'taskq_role'
                then 'the handler left a temporary table or another role on its session, as none of its type did before'
            -- It is never null.
            else (select case when pg_advisory_unlock_all() is null then '2' else '0' end)
        end as integer
    )
