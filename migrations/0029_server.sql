-- Says what is wrong with the server, with its tables and settings, and with the rights of roles.

-- Returns who has Postgres keep dead rows: whose transaction stays open, here or on a standby.
create function taskq.ail_horizon(patience interval) returns setof taskq.ailment
language sql
stable
as $ail_horizon$
    with held as (
        select
            'session ' || pid as holder,
            now() - coalesce(xact_start, backend_start) as age,
            format(
                'begun by %s, %s, last statement: %s',
                taskq.whose_session(usename, application_name, client_hostname, client_addr),
                coalesce(state, 'which only its owner may see'),
                left(regexp_replace(coalesce(query, ''), '\s+', ' ', 'g'), 120)
            ) as what,
            'end that transaction where it was begun; or end the session: what it has written is rolled back' as advice,
            'end-session ' || pid as command,
            'select taskq.end_session(' || pid || ')' as statement
        from pg_stat_activity
        where pid <> pg_backend_pid()
          and backend_type = 'client backend'
          and (datname = current_database() or backend_xmin is not null)
          and xact_start < clock_timestamp() - patience
        union all
        select
            'prepared transaction ' || gid,
            now() - prepared,
            'of ' || owner,
            'commit it, or roll it back',
            null,
            format('rollback prepared %L', gid)
        from pg_prepared_xacts
        where prepared < clock_timestamp() - patience
        union all
        select
            'replication slot ' || slot_name,
            null,
            case when active then 'in use' else 'used by nobody' end || format(', %s behind', taskq.counted(age(xmin), 'transaction')),
            'end the long query on its standby, turn hot_standby_feedback off there, or drop the slot if nobody needs it',
            null,
            case when not active then format('select pg_drop_replication_slot(%L)', slot_name) end
        from pg_replication_slots
        where age(xmin) > 100000
        union all
        select
            format('standby %s', coalesce(nullif(application_name, ''), client_addr::text, pid::text)),
            null,
            format('%s behind', taskq.counted(age(backend_xmin), 'transaction')),
            'end the long query on it, or turn hot_standby_feedback off there',
            null,
            null
        from pg_stat_replication
        where age(backend_xmin) > 100000
    ),
    dead as (
        select coalesce(sum(n_dead_tup), 0)::bigint as dead_rows
        from pg_stat_user_tables
        where relid in ('taskq.task'::regclass, 'taskq.lease'::regclass)
    )
    select
        'open transaction',
        'warning',
        held.holder,
        held.holder || coalesce(' has had a transaction open for ' || taskq.in_words(held.age), ' holds old rows')
            || ', ' || held.what
            || format(
                '. Vacuum removes nothing newer: %s %s dead and still there',
                taskq.counted(dead.dead_rows, 'row'),
                taskq.one_or_many(dead.dead_rows, 'is', 'are')
            ),
        held.advice,
        held.command,
        held.statement
    from held
    cross join dead
$ail_horizon$;

-- Returns what is wrong with the tables: dead rows that stay, autovacuum that does not come, indexes that do not serve.
create function taskq.ail_tables() returns setof taskq.ailment
language sql
stable
as $ail_tables$
    select
        'vacuum',
        'warning',
        stat.relname::text,
        format(
            'table %s has %s beside %s, and autovacuum %s',
            stat.relname,
            taskq.counted(stat.n_dead_tup, 'dead row'),
            taskq.counted(stat.n_live_tup, 'living one'),
            coalesce('was there ' || taskq.in_words(now() - stat.last_autovacuum) || ' ago', 'has never been there')
        ),
        'see whether autovacuum is on and whether a transaction stays open, then vacuum the table',
        null,
        'vacuum ' || stat.relid::regclass::text
    from pg_stat_user_tables as stat
    where stat.relid in ('taskq.task'::regclass, 'taskq.lease'::regclass, 'taskq.dead'::regclass)
      and stat.n_dead_tup > 100000 + stat.n_live_tup / 2
      and coalesce(stat.last_autovacuum, '-infinity') < now() - interval '10 minutes'
    union all
    select
        'autovacuum',
        'error',
        class.relname::text,
        format('autovacuum is off for table %s: claims become slower with each task', class.relname),
        'have autovacuum come to the table again',
        null,
        format('alter table %s reset (autovacuum_enabled)', class.oid::regclass)
    from pg_class as class
    where class.oid in ('taskq.task'::regclass, 'taskq.lease'::regclass, 'taskq.dead'::regclass)
      and exists (
          select
          from pg_options_to_table(class.reloptions) as said
          where said.option_name = 'autovacuum_enabled'
            and not said.option_value::boolean
      )
    union all
    select
        'index',
        'error',
        class.relname::text,
        format('index %s is not valid: statements do not use it', class.relname),
        'build it anew',
        null,
        format('reindex index concurrently %s', class.oid::regclass)
    from pg_index as index
    join pg_class as class on class.oid = index.indexrelid
    where class.relnamespace = 'taskq'::regnamespace
      and not index.indisvalid
