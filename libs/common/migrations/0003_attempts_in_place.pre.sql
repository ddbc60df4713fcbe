-- Every piece of news changes an attempt's rank: an index that holds it makes each version a new entry in all of them.
-- The few living attempts are found by the time of their dispatch; beside them the rank is a look at some rows.
CREATE INDEX CONCURRENTLY idx_attempts_living ON segment_attempts (dispatched_at) WHERE alive;
