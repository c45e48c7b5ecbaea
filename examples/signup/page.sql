-- Everything that the page shows, as one JSON value.
select jsonb_build_object(
    'users', (
        select coalesce(jsonb_agg(to_jsonb(newest) order by usr_id desc), '[]')
        from (
            select usr_id, email, created_at, welcomed_at
            from usr
            order by usr_id desc
            limit 50
        ) as newest
    ),
    'mails', (
        select coalesce(jsonb_agg(to_jsonb(newest) order by mail_id desc), '[]')
        from (
            select mail_id, received_at, recipient, message_id, subject, body
            from mail
            order by mail_id desc
            limit 50
        ) as newest
    ),
    'tasks', (
        select coalesce(jsonb_object_agg(state, number), '{}')
        from (
            select state, count(*) as number
            from taskq.tasks
            where state <> 'completed'
            group by state
        ) as counted
    )
)
