-- The schema after all migrations. Written by `python -m stack.schema_file`; a test compares the two.
CREATE SCHEMA auth;

CREATE FUNCTION public.attempts_in_flight(wanted text) RETURNS bigint
    LANGUAGE plpgsql
    AS $$
BEGIN
  RETURN (
    SELECT count(*) FROM segment_attempts t
      JOIN parcours_segments s ON s.id = t.segment_id JOIN quota_accounts a ON a.account = t.account
    WHERE t.account = wanted AND t.alive AND t.rank <= 3 AND (t.rank > 1 OR t.ambiguous_at IS NULL)
      AND (s.status NOT IN ('complete', 'failed') OR t.dispatched_at > clock_timestamp() - a.settled));
END $$;

CREATE FUNCTION public.record_segment_history() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
  INSERT INTO segment_history (segment_id, from_status, to_status, changed_by)
  VALUES (NEW.id, CASE WHEN TG_OP = 'UPDATE' THEN OLD.status END, NEW.status, current_setting('application_name'));
  RETURN NULL;
END $$;

CREATE FUNCTION public.touch_updated_at() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
  NEW.updated_at := now();
  RETURN NEW;
END $$;

CREATE TABLE public.users (
    id uuid NOT NULL,
    tenant_id text DEFAULT 'default'::text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    last_seen_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE VIEW auth.users AS
 SELECT id,
    created_at,
    last_seen_at
   FROM public.users;

COMMENT ON VIEW auth.users IS 'Read-only: the operators'' SQL expects people under this name.';

CREATE TABLE public.archive_jobs (
    attempt_id uuid NOT NULL,
    kind text NOT NULL,
    segment_id uuid NOT NULL,
    lease_until timestamp with time zone DEFAULT '1970-01-01 00:00:00+00'::timestamp with time zone NOT NULL,
    not_before timestamp with time zone DEFAULT '1970-01-01 00:00:00+00'::timestamp with time zone NOT NULL,
    tries integer DEFAULT 0 NOT NULL,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT archive_jobs_kind_check CHECK ((kind = ANY (ARRAY['final'::text, 'preview'::text])))
);

CREATE TABLE public.consumer_inbox (
    group_id text NOT NULL,
    event_id uuid NOT NULL,
    received_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);

CREATE TABLE public.consumer_retries (
    id bigint NOT NULL,
    group_id text NOT NULL,
    topic text NOT NULL,
    kafka_partition integer NOT NULL,
    kafka_offset bigint NOT NULL,
    event_id text DEFAULT ''::text NOT NULL,
    key bytea,
    headers jsonb DEFAULT '{}'::jsonb NOT NULL,
    payload bytea,
    deliveries integer DEFAULT 1 NOT NULL,
    not_before timestamp with time zone NOT NULL,
    last_error text NOT NULL,
    first_failed_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);

ALTER TABLE public.consumer_retries ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.consumer_retries_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.dead_letters (
    id bigint NOT NULL,
    group_id text NOT NULL,
    topic text NOT NULL,
    kafka_partition integer NOT NULL,
    kafka_offset bigint NOT NULL,
    event_id text DEFAULT ''::text NOT NULL,
    key bytea,
    headers jsonb DEFAULT '{}'::jsonb NOT NULL,
    payload bytea,
    deliveries integer NOT NULL,
    reason text NOT NULL,
    first_failed_at timestamp with time zone NOT NULL,
    dead_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    replayed_at timestamp with time zone
);

ALTER TABLE public.dead_letters ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.dead_letters_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.feature_flags (
    user_id uuid NOT NULL,
    parcours_xl_enabled boolean DEFAULT false NOT NULL
);

CREATE TABLE public.generation_queue (
    segment_id uuid NOT NULL,
    run_id uuid NOT NULL,
    user_id uuid NOT NULL,
    track text NOT NULL,
    provider text NOT NULL,
    bridge boolean DEFAULT false NOT NULL,
    due_at timestamp with time zone NOT NULL,
    segment_index integer NOT NULL,
    not_before timestamp with time zone DEFAULT '1970-01-01 00:00:00+00'::timestamp with time zone NOT NULL,
    enqueued_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);

CREATE TABLE public.idempotency_keys (
    user_id uuid NOT NULL,
    key text NOT NULL,
    body_sha256 bytea NOT NULL,
    run_id uuid NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT idempotency_keys_key_check CHECK (((length(key) >= 1) AND (length(key) <= 200)))
);

CREATE TABLE public.outbox (
    id bigint NOT NULL,
    event_id uuid DEFAULT gen_random_uuid() NOT NULL,
    topic text NOT NULL,
    key uuid NOT NULL,
    headers jsonb DEFAULT '{}'::jsonb NOT NULL,
    traceparent text,
    payload jsonb NOT NULL,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    claimed_until timestamp with time zone DEFAULT '1970-01-01 00:00:00+00'::timestamp with time zone NOT NULL,
    published_at timestamp with time zone
);

CREATE SEQUENCE public.outbox_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER SEQUENCE public.outbox_id_seq OWNED BY public.outbox.id;

CREATE TABLE public.parcours_runs (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    user_id uuid NOT NULL,
    tenant_id text DEFAULT 'default'::text NOT NULL,
    preset_key text NOT NULL,
    emotion_state text,
    locale text DEFAULT 'fr'::text NOT NULL,
    strategy text DEFAULT 'ahead'::text NOT NULL,
    status text DEFAULT 'creating'::text NOT NULL,
    brief text,
    plan jsonb DEFAULT '{}'::jsonb NOT NULL,
    suds_start integer,
    suds_mid integer,
    suds_end integer,
    track text DEFAULT 'stable'::text NOT NULL,
    resumed_at timestamp with time zone,
    metadata jsonb DEFAULT '{}'::jsonb NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT parcours_runs_status_check CHECK ((status = ANY (ARRAY['creating'::text, 'ready'::text, 'failed'::text]))),
    CONSTRAINT parcours_runs_strategy_check CHECK ((strategy = ANY (ARRAY['ahead'::text, 'sequential'::text, 'all'::text]))),
    CONSTRAINT parcours_runs_suds_end_check CHECK (((suds_end >= 0) AND (suds_end <= 10))),
    CONSTRAINT parcours_runs_suds_mid_check CHECK (((suds_mid >= 0) AND (suds_mid <= 10))),
    CONSTRAINT parcours_runs_suds_start_check CHECK (((suds_start >= 0) AND (suds_start <= 10))),
    CONSTRAINT parcours_runs_track_check CHECK ((track = ANY (ARRAY['stable'::text, 'canary'::text])))
);

CREATE TABLE public.parcours_segments (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    run_id uuid NOT NULL,
    segment_index integer NOT NULL,
    title text DEFAULT ''::text NOT NULL,
    prompt text DEFAULT ''::text NOT NULL,
    plan jsonb DEFAULT '{}'::jsonb NOT NULL,
    status text DEFAULT 'queued'::text NOT NULL,
    preview_url text,
    final_url text,
    storage_path text,
    duration_seconds integer,
    callback_token uuid,
    suno_task_id text,
    requested_at timestamp with time zone,
    due_at timestamp with time zone,
    deadline_at timestamp with time zone,
    metadata jsonb DEFAULT '{}'::jsonb NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT complete_means_stored CHECK (((status <> 'complete'::text) OR ((storage_path IS NOT NULL) AND (callback_token IS NULL)))),
    CONSTRAINT parcours_segments_segment_index_check CHECK ((segment_index >= 0)),
    CONSTRAINT parcours_segments_status_check CHECK ((status = ANY (ARRAY['queued'::text, 'generating'::text, 'first'::text, 'complete'::text, 'failed'::text])))
)
WITH (fillfactor='70');

CREATE TABLE public.provider_calls (
    id bigint NOT NULL,
    provider text NOT NULL,
    account text NOT NULL,
    operation text NOT NULL,
    attempt_id uuid,
    called_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    seconds double precision,
    outcome text NOT NULL,
    cost numeric
);

ALTER TABLE public.provider_calls ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.provider_calls_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.provider_keys (
    provider text NOT NULL,
    key_id text DEFAULT ''::text NOT NULL,
    key text NOT NULL,
    fetched_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);

CREATE TABLE public.quota_accounts (
    account text NOT NULL,
    provider text NOT NULL,
    slots_contract integer NOT NULL,
    slots_allowed integer NOT NULL,
    quota_window interval NOT NULL,
    hold interval NOT NULL,
    lease interval NOT NULL,
    user_cap integer,
    max_in_flight integer,
    closed_until timestamp with time zone DEFAULT '1970-01-01 00:00:00+00'::timestamp with time zone NOT NULL,
    close_reason text,
    probe_every interval DEFAULT '00:00:10'::interval NOT NULL,
    throttled_at timestamp with time zone,
    restored_at timestamp with time zone,
    breaker_since timestamp with time zone DEFAULT '1970-01-01 00:00:00+00'::timestamp with time zone NOT NULL,
    record_info_counts boolean DEFAULT false NOT NULL,
    settled interval DEFAULT '00:04:00'::interval NOT NULL,
    frozen_until timestamp with time zone DEFAULT '1970-01-01 00:00:00+00'::timestamp with time zone NOT NULL,
    balance numeric,
    balance_at timestamp with time zone,
    question_at timestamp with time zone DEFAULT '1970-01-01 00:00:00+00'::timestamp with time zone NOT NULL,
    CONSTRAINT quota_accounts_check CHECK ((slots_allowed <= slots_contract)),
    CONSTRAINT quota_accounts_slots_allowed_check CHECK ((slots_allowed >= 1)),
    CONSTRAINT quota_accounts_slots_contract_check CHECK ((slots_contract >= 1))
);

CREATE TABLE public.quota_slots (
    account text NOT NULL,
    slot_no integer NOT NULL,
    free_at timestamp with time zone DEFAULT '1970-01-01 00:00:00+00'::timestamp with time zone NOT NULL,
    attempt_id uuid
);

CREATE TABLE public.rollout (
    name text NOT NULL,
    percent integer NOT NULL,
    salt text NOT NULL,
    CONSTRAINT rollout_percent_check CHECK (((percent >= 0) AND (percent <= 100)))
);

CREATE TABLE public.segment_attempts (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    segment_id uuid NOT NULL,
    user_id uuid NOT NULL,
    attempt_no integer NOT NULL,
    provider text NOT NULL,
    account text NOT NULL,
    slot_no integer NOT NULL,
    bridge boolean DEFAULT false NOT NULL,
    provider_task_id text,
    token_sha256 bytea NOT NULL,
    rank smallint NOT NULL,
    gave_up_rank smallint,
    outcome text,
    error_code text,
    error_message text,
    dispatched_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    submitted_at timestamp with time zone,
    first_at timestamp with time zone,
    delivered_at timestamp with time zone,
    finished_at timestamp with time zone,
    news_at timestamp with time zone,
    ambiguous_at timestamp with time zone,
    looked_up_at timestamp with time zone,
    cost numeric,
    facts jsonb DEFAULT '{}'::jsonb NOT NULL,
    sha256 bytea,
    measures jsonb,
    alive boolean GENERATED ALWAYS AS (((outcome IS NULL) AND (rank = ANY (ARRAY[1, 2, 3, 5])) AND ((gave_up_rank IS NULL) OR (rank > gave_up_rank)))) STORED NOT NULL,
    CONSTRAINT segment_attempts_attempt_no_check CHECK ((attempt_no >= 1)),
    CONSTRAINT segment_attempts_outcome_check CHECK ((outcome = 'refused'::text)),
    CONSTRAINT segment_attempts_rank_check CHECK (((rank >= 1) AND (rank <= 6)))
)
WITH (fillfactor='40');

CREATE TABLE public.segment_history (
    id bigint NOT NULL,
    segment_id uuid NOT NULL,
    from_status text,
    to_status text NOT NULL,
    changed_by text NOT NULL,
    changed_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);

ALTER TABLE public.segment_history ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.segment_history_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.text_jobs (
    run_id uuid NOT NULL,
    lease_until timestamp with time zone DEFAULT '1970-01-01 00:00:00+00'::timestamp with time zone NOT NULL,
    tries integer DEFAULT 0 NOT NULL,
    created_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);

CREATE TABLE public.webhook_inbox (
    id bigint NOT NULL,
    attempt_id uuid NOT NULL,
    dialect text NOT NULL,
    stage text NOT NULL,
    verdict text NOT NULL,
    payload bytea NOT NULL,
    received_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL
);

ALTER TABLE public.webhook_inbox ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.webhook_inbox_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

ALTER TABLE ONLY public.outbox ALTER COLUMN id SET DEFAULT nextval('public.outbox_id_seq'::regclass);

ALTER TABLE ONLY public.archive_jobs
    ADD CONSTRAINT archive_jobs_pkey PRIMARY KEY (attempt_id, kind);

ALTER TABLE ONLY public.consumer_inbox
    ADD CONSTRAINT consumer_inbox_pkey PRIMARY KEY (group_id, event_id);

ALTER TABLE ONLY public.consumer_retries
    ADD CONSTRAINT consumer_retries_group_id_topic_kafka_partition_kafka_offse_key UNIQUE (group_id, topic, kafka_partition, kafka_offset, event_id);

ALTER TABLE ONLY public.consumer_retries
    ADD CONSTRAINT consumer_retries_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.dead_letters
    ADD CONSTRAINT dead_letters_group_id_topic_kafka_partition_kafka_offset_ev_key UNIQUE (group_id, topic, kafka_partition, kafka_offset, event_id);

ALTER TABLE ONLY public.dead_letters
    ADD CONSTRAINT dead_letters_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.feature_flags
    ADD CONSTRAINT feature_flags_pkey PRIMARY KEY (user_id);

ALTER TABLE ONLY public.generation_queue
    ADD CONSTRAINT generation_queue_pkey PRIMARY KEY (segment_id);

ALTER TABLE ONLY public.idempotency_keys
    ADD CONSTRAINT idempotency_keys_pkey PRIMARY KEY (user_id, key);

ALTER TABLE ONLY public.outbox
    ADD CONSTRAINT outbox_event_id_key UNIQUE (event_id);

ALTER TABLE ONLY public.outbox
    ADD CONSTRAINT outbox_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.parcours_runs
    ADD CONSTRAINT parcours_runs_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.parcours_segments
    ADD CONSTRAINT parcours_segments_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.provider_calls
    ADD CONSTRAINT provider_calls_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.provider_keys
    ADD CONSTRAINT provider_keys_pkey PRIMARY KEY (provider, key_id);

ALTER TABLE ONLY public.quota_accounts
    ADD CONSTRAINT quota_accounts_pkey PRIMARY KEY (account);

ALTER TABLE ONLY public.quota_slots
    ADD CONSTRAINT quota_slots_pkey PRIMARY KEY (account, slot_no);

ALTER TABLE ONLY public.rollout
    ADD CONSTRAINT rollout_pkey PRIMARY KEY (name);

ALTER TABLE ONLY public.segment_attempts
    ADD CONSTRAINT segment_attempts_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.segment_attempts
    ADD CONSTRAINT segment_attempts_segment_id_attempt_no_key UNIQUE (segment_id, attempt_no);

ALTER TABLE ONLY public.segment_history
    ADD CONSTRAINT segment_history_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.text_jobs
    ADD CONSTRAINT text_jobs_pkey PRIMARY KEY (run_id);

ALTER TABLE ONLY public.parcours_segments
    ADD CONSTRAINT u_segments_run_idx UNIQUE (run_id, segment_index);

ALTER TABLE ONLY public.users
    ADD CONSTRAINT users_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.webhook_inbox
    ADD CONSTRAINT webhook_inbox_pkey PRIMARY KEY (id);

CREATE INDEX idx_archive_jobs_due ON public.archive_jobs USING btree (kind, not_before, lease_until);

CREATE INDEX idx_attempts_account ON public.segment_attempts USING btree (account, finished_at);

CREATE INDEX idx_attempts_dispatched ON public.segment_attempts USING btree (dispatched_at);

CREATE INDEX idx_attempts_living ON public.segment_attempts USING btree (dispatched_at) WHERE alive;

CREATE INDEX idx_attempts_user_dispatched ON public.segment_attempts USING btree (user_id, dispatched_at);

CREATE INDEX idx_history_segment ON public.segment_history USING btree (segment_id, id);

CREATE INDEX idx_outbox_created ON public.outbox USING btree (created_at);

CREATE INDEX idx_outbox_key ON public.outbox USING btree (key, id);

CREATE INDEX idx_outbox_unpublished ON public.outbox USING btree (key, id) WHERE (published_at IS NULL);

CREATE INDEX idx_provider_calls_called ON public.provider_calls USING btree (account, called_at);

CREATE INDEX idx_queue_order ON public.generation_queue USING btree (provider, due_at, segment_index, enqueued_at);

CREATE INDEX idx_retries_due ON public.consumer_retries USING btree (group_id, not_before);

CREATE INDEX idx_runs_status ON public.parcours_runs USING btree (status);

CREATE INDEX idx_runs_user ON public.parcours_runs USING btree (user_id);

CREATE INDEX idx_runs_user_created ON public.parcours_runs USING btree (user_id, created_at DESC);

CREATE INDEX idx_segments_status ON public.parcours_segments USING btree (status);

CREATE INDEX idx_webhook_inbox_attempt ON public.webhook_inbox USING btree (attempt_id);

CREATE INDEX idx_webhook_inbox_received ON public.webhook_inbox USING btree (received_at);

CREATE UNIQUE INDEX u_attempts_provider_task ON public.segment_attempts USING btree (provider, provider_task_id) WHERE (provider_task_id IS NOT NULL);

CREATE TRIGGER runs_touch BEFORE UPDATE ON public.parcours_runs FOR EACH ROW EXECUTE FUNCTION public.touch_updated_at();

CREATE TRIGGER segments_history_insert AFTER INSERT ON public.parcours_segments FOR EACH ROW EXECUTE FUNCTION public.record_segment_history();

CREATE TRIGGER segments_history_update AFTER UPDATE OF status ON public.parcours_segments FOR EACH ROW WHEN ((old.status IS DISTINCT FROM new.status)) EXECUTE FUNCTION public.record_segment_history();

CREATE TRIGGER segments_touch BEFORE UPDATE ON public.parcours_segments FOR EACH ROW EXECUTE FUNCTION public.touch_updated_at();

ALTER TABLE ONLY public.archive_jobs
    ADD CONSTRAINT archive_jobs_attempt_id_fkey FOREIGN KEY (attempt_id) REFERENCES public.segment_attempts(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.archive_jobs
    ADD CONSTRAINT archive_jobs_segment_id_fkey FOREIGN KEY (segment_id) REFERENCES public.parcours_segments(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.generation_queue
    ADD CONSTRAINT generation_queue_segment_id_fkey FOREIGN KEY (segment_id) REFERENCES public.parcours_segments(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.parcours_segments
    ADD CONSTRAINT parcours_segments_run_id_fkey FOREIGN KEY (run_id) REFERENCES public.parcours_runs(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.quota_slots
    ADD CONSTRAINT quota_slots_account_fkey FOREIGN KEY (account) REFERENCES public.quota_accounts(account) ON DELETE CASCADE;

ALTER TABLE ONLY public.segment_attempts
    ADD CONSTRAINT segment_attempts_segment_id_fkey FOREIGN KEY (segment_id) REFERENCES public.parcours_segments(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.segment_history
    ADD CONSTRAINT segment_history_segment_id_fkey FOREIGN KEY (segment_id) REFERENCES public.parcours_segments(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.text_jobs
    ADD CONSTRAINT text_jobs_run_id_fkey FOREIGN KEY (run_id) REFERENCES public.parcours_runs(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.webhook_inbox
    ADD CONSTRAINT webhook_inbox_attempt_id_fkey FOREIGN KEY (attempt_id) REFERENCES public.segment_attempts(id) ON DELETE CASCADE;

