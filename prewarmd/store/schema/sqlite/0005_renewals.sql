-- Which job made a media ready: it tells where the object is, should the file_id have to be renewed
-- (NULL in rows that are older). A row whose file_id Telegram refuses has the status 'error', and
-- its message, while that is kept, is forwarded for a fresh one.
ALTER TABLE media_cache ADD COLUMN job INTEGER;

-- A probe sends a file_id that is ready once more, to see whether it is still good. It is nobody's
-- submit, so it is never the job that a submit turns out to be.
ALTER TABLE jobs ADD COLUMN is_probe INTEGER NOT NULL DEFAULT 0;
DROP INDEX ix_jobs_unfinished_key;
CREATE UNIQUE INDEX ix_jobs_unfinished_key ON jobs (bot, bucket, key, kind)
    WHERE (state = 'queued' OR state = 'running' OR state = 'waiting') AND is_probe = 0;
DROP INDEX ix_jobs_unfinished_content;
CREATE UNIQUE INDEX ix_jobs_unfinished_content ON jobs (bot, sha256, kind)
    WHERE (state = 'queued' OR state = 'running' OR state = 'waiting') AND claimed = 1
          AND is_probe = 0;
