-- Gives rates back what tasks have cost that were claimed and have not started.
-- $1 leases, $2 so many tasks of each
-- Index lease_pkey, gate_pkey. Locks: the gates, in the order in which claims change them.
select taskq.return_starts($1, $2)
