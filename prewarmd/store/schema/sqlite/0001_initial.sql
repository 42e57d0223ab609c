-- Times are Unix seconds, UTC (REAL): they sort, subtract and survive a change of time zone; the
-- sqlite3 shell shows them with datetime(created_at, 'unixepoch').
--
-- Conditions are spelt with OR: for an IN of three values or more SQLite fills a temporary table
-- whenever a row is checked, five of them for one change of a job's state.

CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE jobs (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    bot           TEXT NOT NULL,
    bucket        TEXT NOT NULL,
    key           TEXT NOT NULL,
    kind          TEXT NOT NULL,
    state         TEXT NOT NULL
        CHECK (state = 'queued' OR state = 'running' OR state = 'waiting'
               OR state = 'ready' OR state = 'failed' OR state = 'cancelled'),
    priority      INTEGER,
    attempt       INTEGER NOT NULL DEFAULT 0,
    maybe_sent    INTEGER NOT NULL DEFAULT 0,
    size_bytes    INTEGER,
    sha256        TEXT,
    claimed       INTEGER NOT NULL DEFAULT 0,
    error_code    TEXT,
    error_message TEXT,
    not_before    REAL,
    created_at    REAL NOT NULL,
    updated_at    REAL NOT NULL
) STRICT;

-- One unfinished job per object and kind, and per promised content and kind.
CREATE UNIQUE INDEX ix_jobs_unfinished_key ON jobs (bot, bucket, key, kind)
    WHERE (state = 'queued' OR state = 'running' OR state = 'waiting');
CREATE UNIQUE INDEX ix_jobs_unfinished_content ON jobs (bot, sha256, kind)
    WHERE (state = 'queued' OR state = 'running' OR state = 'waiting') AND claimed = 1;
CREATE INDEX ix_jobs_key ON jobs (bot, bucket, key);

-- The catalogue. Columns of the system whose users come here, plus bot_id and actual_kind.
CREATE TABLE media_cache (
    id                INTEGER PRIMARY KEY,
    bot_slug          TEXT NOT NULL,
    bot_id            INTEGER NOT NULL,
    sha256            TEXT NOT NULL,
    kind              TEXT NOT NULL,
    actual_kind       TEXT,
    tg_file_id        TEXT,
    tg_file_unique_id TEXT,
    warmup_chat_id    INTEGER,
    warmup_message_id INTEGER,
    warmup_at         REAL,
    status            TEXT NOT NULL DEFAULT 'warming'
        CHECK (status = 'ready' OR status = 'warming' OR status = 'error'),
    last_error        TEXT,
    created_at        REAL NOT NULL,
    updated_at        REAL NOT NULL,
    UNIQUE (bot_slug, sha256, kind)
) STRICT;

CREATE INDEX ix_media_cache_lookup ON media_cache (bot_slug, sha256, kind)
    WHERE status = 'ready';
CREATE INDEX ix_media_cache_warming ON media_cache (status, created_at)
    WHERE status = 'warming';

-- What the object store last said a key holds.
CREATE TABLE objects (
    bucket     TEXT NOT NULL,
    key        TEXT NOT NULL,
    etag       TEXT NOT NULL,
    sha256     TEXT NOT NULL,
    size_bytes INTEGER NOT NULL,
    checked_at REAL NOT NULL,
    PRIMARY KEY (bucket, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE batches (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    bot           TEXT NOT NULL,
    bucket        TEXT NOT NULL,
    prefix        TEXT NOT NULL,
    kind          TEXT,
    after_key     TEXT NOT NULL DEFAULT '',
    listed        INTEGER NOT NULL DEFAULT 0,
    submitted     INTEGER NOT NULL DEFAULT 0,
    listing_done  INTEGER NOT NULL DEFAULT 0,
    error_code    TEXT,
    error_message TEXT,
    created_at    REAL NOT NULL
) STRICT;

CREATE TABLE batch_jobs (
    batch INTEGER NOT NULL,
    job   INTEGER NOT NULL,
    PRIMARY KEY (batch, job)
) STRICT, WITHOUT ROWID;
