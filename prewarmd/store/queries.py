"""Reads: every SELECT of the SQLite store, and how a row becomes a value."""

from collections.abc import Mapping, Sequence
from typing import Any

import apsw

from prewarmd.core.about import About
from prewarmd.core.jobs import UNFINISHED, JobId, JobState, Kind
from prewarmd.store.base import BatchRow, Counts, HoldRow, JobQuery, JobRow, MediaRow

_JOB = """
SELECT j.id, j.bot, j.bucket, j.key, j.kind, j.state, j.priority, j.attempt, j.maybe_sent,
       j.size_bytes, j.sha256, j.claimed, o.etag, o.sha256, o.size_bytes,
       j.error_code, j.error_message,
       j.not_before, j.created_at, j.updated_at, j.is_probe,
       j.width, j.height, j.duration_s, j.thumbnail,
       m.bot_id, m.actual_kind, m.tg_file_id, m.tg_file_unique_id
  FROM jobs j
  LEFT JOIN objects o ON o.bucket = j.bucket AND o.key = j.key
  LEFT JOIN media_cache m ON m.bot_slug = j.bot AND m.sha256 = j.sha256 AND m.kind = j.kind
        AND m.status = 'ready' AND j.state = 'ready'
"""


def job_row(row: tuple[Any, ...], bot_ids: Mapping[str, int]) -> JobRow:
    """A row of _JOB; the file_id only when it is the bot's of today."""
    (
        job_id, bot, bucket, key, kind, state, priority, attempt, maybe_sent, size_bytes, sha256,
        claimed, etag, etag_sha256, seen_bytes, error_code, error_message, not_before, created,
        updated, is_probe, *told,
        bot_id, actual_kind, file_id, unique_id,
    ) = row  # fmt: skip
    if bot_id is None or bot_id != bot_ids.get(bot):
        actual_kind = file_id = unique_id = None
    return JobRow(
        id=JobId(job_id), bot=bot, bucket=bucket, key=key, kind=Kind(kind), state=JobState(state),
        priority=priority, attempt=attempt, maybe_sent=bool(maybe_sent), size_bytes=size_bytes,
        sha256=sha256, claimed=bool(claimed), etag=etag, etag_sha256=etag_sha256,
        seen_bytes=seen_bytes,
        actual_kind=actual_kind, file_id=file_id, file_unique_id=unique_id,
        error_code=error_code, error_message=error_message, is_probe=bool(is_probe),
        not_before_unix=not_before,
        created_unix=created, updated_unix=updated,
        about=_about(*told) if any(told) else None,
    )  # fmt: skip


def _about(
    width: int | None, height: int | None, duration_s: float | None, thumbnail: str | None
) -> About:
    return About(width or 0, height or 0, duration_s or 0.0, thumbnail or "")


def job(db: apsw.Connection, bot_ids: Mapping[str, int], job_id: JobId) -> JobRow | None:
    """One job."""
    row = db.execute(_JOB + "WHERE j.id = ?", (job_id,)).fetchone()
    return job_row(row, bot_ids) if row else None


def jobs_of(db: apsw.Connection, bot_ids: Mapping[str, int], ids: Sequence[JobId]) -> list[JobRow]:
    """Many jobs, rising by id, in one statement: a third of what they cost one by one."""
    where = "WHERE j.id IN (SELECT value FROM json_each(?)) ORDER BY j.id"
    return [job_row(row, bot_ids) for row in db.execute(_JOB + where, (_array(ids),))]


def states(db: apsw.Connection, ids: Sequence[JobId]) -> dict[JobId, tuple[JobState, Kind]]:
    """The states and kinds of many jobs; those that there are not are left out."""
    sql = "SELECT id, state, kind FROM jobs WHERE id IN (SELECT value FROM json_each(?))"
    rows = db.execute(sql, (_array(ids),))
    return {JobId(job_id): (JobState(state), Kind(kind)) for job_id, state, kind in rows}


def _array(ids: Sequence[JobId]) -> str:
    return f"[{','.join(map(str, ids))}]"


def unfinished(
    db: apsw.Connection, bot_ids: Mapping[str, int], after: JobId, limit: int
) -> list[JobRow]:
    """A page of unfinished jobs, rising by id."""
    where = """WHERE j.id > ? AND j.state IN ('queued', 'running', 'waiting')
               ORDER BY j.id LIMIT ?"""
    return [job_row(row, bot_ids) for row in db.execute(_JOB + where, (after, limit))]


def jobs(db: apsw.Connection, bot_ids: Mapping[str, int], query: JobQuery) -> list[JobRow]:
    """A page of jobs, newest first."""
    where, values = ["1"], []
    for clause, value in (
        ("j.state = ?", query.state),
        ("j.bot = ?", query.bot),
        ("j.id < ?", query.before),
    ):
        if value is not None:
            where.append(clause)
            values.append(value)
    sql = _JOB + f"WHERE {' AND '.join(where)} ORDER BY j.id DESC LIMIT ?"
    return [job_row(row, bot_ids) for row in db.execute(sql, (*values, query.limit))]


def latest_job(
    db: apsw.Connection,
    bot_ids: Mapping[str, int],
    bot: str,
    bucket: str | None,
    key: str | None,
    sha256: str | None,
    kind: Kind | None,
) -> JobRow | None:
    """The newest job of a bot for a key, or for a content."""
    where = "j.bucket = ?2 AND j.key = ?3" if key is not None else "j.sha256 = ?4"
    row = db.execute(
        _JOB
        + f"""WHERE j.bot = ?1 AND {where} AND (?5 IS NULL OR j.kind = ?5)
                   ORDER BY j.id DESC LIMIT 1""",
        (bot, bucket, key, sha256, kind),
    ).fetchone()
    return job_row(row, bot_ids) if row else None


