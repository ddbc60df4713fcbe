-- What is known of a provider's account beside its quota, and what counts as in flight there.

ALTER TABLE quota_accounts ADD COLUMN settled interval NOT NULL DEFAULT '240 s';  -- dispatch to the last stage, with what it may be late
ALTER TABLE quota_accounts ADD COLUMN frozen_until timestamptz NOT NULL DEFAULT 'epoch';  -- by an operator; no reply ends it
ALTER TABLE quota_accounts ADD COLUMN balance numeric;                            -- as the credit endpoint last said
ALTER TABLE quota_accounts ADD COLUMN balance_at timestamptz;

-- Attempts that the provider is working on. Not: what we gave up, what timed out without a reply, and what nobody looks
-- after any more because its segment is over, once the provider must have finished it: none of them may block for ever.
-- VOLATILE: it must see what was committed while its caller waited for a lock.
CREATE FUNCTION attempts_in_flight(wanted text) RETURNS bigint LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  RETURN (
    SELECT count(*) FROM segment_attempts t
      JOIN parcours_segments s ON s.id = t.segment_id JOIN quota_accounts a ON a.account = t.account
    WHERE t.account = wanted AND t.alive AND t.rank <= 3 AND (t.rank > 1 OR t.ambiguous_at IS NULL)
      AND (s.status NOT IN ('complete', 'failed') OR t.dispatched_at > clock_timestamp() - a.settled));
END $$;