$ail_tables$;

-- Returns whether Postgres would claim by the index of the lanes: as claims do, it looks for the head of a lane.
create function taskq.ail_plan() returns setof taskq.ailment
language plpgsql
as $ail_plan$
declare
    lane record;
    plan json;
begin
    -- Of few rows Postgres reads all, and is right.
    if (select reltuples < 10000 from pg_class where oid = 'taskq.task'::regclass) then
        return;
    end if;
    select task.queue, task.task_type, task.payload_version, task.crashes, task.priority
    into lane
    from taskq.task
    order by task.task_id
    limit 1;
    if not found then
        return;
    end if;
    execute format(
        'explain (format json)
         select task.ctid
         from taskq.task
         where task.queue = %L
           and task.task_type = %L
           and task.payload_version = %s
           and task.crashes = %s
           and task.priority = %s
           and (task.run_at, task.task_id) > (''-infinity'', 0)
           and task.run_at <= now()
         order by task.run_at, task.task_id
         limit 100',
        lane.queue,
        lane.task_type,
        lane.payload_version,
        lane.crashes,
        lane.priority
    )
    into plan;
    if position('"task_lane"' in plan::text) > 0 then
        return;
    end if;
    return query
    select
        'claim plan',
        'error',
        'task_lane',
        format(
            'claims do not go by the index task_lane: Postgres would find the next tasks of type %s in queue %s by "%s"',
            lane.task_type,
            lane.queue,
            plan #>> '{0,Plan,Plans,0,Node Type}'
        ),
        case
            when to_regclass('taskq.task_lane') is null then 'make the index again: migration 0002_lanes has the statement'
            else 'have Postgres look at the table anew; if that does not help, see which enable_ settings are off'
        end,
        null::text,
        case when to_regclass('taskq.task_lane') is not null then 'analyze taskq.task' end;
end
$ail_plan$;

-- Returns which bounds of connections are nearly reached: of the server, of this database, of a role.
create function taskq.ail_connections() returns setof taskq.ailment
language sql
stable
as $ail_connections$
    with room as (
        select
            'max_connections' as setting,
            'the server' as whose,
            (select count(*) from pg_stat_activity where backend_type = 'client backend') as used,
            current_setting('max_connections')::bigint - current_setting('superuser_reserved_connections')::bigint as most
        union all
        select
            'connection limit',
            'database ' || datname,
            (select count(*) from pg_stat_activity where pg_stat_activity.datid = pg_database.oid and backend_type = 'client backend'),
            datconnlimit
        from pg_database
        where datname = current_database()
          and datconnlimit >= 0
        union all
        select
            'connection limit',
            'role ' || rolname,
            (select count(*) from pg_stat_activity where pg_stat_activity.usesysid = pg_roles.oid and backend_type = 'client backend'),
            rolconnlimit
        from pg_roles
        where rolconnlimit > 0
          and rolcanlogin
    )
    select
        'connections',
        'warning',
        room.whose,
        format(
            '%s allows %s, and %s %s in use',
            room.whose,
            taskq.counted(room.most, 'connection'),
            taskq.grouped(room.used),
            taskq.one_or_many(room.used, 'is', 'are')
        ),
        format('have pools of fewer connections, or a larger %s; a worker needs 10', room.setting),
        null,
        null
    from room
    where room.used > room.most * 0.9
$ail_connections$;

