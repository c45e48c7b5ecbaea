-- Bounds how many tasks run at once, and how fast they start: of a queue, of a task type, of each key of a type.

-- What the program of a task type declares. One of another version may declare something else: the later one, by its id,
-- holds while a living worker declares it.
create table taskq.limit_definition (
    definition_id  bigint      not null generated always as identity,
    task_type      text        not null,
    -- An array of what stands in taskq.limit_rule.
    limits         jsonb       not null,
    -- Until when it counts as declared, by which workers say that they are alive.
    declared_until timestamptz not null,
    constraint limit_definition_pkey primary key (definition_id),
    constraint limit_definition_limits check (jsonb_typeof(limits) = 'array')
);

create unique index limit_definition_declared on taskq.limit_definition (task_type, md5(limits::text));

-- What bounds the tasks of a scope. The program of a task type declares it; an operator overrides it.
create table taskq.limit_rule (
    -- What the name is of: 'queue', 'task_type', or 'key' for each key of that task type by itself.
    scope             text        not null,
    name              text        not null,
    -- 'concurrency': how many run at once. 'rate': how many start in a time. 'sequence': one after the other, the oldest first.
    -- 'fair': the keys take turns.
    kind              text        not null,
    -- The fields of the payload that make the key of a task, and other names of the type.
    fields            text[],
    aliases           text[]      not null default '{}',
    -- What the program says; null where it says nothing.
    declared_most     integer,
    declared_seconds  double precision,
    declared_burst    integer,
    declared_at       timestamptz,
    -- Of a sequence: whether a dead task closes its key, 'block', or the next one starts, 'skip'.
    on_dead           text,
    -- What an operator says in its place; without `most` there is no limit.
    is_overridden     boolean     not null default false,
    most              integer,
    seconds           double precision,
    burst             integer,
    overridden_at     timestamptz,
    by                text,
    reason            text,
    -- When what the program declares holds again by itself.
    until             timestamptz,
    -- Since when the scope is limited, without a gap.
    since             timestamptz not null default now(),
    -- Whether nothing of it runs any more that was claimed before workers knew of the limit.
    is_settled        boolean     not null default false,
    -- Tasks behind the first id, and up to the second, may lack the key that these fields make; null where none does.
    keyless_after     bigint,
    keyless_to        bigint,
    constraint limit_rule_pkey primary key (scope, name, kind),
    constraint limit_rule_scope check (scope in ('queue', 'task_type', 'key')),
    constraint limit_rule_kind check (kind in ('concurrency', 'rate', 'sequence', 'fair')),
    constraint limit_rule_fair check (kind <> 'fair' or scope = 'key'),
    constraint limit_rule_sequence check ((kind = 'sequence') = (on_dead is not null) and (kind <> 'sequence' or scope = 'key')),
    constraint limit_rule_on_dead check (on_dead in ('block', 'skip')),
    constraint limit_rule_name_length check (octet_length(name) between 1 and 200),
    constraint limit_rule_fields check (scope <> 'key' or cardinality(fields) > 0),
    constraint limit_rule_most check (least(most, declared_most) >= case kind when 'concurrency' then 0 else 1 end),
    constraint limit_rule_said check (declared_most is not null or is_overridden),
    constraint limit_rule_by_length check (octet_length(by) between 1 and 200),
    constraint limit_rule_reason_length check (octet_length(reason) <= 10000)
);

-- Every worker reads it, whatever its role is.
grant select on taskq.limit_rule to public;

-- The limits: declared, overridden, and in force. Without `most` nothing is limited.
create view taskq.limits as
select
    scope,
    name,
    kind,
    in_force.most,
    in_force.seconds,
    in_force.burst,
    fields,
    declared_most,
    declared_seconds,
    declared_burst,
    declared_at,
    is_in_place as is_overridden,
    case when is_in_place then overridden_at end as overridden_at,
    case when is_in_place then by end as by,
    case when is_in_place then reason end as reason,
    case when is_in_place then until end as until,
    since,
    aliases,
    is_settled,
    keyless_to is not null as has_keyless,
    on_dead
from taskq.limit_rule
cross join lateral (
    select is_overridden and (until is null or until > now()) as is_in_place
) as override
cross join lateral (
    select
        case when is_in_place then limit_rule.most else declared_most end as most,
        case when is_in_place then limit_rule.seconds else declared_seconds end as seconds,
        case when is_in_place then limit_rule.burst else declared_burst end as burst
) as in_force;

grant select on taskq.limits to public;

-- Has workers read the limits. A message is lost if nobody listens; then they read them before a scan.
create function taskq.tell_limits() returns trigger
language plpgsql
as $tell$
begin
    perform pg_catalog.pg_notify(tg_table_schema || '.operator', 'limits');
    return null;
end
$tell$;

create trigger tell_limits
after insert or delete or truncate or update of declared_most, declared_seconds, declared_burst, on_dead,
    is_overridden, most, seconds, burst, until
on taskq.limit_rule
for each statement execute function taskq.tell_limits();

-- A binary that knows no limits would claim beyond them: from the first limit on, none starts.
create function taskq.require_limits() returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $require$
begin
    update taskq.migration
    set oldest_binary = 11
    where version = 11
      and oldest_binary < 11;
    return null;
end
$require$;

create trigger require_limits
after insert on taskq.limit_rule
for each statement execute function taskq.require_limits();

-- What is known of a scope besides what runs: from when on it may start something by its rate, and until when it is held.
-- A row for each scope that needs one.
create table taskq.gate (
    scope      text        not null,
    name       text        not null,
    -- Empty, unless the scope is 'key'.
    key        text        not null collate "C",
    next_start timestamptz not null default '-infinity',
    held_until timestamptz not null default '-infinity',
    constraint gate_pkey primary key (scope, name, key)
) with (fillfactor = 50);

-- The key of a task whose type is limited by key; see taskq.index_keys.
alter table taskq.task add column key text collate "C";

-- Whether the task has its place in a sequence of its key; null for others. See taskq.index_keys.
alter table taskq.task add column in_sequence boolean;

-- Whose limits bind the tasks of a lease, where limits do: the task type and, where it has any, the key. So what runs of
-- a scope is what its leases list, and nothing else counts.
alter table taskq.lease
    add column limited_type text,
    add column limited_key text collate "C";

create index lease_limited_type on taskq.lease (limited_type, limited_key) where limited_type is not null;
-- With a condition that follows from no type: otherwise Postgres may take it for the leases of a key, and read those of all
-- keys.
create index lease_limited_queue on taskq.lease (queue) where limited_type <> '';

insert into taskq.migration (version, name, oldest_binary)
values (11, 'limits', 2);
