-- When the account may next be asked about a finished file (W4): one pace for all generators.
ALTER TABLE quota_accounts ADD COLUMN question_at timestamptz NOT NULL DEFAULT 'epoch';