-- Returns which settings hurt, as this session has them: those of the server, the database or the role.
create function taskq.ail_settings() returns setof taskq.ailment
language sql
stable
as $ail_settings$
    with given as (
        select
            setting.name,
            setting.source,
            current_setting(setting.name) as value,
            case when setting.unit = 'ms' then setting.setting::bigint else 0 end as ms,
            setting.setting
        from pg_settings as setting
        where setting.name in (
            'autovacuum', 'track_counts', 'fsync', 'full_page_writes', 'synchronous_commit', 'enable_indexscan',
            'default_transaction_read_only', 'default_transaction_isolation', 'session_replication_role',
            'statement_timeout', 'lock_timeout', 'idle_session_timeout'
        )
    ),
    found as (
        select given.*, known.severity, known.why
        from given
        join (
            values
                ('autovacuum', 'error', 'claims become slower with each task'),
                ('track_counts', 'error', 'autovacuum does not know what to do'),
                ('enable_indexscan', 'error', 'each claim reads the whole table'),
                ('fsync', 'warning', 'a crash of the machine may destroy the database'),
                ('full_page_writes', 'warning', 'a crash of the machine may destroy the database'),
                ('synchronous_commit', 'warning', 'after a crash of the server tasks may run again that had completed'),
                ('default_transaction_read_only', 'error', 'nothing can be enqueued or claimed'),
                ('default_transaction_isolation', 'warning', 'claims that meet fail, and are tried again'),
                ('session_replication_role', 'error', 'triggers do not fire, so nobody is woken and keys are missing'),
                ('statement_timeout', 'warning', 'it may stop claims on a busy machine'),
                ('lock_timeout', 'warning', 'it may stop claims on a busy machine'),
                ('idle_session_timeout', 'warning', 'it ends the connections on which workers listen')
        ) as known (name, severity, why) on known.name = given.name
        where case
            when given.name = 'default_transaction_isolation' then given.setting <> 'read committed'
            when given.name = 'session_replication_role' then given.setting <> 'origin'
            when given.name = 'default_transaction_read_only' then given.setting = 'on'
            when given.name = 'idle_session_timeout' then given.ms > 0
            when given.name in ('statement_timeout', 'lock_timeout') then given.ms between 1 and 999
            else given.setting = 'off'
        end
    )
    select
        'setting',
        found.severity,
        found.name,
        format('%s is %s%s: %s', found.name, found.value, place.words, found.why),
        'set it otherwise, for the roles of workers at least',
        null,
        place.statement
    from found
    cross join lateral (
        select
            case found.source
                when 'database' then ' for this database'
                when 'user' then ' for this role'
                when 'database user' then ' for this role in this database'
                when 'client' then ' by the client'
                when 'session' then ' in this session'
                else ''
            end as words,
            case
                when found.source = 'database' then format('alter database %I reset %s', current_database(), found.name)
                when found.source = 'user' then format('alter role %I reset %s', session_user, found.name)
                when found.source = 'database user'
                    then format('alter role %I in database %I reset %s', session_user, current_database(), found.name)
                when found.source not in ('client', 'session') then format('alter system reset %s', found.name)
            end as statement
    ) as place
    union all
    select
        'encoding',
        'warning',
        'server_encoding',
        format(
            'the database has the encoding %s: of a task whose payload or error has a letter that it lacks, the row is refused',
            current_setting('server_encoding')
        ),
        'have the tables in a database with the encoding UTF8',
        null,
        null
    where current_setting('server_encoding') <> 'UTF8'
    union all
    select
        'standby',
        'error',
        'standby',
        'this server is a standby: nothing can be enqueued or claimed here',
        'connect to the primary',
        null,
        null
    where pg_is_in_recovery()
$ail_settings$;

-- Returns what workers and operators need beside the usage of the schema: see roles.sql.
create function taskq.needed_rights() returns table (part text, kind text, name text, rights text[])
language sql
immutable
as $needed_rights$
    select 'claim', 'table', given.name, '{select,insert,update,delete}'::text[]
    from unnest(array[
        'task', 'lease', 'dead', 'history', 'worker', 'sleeper', 'counter', 'frontier', 'refused', 'unique_key', 'schedule',
        'schedule_definition', 'limit_definition', 'limit_rule', 'gate', 'minute', 'minute_total', 'group_member', 'group_change',
        'progress', 'watched', 'attempt_log', 'log_chunk'
    ]) as given (name)
    union all
    select 'claim', 'table', given.name, '{select}'
    from unnest(array['migration', 'tasks', 'pause', 'sequence_block', 'task_group', 'pruned']) as given (name)
    union all
    select 'claim', 'table', 'secret_field', '{select,insert}'
    union all
    select 'claim', 'function', given.name, '{execute}'
    from unnest(array[
        'prune_history', 'prune_history_day', 'advance_ids', 'take_back', 'take_keys', 'prune_keys', 'backfill_schedule',
        'write_down', 'declare_keep', 'prune_kept', 'begin_group', 'join_group', 'seal_group', 'tend_groups', 'prune_groups',
        'prune_progress', 'prune_log', 'reencrypt'
    ]) as given (name)
    union all
    select 'cancel', 'table', given.name, '{insert,update,delete}'
    from unnest(array['pause', 'schedule', 'schedule_definition', 'limit_rule', 'keep_override']) as given (name)
    union all
    select 'cancel', 'table', 'sequence_block', '{delete}'
    union all
    select 'cancel', 'function', given.name, '{execute}'
    from unnest(array[
        'put_pause', 'end_pause', 'pause_queue', 'pause_task_type', 'resume_queue', 'resume_task_type', 'backfill_schedule',
        'cancel', 'retry', 'discard', 'edit', 'enqueue_by_hand', 'freeze_bulk', 'begin_bulk', 'step_bulk', 'stop_bulk',
        'drop_bulk', 'put_limit', 'end_limit', 'limit_concurrency', 'limit_rate', 'reset_limits', 'skip_dead', 'set_weight',
        'stop_worker', 'forget_worker', 'acknowledge', 'unacknowledge', 'run_schedule', 'remove_schedule', 'take_back', 'end_session', 'write_down',
        'keep', 'reset_keep', 'prunable', 'prune_kept', 'prune_history_day', 'seal_group'
    ]) as given (name)
