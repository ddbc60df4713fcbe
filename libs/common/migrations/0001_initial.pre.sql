-- The whole first schema: runs, segments, attempts, quota, queue, outbox and inboxes.
-- Names and columns of parcours_runs, parcours_segments and feature_flags are a public contract: the operators' runbook queries them.
-- All times are clock_timestamp()/now() of this one writer database. Lock order everywhere: slot, queue, run, segment, attempt.

-- People -------------------------------------------------------------------------------------------------------------

CREATE TABLE users (
  id           uuid PRIMARY KEY,                -- the token's sub; upserted at the edge
  tenant_id    text NOT NULL DEFAULT 'default',
  created_at   timestamptz NOT NULL DEFAULT now(),
  last_seen_at timestamptz NOT NULL DEFAULT now()
);

CREATE SCHEMA IF NOT EXISTS auth;
CREATE VIEW auth.users AS SELECT id, created_at, last_seen_at FROM public.users;
COMMENT ON VIEW auth.users IS 'Read-only: the operators'' SQL expects people under this name.';

CREATE TABLE feature_flags (
  user_id             uuid PRIMARY KEY,
  parcours_xl_enabled boolean NOT NULL DEFAULT false
);

CREATE TABLE rollout (
  name    text PRIMARY KEY,
  percent integer NOT NULL CHECK (percent BETWEEN 0 AND 100),
  salt    text NOT NULL
);
INSERT INTO rollout (name, percent, salt) VALUES ('parcours_xl', 100, 'parcours_xl-1'), ('canary', 0, 'canary-1');

CREATE TABLE idempotency_keys (
  user_id     uuid NOT NULL,
  key         text NOT NULL CHECK (length(key) BETWEEN 1 AND 200),
  body_sha256 bytea NOT NULL,
  run_id      uuid NOT NULL,
  created_at  timestamptz NOT NULL DEFAULT now(),   -- kept 24 h
  PRIMARY KEY (user_id, key)
);

-- Runs and segments --------------------------------------------------------------------------------------------------

