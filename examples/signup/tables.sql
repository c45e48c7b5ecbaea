-- The example's own tables, made at every start. Those of taskq stand beside them, in the schema
-- `taskq`, and come from `taskq::migrate`.

create extension if not exists pgcrypto;

create table if not exists usr (
    usr_id       bigint      not null generated always as identity,
    email        text        not null,
    -- A bcrypt hash, made by pgcrypto. The password itself never reaches a table or a log.
    password     text        not null,
    created_at   timestamptz not null default now(),
    -- Set by the handler `send_email_welcome`, in the transaction in which its task completes.
    welcomed_at  timestamptz,
    constraint usr_pkey primary key (usr_id),
    constraint usr_email_key unique (email)
);

-- What the local mail sink received. Nothing in it is unique, so that a double would be seen.
create table if not exists mail (
    mail_id     bigint      not null generated always as identity,
    received_at timestamptz not null default now(),
    recipient   text        not null,
    message_id  text        not null,
    subject     text        not null,
    body        text        not null,
    constraint mail_pkey primary key (mail_id)
);

-- Where the sink listens now: one row at most, for workers in other processes.
create table if not exists mail_sink (
    is_the_one boolean not null default true,
    url        text    not null,
    constraint mail_sink_pkey primary key (is_the_one),
    constraint mail_sink_is_the_one check (is_the_one)
);