_MEDIA = """
SELECT bot_slug, sha256, kind, actual_kind, tg_file_id, tg_file_unique_id, warmup_at
  FROM media_cache
 WHERE status = 'ready' AND bot_slug = ? AND sha256 = ? AND kind = ? AND bot_id = ?
"""


def media(
    db: apsw.Connection, bot_ids: Mapping[str, int], bot: str, sha256: str, kind: Kind
) -> MediaRow | None:
    """The catalogue's ready row, if it is the bot's of today."""
    row = db.execute(_MEDIA, (bot, sha256, kind, bot_ids.get(bot, -1))).fetchone()
    if row is None:
        return None
    slug, content, row_kind, actual, file_id, unique_id, ready = row
    return MediaRow(slug, content, Kind(row_kind), actual, file_id, unique_id, ready)


def is_ready(
    db: apsw.Connection, bot_ids: Mapping[str, int], bot: str, sha256: str, kind: Kind
) -> bool:
    """Whether the catalogue answers for a content."""
    return db.execute(_MEDIA, (bot, sha256, kind, bot_ids.get(bot, -1))).fetchone() is not None


def media_by_key(
    db: apsw.Connection,
    bot_ids: Mapping[str, int],
    bot: str,
    bucket: str,
    key: str,
    kind: Kind | None,
) -> MediaRow | None:
    """The media of a key: the content of its newest ready job; without one, what the store last
    said it holds. So an overwritten object keeps answering its old file_id until the new content
    is ready, and not a moment longer."""
    sql = """
        SELECT sha256, kind FROM jobs
         WHERE bot = ? AND bucket = ? AND key = ? AND state = 'ready' AND (?4 IS NULL OR kind = ?4)
         ORDER BY updated_at DESC, id DESC LIMIT 1
    """
    row = db.execute(sql, (bot, bucket, key, kind)).fetchone()
    if row is not None:
        return media(db, bot_ids, bot, row[0], Kind(row[1]))
    seen = db.execute(
        "SELECT sha256 FROM objects WHERE bucket = ? AND key = ?", (bucket, key)
    ).fetchone()
    if seen is None:
        return None
    kinds = [kind] if kind else list(Kind)
    found = (media(db, bot_ids, bot, seen[0], each) for each in kinds)
    return next((row for row in found if row is not None), None)


_BATCH = """
SELECT id, bot, bucket, prefix, kind, after_key, listed, submitted, listing_done, error_code,
       error_message
  FROM batches
"""


def holds(db: apsw.Connection, bot_ids: Mapping[str, int]) -> list[HoldRow]:
    """What is remembered of limits, of bots that are still the slug's."""
    sql = "SELECT bot_slug, chat_id, held_until, factor, updated_at, moved_to, bot_id FROM holds"
    return [HoldRow(*row[:6]) for row in db.execute(sql) if bot_ids.get(row[0]) == row[6]]


def _batch_row(db: apsw.Connection, row: tuple[Any, ...]) -> BatchRow:
    batch_id, bot, bucket, prefix, kind, after, listed, submitted, done, code, message = row
    sql = """SELECT j.state, count(*) FROM batch_jobs b JOIN jobs j ON j.id = b.job
              WHERE b.batch = ? GROUP BY j.state"""
    grouped: list[Any] = db.execute(sql, (batch_id,)).fetchall()
    states: dict[str, int] = dict(grouped)
    return BatchRow(
        batch_id, bot, bucket, prefix, Kind(kind) if kind else None, after, listed, submitted,
        states.get("ready", 0), states.get("failed", 0), states.get("cancelled", 0), bool(done),
        code, message,
    )  # fmt: skip


def batch(db: apsw.Connection, batch_id: int) -> BatchRow | None:
    """One batch, with what became of its jobs."""
    row = db.execute(_BATCH + "WHERE id = ?", (batch_id,)).fetchone()
    return _batch_row(db, row) if row else None


def open_batches(db: apsw.Connection) -> list[BatchRow]:
    """Batches whose listing goes on."""
    rows = db.execute(_BATCH + "WHERE listing_done = 0 ORDER BY id").fetchall()
    return [_batch_row(db, row) for row in rows]


def counts(db: apsw.Connection, bot_ids: Mapping[str, int]) -> Counts:
    """The sums, by scanning; once, at the start."""
    found = Counts(by_state=dict.fromkeys(JobState, 0), unfinished_by_kind=dict.fromkeys(Kind, 0))
    for state, kind, number in db.execute(
        "SELECT state, kind, count(*) FROM jobs GROUP BY state, kind"
    ):
        found.by_state[JobState(state)] += number
        if JobState(state) in UNFINISHED:
            found.unfinished_by_kind[Kind(kind)] += number
    for slug, bot_id, number, stale in db.execute(
        # In the table's own order: by way of an index each row would be sought for its bot_id.
        """SELECT bot_slug, bot_id, count(*), sum(status = 'error') FROM media_cache NOT INDEXED
            GROUP BY bot_slug, bot_id"""
    ):
        found.catalogue_rows += number
        found.stale_rows += stale
        if slug in bot_ids and bot_ids[slug] != bot_id:
            found.stale_bot_rows[slug] = found.stale_bot_rows.get(slug, 0) + number
    return found