$needed_rights$;

-- Returns which rights a role lacks that was given a part of those of a worker or of an operator.
create function taskq.ail_rights() returns setof taskq.ailment
language sql
stable
as $ail_rights$
    with role as (
        select 'claim' as part, granted.grantee, class.relowner as owner
        from pg_class as class
        cross join lateral aclexplode(class.relacl) as granted
        where class.oid = 'taskq.lease'::regclass
          and granted.privilege_type = 'INSERT'
        union
        select 'cancel', granted.grantee, proc.proowner
        from pg_proc as proc
        cross join lateral aclexplode(proc.proacl) as granted
        where proc.pronamespace = 'taskq'::regnamespace
          and proc.proname = 'cancel'
    ),
    lacking as (
        select
            role.part,
            role.grantee,
            needed.kind,
            coalesce(class.oid::regclass::text, proc.oid::regprocedure::text) as object,
            wanted.privilege
        from role
        join taskq.needed_rights() as needed on needed.part = role.part
        cross join lateral unnest(needed.rights) as wanted (privilege)
        left join pg_class as class
          on needed.kind = 'table'
         and class.relnamespace = 'taskq'::regnamespace
         and class.relname = needed.name
        left join pg_proc as proc
          on needed.kind = 'function'
         and proc.pronamespace = 'taskq'::regnamespace
         and proc.proname = needed.name
        where role.grantee not in (0, role.owner)
          and case needed.kind
              when 'table' then not has_table_privilege(role.grantee, class.oid, wanted.privilege)
              else not has_function_privilege(role.grantee, proc.oid, wanted.privilege)
          end
        union all
        select role.part, role.grantee, 'schema', 'taskq'::regnamespace::text, 'usage'
        from role
        where role.grantee not in (0, role.owner)
          and not has_schema_privilege(role.grantee, 'taskq'::regnamespace, 'usage')
    ),
    by_object as (
        select
            lacking.part,
            lacking.grantee,
            format(
                'grant %s on %s%s to %s',
                string_agg(lacking.privilege, ', ' order by lacking.privilege),
                case lacking.kind when 'table' then '' else lacking.kind || ' ' end,
                lacking.object,
                lacking.grantee::regrole
            ) as grant_statement,
            format('%s %s', string_agg(lacking.privilege, ', ' order by lacking.privilege), lacking.object) as words
        from lacking
        group by lacking.part, lacking.grantee, lacking.kind, lacking.object
    )
    select
        'rights',
        'error',
        format('%s, to %s', by_object.grantee::regrole, by_object.part),
        format(
            'role %s may %s tasks, and lacks other rights of %s: %s',
            by_object.grantee::regrole,
            by_object.part,
            case by_object.part when 'claim' then 'a worker' else 'an operator' end,
            string_agg(by_object.words, '; ' order by by_object.words)
        ),
        'grant them as the owner of the tables: a newer migration may have added some, and roles.sql has all',
        null,
        string_agg(by_object.grant_statement, '; ' order by by_object.grant_statement)
    from by_object
    group by by_object.part, by_object.grantee
$ail_rights$;

insert into taskq.migration (version, name, oldest_binary)
select 29, 'server', max(oldest_binary) from taskq.migration;