CREATE TABLE parcours_runs (
  id            uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  user_id       uuid NOT NULL,
  tenant_id     text NOT NULL DEFAULT 'default',
  preset_key    text NOT NULL,
  emotion_state text,
  locale        text NOT NULL DEFAULT 'fr',
  strategy      text NOT NULL DEFAULT 'ahead' CHECK (strategy IN ('ahead', 'sequential', 'all')),
  status        text NOT NULL DEFAULT 'creating' CHECK (status IN ('creating', 'ready', 'failed')),
  brief         text,
  plan          jsonb NOT NULL DEFAULT '{}',
  suds_start    integer CHECK (suds_start BETWEEN 0 AND 10),
  suds_mid      integer CHECK (suds_mid BETWEEN 0 AND 10),
  suds_end      integer CHECK (suds_end BETWEEN 0 AND 10),
  track         text NOT NULL DEFAULT 'stable' CHECK (track IN ('stable', 'canary')),   -- the release track, fixed at creation
  resumed_at    timestamptz,                                                            -- a resume counts as a run in both bounds
  metadata      jsonb NOT NULL DEFAULT '{}',
  created_at    timestamptz NOT NULL DEFAULT now(),
  updated_at    timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX idx_runs_user ON parcours_runs (user_id);
CREATE INDEX idx_runs_status ON parcours_runs (status);
CREATE INDEX idx_runs_user_created ON parcours_runs (user_id, created_at DESC);

CREATE TABLE parcours_segments (
  id               uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  run_id           uuid NOT NULL REFERENCES parcours_runs (id) ON DELETE CASCADE,
  segment_index    integer NOT NULL CHECK (segment_index >= 0),
  title            text NOT NULL DEFAULT '',
  prompt           text NOT NULL DEFAULT '',
  plan             jsonb NOT NULL DEFAULT '{}',
  status           text NOT NULL DEFAULT 'queued' CHECK (status IN ('queued', 'generating', 'first', 'complete', 'failed')),
  preview_url      text,                        -- the provider's own, never shown to a browser
  final_url        text,                        -- deprecated, the provider's own
  storage_path     text,
  duration_seconds integer,
  callback_token   uuid,                        -- in clear only here; the attempt keeps the hash
  suno_task_id     text,
  requested_at     timestamptz,
  due_at           timestamptz,
  deadline_at      timestamptz,
  metadata         jsonb NOT NULL DEFAULT '{}',
  created_at       timestamptz NOT NULL DEFAULT now(),
  updated_at       timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT u_segments_run_idx UNIQUE (run_id, segment_index),
  CONSTRAINT complete_means_stored CHECK (status <> 'complete' OR (storage_path IS NOT NULL AND callback_token IS NULL))
);
CREATE INDEX idx_segments_status ON parcours_segments (status);

CREATE FUNCTION touch_updated_at() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.updated_at := now();
  RETURN NEW;
END $$;
CREATE TRIGGER runs_touch BEFORE UPDATE ON parcours_runs FOR EACH ROW EXECUTE FUNCTION touch_updated_at();
CREATE TRIGGER segments_touch BEFORE UPDATE ON parcours_segments FOR EACH ROW EXECUTE FUNCTION touch_updated_at();

CREATE TABLE segment_history (
  id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  segment_id  uuid NOT NULL REFERENCES parcours_segments (id) ON DELETE CASCADE,
  from_status text,
  to_status   text NOT NULL,
  changed_by  text NOT NULL,                    -- the service: its connection's application_name
  changed_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX idx_history_segment ON segment_history (segment_id, id);

CREATE FUNCTION record_segment_history() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO segment_history (segment_id, from_status, to_status, changed_by)
  VALUES (NEW.id, CASE WHEN TG_OP = 'UPDATE' THEN OLD.status END, NEW.status, current_setting('application_name'));
  RETURN NULL;
END $$;
CREATE TRIGGER segments_history_insert AFTER INSERT ON parcours_segments FOR EACH ROW EXECUTE FUNCTION record_segment_history();
CREATE TRIGGER segments_history_update AFTER UPDATE OF status ON parcours_segments FOR EACH ROW
  WHEN (OLD.status IS DISTINCT FROM NEW.status) EXECUTE FUNCTION record_segment_history();

-- Attempts: facts that only grow -------------------------------------------------------------------------------------

CREATE TABLE segment_attempts (
  id               uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  segment_id       uuid NOT NULL REFERENCES parcours_segments (id) ON DELETE CASCADE,
  user_id          uuid NOT NULL,
  attempt_no       integer NOT NULL CHECK (attempt_no >= 1),
  provider         text NOT NULL,
  account          text NOT NULL,
  slot_no          integer NOT NULL,
  bridge           boolean NOT NULL DEFAULT false,    -- asked beside another live attempt, so that the listener need not wait
  provider_task_id text,
  token_sha256     bytea NOT NULL,
  rank             smallint NOT NULL CHECK (rank BETWEEN 1 AND 6),   -- 1 dispatched 2 accepted 3 first 4 failed 5 delivered 6 stored
  gave_up_rank     smallint,                          -- the rank at which we stopped waiting
  outcome          text CHECK (outcome IN ('refused')),              -- provably not accepted; nothing paid
  error_code       text,
  error_message    text,
  dispatched_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
  submitted_at     timestamptz,
  first_at         timestamptz,
  delivered_at     timestamptz,
  finished_at      timestamptz,
  news_at          timestamptz,                       -- last word from the provider, by callback or record-info
  ambiguous_at     timestamptz,                       -- no reply was read; cleared by nothing, superseded by rank
  looked_up_at     timestamptz,                       -- record-info was last asked
  cost             numeric,
  facts            jsonb NOT NULL DEFAULT '{}',       -- dialect, status and result URLs, preview_url, takes, content facts; each set once
  sha256           bytea,                             -- of the mastered file, committed before it is stored
  measures         jsonb,
  alive            boolean NOT NULL GENERATED ALWAYS AS (
                     outcome IS NULL AND rank IN (1, 2, 3, 5) AND (gave_up_rank IS NULL OR rank > gave_up_rank)) STORED,
  UNIQUE (segment_id, attempt_no)
);
CREATE UNIQUE INDEX u_attempts_provider_task ON segment_attempts (provider, provider_task_id) WHERE provider_task_id IS NOT NULL;
CREATE INDEX idx_attempts_account ON segment_attempts (account, finished_at);
CREATE INDEX idx_attempts_user_dispatched ON segment_attempts (user_id, dispatched_at);
CREATE INDEX idx_attempts_dispatched ON segment_attempts (dispatched_at);
CREATE INDEX idx_attempts_alive ON segment_attempts (rank, dispatched_at) WHERE alive;

CREATE TABLE webhook_inbox (
  id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  attempt_id  uuid NOT NULL REFERENCES segment_attempts (id) ON DELETE CASCADE,
  dialect     text NOT NULL,
  stage       text NOT NULL,
  verdict     text NOT NULL,                    -- accepted, skipped, surplus
  payload     bytea NOT NULL,                   -- as received, at most 64 KiB
  received_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX idx_webhook_inbox_attempt ON webhook_inbox (attempt_id);
CREATE INDEX idx_webhook_inbox_received ON webhook_inbox (received_at);

CREATE TABLE provider_keys (
  provider   text NOT NULL,
  key_id     text NOT NULL DEFAULT '',
  key        text NOT NULL,
  fetched_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (provider, key_id)
);

CREATE TABLE provider_calls (
  id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  provider   text NOT NULL,
  account    text NOT NULL,
  operation  text NOT NULL,                     -- generate, record-info, credit
  attempt_id uuid,
  called_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
  seconds    double precision,
  outcome    text NOT NULL,
  cost       numeric
);
CREATE INDEX idx_provider_calls_called ON provider_calls (account, called_at);

-- Quota and order ----------------------------------------------------------------------------------------------------

CREATE TABLE quota_accounts (
  account            text PRIMARY KEY,
  provider           text NOT NULL,
  slots_contract     integer NOT NULL CHECK (slots_contract >= 1),
  slots_allowed      integer NOT NULL CHECK (slots_allowed >= 1),
  quota_window       interval NOT NULL,
  hold               interval NOT NULL,         -- window + epsilon
  lease              interval NOT NULL,         -- send budget + submit time-out + window + epsilon
  user_cap           integer,
  max_in_flight      integer,
  closed_until       timestamptz NOT NULL DEFAULT 'epoch',
  close_reason       text,
  probe_every        interval NOT NULL DEFAULT '10 s',
  throttled_at       timestamptz,
  restored_at        timestamptz,
  breaker_since      timestamptz NOT NULL DEFAULT 'epoch',   -- the breaker counts only later rows
  record_info_counts boolean NOT NULL DEFAULT false,
  CHECK (slots_allowed <= slots_contract)
);

CREATE TABLE quota_slots (
  account    text NOT NULL REFERENCES quota_accounts (account) ON DELETE CASCADE,
  slot_no    integer NOT NULL,
  free_at    timestamptz NOT NULL DEFAULT 'epoch',           -- finite: subtracting -infinity raises
  attempt_id uuid,
  PRIMARY KEY (account, slot_no)
);

CREATE TABLE generation_queue (
  segment_id    uuid PRIMARY KEY REFERENCES parcours_segments (id) ON DELETE CASCADE,
  run_id        uuid NOT NULL,
  user_id       uuid NOT NULL,
  track         text NOT NULL,
  provider      text NOT NULL,                  -- whom to ask next
  bridge        boolean NOT NULL DEFAULT false,
  due_at        timestamptz NOT NULL,
  segment_index integer NOT NULL,
  not_before    timestamptz NOT NULL DEFAULT 'epoch',
  enqueued_at   timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX idx_queue_order ON generation_queue (provider, due_at, segment_index, enqueued_at);

-- Leased work --------------------------------------------------------------------------------------------------------

CREATE TABLE archive_jobs (
  attempt_id  uuid NOT NULL REFERENCES segment_attempts (id) ON DELETE CASCADE,
  kind        text NOT NULL CHECK (kind IN ('final', 'preview')),
  segment_id  uuid NOT NULL REFERENCES parcours_segments (id) ON DELETE CASCADE,
  lease_until timestamptz NOT NULL DEFAULT 'epoch',
  not_before  timestamptz NOT NULL DEFAULT 'epoch',
  tries       integer NOT NULL DEFAULT 0,
  created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (attempt_id, kind)
);
CREATE INDEX idx_archive_jobs_due ON archive_jobs (kind, not_before, lease_until);

CREATE TABLE text_jobs (
  run_id      uuid PRIMARY KEY REFERENCES parcours_runs (id) ON DELETE CASCADE,
  lease_until timestamptz NOT NULL DEFAULT 'epoch',
  tries       integer NOT NULL DEFAULT 0,
  created_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- News: outbox, inboxes ----------------------------------------------------------------------------------------------

CREATE TABLE outbox (
  id            bigserial PRIMARY KEY,
  event_id      uuid NOT NULL DEFAULT gen_random_uuid() UNIQUE,
  topic         text NOT NULL,
  key           uuid NOT NULL,                  -- run id: order holds per run
  headers       jsonb NOT NULL DEFAULT '{}',
  traceparent   text,
  payload       jsonb NOT NULL,
  created_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
  claimed_until timestamptz NOT NULL DEFAULT 'epoch',
  published_at  timestamptz
);
CREATE INDEX idx_outbox_key ON outbox (key, id);
CREATE INDEX idx_outbox_unpublished ON outbox (key, id) WHERE published_at IS NULL;
CREATE INDEX idx_outbox_created ON outbox (created_at);

CREATE TABLE consumer_inbox (
  group_id    text NOT NULL,
  event_id    uuid NOT NULL,
  received_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (group_id, event_id)
);

CREATE TABLE consumer_retries (
  id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  group_id        text NOT NULL,
  topic           text NOT NULL,
  kafka_partition integer NOT NULL,
  kafka_offset    bigint NOT NULL,
  event_id        text NOT NULL DEFAULT '',     -- offsets start again when the broker was replaced: this tells them apart
  key             bytea,
  headers         jsonb NOT NULL DEFAULT '{}',
  payload         bytea,
  deliveries      integer NOT NULL DEFAULT 1,
  not_before      timestamptz NOT NULL,
  last_error      text NOT NULL,                -- the error's class; its text may hold content
  first_failed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  UNIQUE (group_id, topic, kafka_partition, kafka_offset, event_id)
);
CREATE INDEX idx_retries_due ON consumer_retries (group_id, not_before);

CREATE TABLE dead_letters (
  id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  group_id        text NOT NULL,
  topic           text NOT NULL,
  kafka_partition integer NOT NULL,
  kafka_offset    bigint NOT NULL,
  event_id        text NOT NULL DEFAULT '',
  key             bytea,
  headers         jsonb NOT NULL DEFAULT '{}',
  payload         bytea,
  deliveries      integer NOT NULL,
  reason          text NOT NULL,
  first_failed_at timestamptz NOT NULL,
  dead_at         timestamptz NOT NULL DEFAULT clock_timestamp(),
  replayed_at     timestamptz,
  UNIQUE (group_id, topic, kafka_partition, kafka_offset, event_id)
);
