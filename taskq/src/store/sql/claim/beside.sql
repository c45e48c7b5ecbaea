-- Goes on from taken.sql: the leases are written beside what is told. Goes on in into.sql, own.sql and told.sql.
,
leased as (
