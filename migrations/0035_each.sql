-- Enqueues tasks of several types in one round trip.

-- Enqueues tasks of several types in the caller's transaction, in the order given, and returns of each its id and what was
-- done, as taskq.enqueue does. `run_ats` are null for now; `delays` are seconds, added to now where there is no run_at.
-- `keyed` has the options of taskq.enqueue for those that have a key, and null for the others. These are inserted by one
-- statement, and then those with keys in the order of their types and keys. What is in the way of a key says in its hint
-- of which task.
create function taskq.enqueue_each(
    task_types text[],
    payloads jsonb[],
    versions smallint[],
    queues text[],
    priorities smallint[],
    max_attempts integer[],
    run_ats timestamptz[],
    delays double precision[],
    metadatas jsonb[],
    of_groups bigint[],
    keyed jsonb[]
) returns table (task_ids bigint[], outcomes text[])
language plpgsql
as $enqueue_each$
#variable_conflict use_column
declare
    number constant integer := cardinality(task_types);
    plain integer := 0;
    inserted integer;
    place integer;
    given record;
    done record;
    code text;
    said text;
    of_constraint text;
    detail text;
begin
    task_ids := array_fill(null::bigint, array[number]);
    outcomes := array_fill('created'::text, array[number]);
    for place in 1..number loop
        if keyed[place] is null then
            task_ids[place] := taskq.new_task_id();
            plain := plain + 1;
        end if;
    end loop;
    insert into taskq.task (
        task_id,
        task_type,
        payload_version,
        payload,
        queue,
        priority,
        max_attempts,
        metadata,
        run_at
    )
    overriding system value
    select
        it.task_id,
        it.task_type,
        it.version,
        it.payload,
        it.queue,
        it.priority,
        it.max_attempts,
        it.metadata,
        coalesce(it.run_at, now() + make_interval(secs => it.delay))
    from unnest(
        task_ids, task_types, versions, payloads, queues, priorities, enqueue_each.max_attempts, metadatas, run_ats, delays
    ) with ordinality as it (
        task_id, task_type, version, payload, queue, priority, max_attempts, metadata, run_at, delay, place
    )
    where it.task_id is not null
    order by it.place;
    get diagnostics inserted = row_count;
    if inserted <> plain then
        raise exception 'a task was not inserted: a trigger has dropped it';
    end if;
    for given in
        select it.of_group, array_agg(it.task_id) as members
        from unnest(of_groups, task_ids) as it (of_group, task_id)
        where it.of_group is not null
          and it.task_id is not null
        group by it.of_group
        order by it.of_group
    loop
        perform taskq.join_group(given.of_group, given.members);
    end loop;
    if plain < number then
        begin
            for given in
                select it.place, it.options
                from unnest(task_types, payloads, keyed) with ordinality as it (task_type, payload, options, place)
                where it.options is not null
                order by
                    it.task_type,
                    taskq.short_key(
                        coalesce(
                            it.options -> 'unique_key',
                            taskq.payload_key(
                                it.payload,
                                case
                                    when it.options ? 'unique_fields'
                                        then array(select jsonb_array_elements_text(it.options -> 'unique_fields'))
                                end
                            )
                        )
                    ),
                    it.place
            loop
                place := given.place;
                select enqueued.task_id, enqueued.outcome
                into done
                from taskq.enqueue(task_types[place], payloads[place], given.options) as enqueued;
                task_ids[place] := done.task_id;
                outcomes[place] := done.outcome;
            end loop;
        exception
            -- Others may have a row in their text, and go on as they came.
            when unique_violation or lock_not_available or serialization_failure then
                get stacked diagnostics
                    code = returned_sqlstate,
                    said = message_text,
                    of_constraint = constraint_name,
                    detail = pg_exception_detail;
                if code = '23505' and of_constraint <> 'unique_key' then
                    raise;
                end if;
                raise exception using
                    errcode = code,
                    message = said,
                    detail = detail,
                    constraint = of_constraint,
                    hint = format('at index %s', place - 1);
        end;
    end if;
    return next;
end
$enqueue_each$;

insert into taskq.migration (version, name, oldest_binary)
select 35, 'each', max(oldest_binary) from taskq.migration;
