"""Writes: the lifecycle verbs as functions of a connection, run by the writer thread.

A record is applied only where the job's state allows its event (`core.jobs.TRANSITIONS`); one that
comes late changes nothing. Nothing here commits: that is the writer's, for a whole group.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import apsw

from prewarmd.core import records
from prewarmd.core.about import NOTHING
from prewarmd.core.jobs import (
    TRANSITIONS,
    UNFINISHED,
    JobEvent,
    JobId,
    JobState,
    Kind,
)
from prewarmd.store import queries
from prewarmd.store.base import Admission, BatchRow, JobRow, NewJob, Submitted
from prewarmd.store.tally import Tally


class Verbs:
    """The writes, with the clocks and identities they need."""

    def __init__(
        self,
        bot_ids: Mapping[str, int],
        ttl_s: float,
        wall: Callable[[], float],
        clock: Callable[[], float],
        tally: Tally,
    ) -> None:
        self.bot_ids = bot_ids
        self.ttl_s = ttl_s
        self.wall = wall
        self.clock = clock
        self.tally = tally

    # -- submits ---------------------------------------------------------------------------------

    def submit(self, db: apsw.Connection, jobs: Sequence[NewJob]) -> Submitted:
        """Admit all; see JobStore.submit for the rules."""
        now = self.wall()
        admissions = [self._known(db, job) or self._insert(db, job, now) for job in jobs]
        queued = [
            admission.job
            for admission in admissions
            if admission.created and admission.state is JobState.QUEUED
        ]
        rows = queries.jobs_of(db, self.bot_ids, queued)
        assert len(rows) == len(queued)
        return Submitted(admissions, rows)

    def _known(self, db: apsw.Connection, job: NewJob) -> Admission | None:
        """The unfinished job that this submit is, if there is one."""
        # The condition is the index's own, word for word: else SQLite would not use it.
        sql = """SELECT id, state FROM jobs WHERE bot = ? AND bucket = ? AND key = ? AND kind = ?
                  AND (state = 'queued' OR state = 'running' OR state = 'waiting')
                  AND is_probe = 0"""
        row = db.execute(sql, (job.bot, job.bucket, job.key, job.kind)).fetchone()
        if row is None and job.sha256 is not None:
            sql = """SELECT id, state FROM jobs WHERE bot = ? AND sha256 = ? AND kind = ?
                      AND (state = 'queued' OR state = 'running' OR state = 'waiting')
                      AND claimed = 1 AND is_probe = 0"""
            row = db.execute(sql, (job.bot, job.sha256, job.kind)).fetchone()
        return Admission(JobId(row[0]), JobState(row[1]), created=False) if row else None

    def _insert(self, db: apsw.Connection, job: NewJob, now: float) -> Admission:
        """A new row: ready when its content is known and ready, else queued."""
        sha256 = job.sha256 or self._unchanged(db, job, now)
        state = JobState.QUEUED
        if sha256 and queries.is_ready(db, self.bot_ids, job.bot, sha256, job.kind):
            sql = """SELECT id FROM jobs WHERE bot = ? AND bucket = ? AND key = ? AND kind = ?
                        AND sha256 = ? AND state = 'ready' ORDER BY id DESC LIMIT 1"""
            same = (job.bot, job.bucket, job.key, job.kind, sha256)
            if row := db.execute(sql, same).fetchone():
                return Admission(JobId(row[0]), JobState.READY, created=False)
            state = JobState.READY
        return Admission(self._add(db, job, state, sha256, now), state, created=True)

    def add_probe(self, db: apsw.Connection, job: NewJob) -> list[JobRow]:
        """A job that goes behind all others and sends the file_id that is ready; see
        JobStore.probe."""
        added = self._add(db, job, JobState.QUEUED, job.sha256, self.wall())
        db.execute("UPDATE jobs SET is_probe = 1, priority = 0 WHERE id = ?", (added,))
        return queries.jobs_of(db, self.bot_ids, [added])

    def _add(
        self, db: apsw.Connection, job: NewJob, state: JobState, sha256: str | None, now: float
    ) -> JobId:
        claimed, about = job.sha256 is not None, job.about or NOTHING
        db.execute(
            """INSERT INTO jobs (bot, bucket, key, kind, state, priority, size_bytes, sha256,
                                 claimed, created_at, updated_at,
                                 width, height, duration_s, thumbnail)
               VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?,
                       nullif(?, 0), nullif(?, 0), nullif(?, 0.0), nullif(?, ''))""",
            (
                job.bot, job.bucket, job.key, job.kind, state, job.priority, job.size_bytes,
                sha256 if claimed or state is JobState.READY else None, claimed, now, now,
                about.width, about.height, about.duration_s, about.thumbnail,
            ),
        )  # fmt: skip
        self.tally.moved(None, state, job.kind)
        if state is JobState.READY:
            self.tally.joined()
        return JobId(db.last_insert_rowid())

    def _unchanged(self, db: apsw.Connection, job: NewJob, now: float) -> str | None:
        """The content of a key that is known to be what it was: by its ETag, or asked lately."""
        sql = "SELECT etag, sha256, checked_at FROM objects WHERE bucket = ? AND key = ?"
        row = db.execute(sql, (job.bucket, job.key)).fetchone()
        if row is None:
            return None
        etag, sha256, checked = row
        lately = job.etag is None and checked <= now < checked + self.ttl_s
        return str(sha256) if lately or job.etag == etag else None

    # -- one turn of the engine ------------------------------------------------------------------

    def apply(self, db: apsw.Connection, turn: Sequence[records.Record]) -> None:
        """Write records in order, each where its job's state allows it."""
        now = self.wall()
        known = queries.states(
            db, [one.job for one in turn if not isinstance(one, records.Jobless)]
        )
        for record in turn:
            if isinstance(record, records.Jobless):
                self._note(db, record, now)
                continue
            if record.job not in known:
                continue
            before, kind = known[record.job]
            after = TRANSITIONS[before].get(records.EVENT_OF[type(record)])
            if after is None:
                continue
            known[record.job] = after, kind
            self.tally.moved(before, after, kind)
            self._write(db, record, after, now)

    def _write(
        self, db: apsw.Connection, record: records.Record, after: JobState, now: float
    ) -> None:
        match record:
            case records.Complete():
                self._ready(db, record.job, record.sha256, record.size_bytes, now)
                self._catalogue(db, record, now)
                self.tally.doubled(record.duplicates)
            case records.Join():
                self._ready(db, record.job, record.sha256, record.size_bytes, now)
                self.tally.joined()
            case records.Fail(job, code, detail, attempt, maybe_sent):
                db.execute(
                    """UPDATE jobs SET state = ?, error_code = ?, error_message = ?, attempt = ?,
                              maybe_sent = ?, not_before = NULL, updated_at = ? WHERE id = ?""",
                    (after, code, detail, attempt, maybe_sent, now, job),
                )
            case records.Snooze(job, not_before, code, detail, attempt, maybe_sent):
                db.execute(
                    """UPDATE jobs SET state = ?, error_code = ?, error_message = ?, attempt = ?,
                              maybe_sent = ?, not_before = ?, updated_at = ? WHERE id = ?""",
                    (after, code, detail, attempt, maybe_sent, now + not_before - self.clock(),
                     now, job),
                )  # fmt: skip
            case records.Release(job, code, detail):
                db.execute(
                    """UPDATE jobs SET state = ?, not_before = NULL, updated_at = ?,
                              error_code = coalesce(nullif(?, ''), error_code),
                              error_message = coalesce(nullif(?, ''), error_message)
                        WHERE id = ?""",
                    (after, now, code, detail, job),
                )
            case records.Start(job, _) | records.Wake(job) | records.Cancel(job):
                db.execute(
                    "UPDATE jobs SET state = ?, not_before = NULL, updated_at = ? WHERE id = ?",
                    (after, now, job),
                )
            case _:
                raise AssertionError(f"{type(record).__name__} moves no job")

    def _note(self, db: apsw.Connection, record: records.Jobless, now: float) -> None:
        """What says nothing of a job."""
        match record:
            case records.See():
                self._see(db, record, now)
            case records.Hold():
                self._hold(db, record, now)
            case records.FileIdStale():
                self.note_stale(db, record)
            case records.MessageGone(bot, sha256, kind, chat_id, message_id):
                db.execute(
                    """UPDATE media_cache SET warmup_message_id = NULL, updated_at = ?
                        WHERE bot_slug = ? AND sha256 = ? AND kind = ? AND warmup_chat_id = ?
                              AND warmup_message_id = ?""",
                    (now, bot, sha256, kind, chat_id, message_id),
                )

    def note_stale(self, db: apsw.Connection, stale: records.FileIdStale) -> None:
        """A row of the catalogue is in error, if its file_id is still that one."""
        before = db.total_changes()
        db.execute(
            """UPDATE media_cache SET status = 'error', last_error = ?, updated_at = ?
                WHERE bot_slug = ? AND sha256 = ? AND kind = ? AND bot_id = ? AND tg_file_id = ?
                      AND status = 'ready'""",
            (
                stale.detail, self.wall(), stale.bot, stale.sha256, stale.kind,
                self.bot_ids[stale.bot], stale.file_id,
            ),
        )  # fmt: skip
        self.tally.staled(db.total_changes() - before)

    def _hold(self, db: apsw.Connection, hold: records.Hold, now: float) -> None:
        db.execute(
            """INSERT INTO holds
                      (bot_slug, chat_id, bot_id, held_until, factor, updated_at, moved_to)
               VALUES (?, ?, ?, ?, ?, ?, ?)
               ON CONFLICT (bot_slug, chat_id) DO UPDATE SET
                      bot_id = excluded.bot_id, held_until = excluded.held_until,
                      factor = excluded.factor, updated_at = excluded.updated_at,
                      moved_to = excluded.moved_to""",
            (
                hold.bot, hold.chat_id, self.bot_ids[hold.bot],
                now + hold.until - self.clock(), hold.factor, now, hold.moved_to,
            ),
        )  # fmt: skip

    def _ready(
        self, db: apsw.Connection, job: JobId, sha256: str, size_bytes: int, now: float
    ) -> None:
        db.execute(
            """UPDATE jobs SET state = 'ready', sha256 = ?, size_bytes = ?, error_code = NULL,
                      error_message = NULL, not_before = NULL, updated_at = ? WHERE id = ?""",
            (sha256, size_bytes, now, job),
        )

    def _catalogue(self, db: apsw.Connection, record: records.Complete, now: float) -> None:
        bot_id = self.bot_ids[record.bot]
        content = (record.bot, record.sha256, record.kind)
        sql = """SELECT bot_id, status FROM media_cache
                  WHERE bot_slug = ? AND sha256 = ? AND kind = ?"""
        old = db.execute(sql, content).fetchone()
        db.execute(
            """INSERT INTO media_cache (bot_slug, sha256, kind, bot_id, actual_kind, tg_file_id,
                      tg_file_unique_id, warmup_chat_id, warmup_message_id, warmup_at, status,
                      created_at, updated_at, job)
               VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'ready', ?, ?, ?)
               ON CONFLICT (bot_slug, sha256, kind) DO UPDATE SET
                      bot_id = excluded.bot_id, actual_kind = excluded.actual_kind,
                      tg_file_id = excluded.tg_file_id,
                      tg_file_unique_id = excluded.tg_file_unique_id,
                      warmup_chat_id = excluded.warmup_chat_id,
                      warmup_message_id = excluded.warmup_message_id,
                      warmup_at = excluded.warmup_at, status = 'ready', last_error = NULL,
                      updated_at = excluded.updated_at, job = excluded.job""",
            (
                *content, bot_id, record.actual_kind, record.file_id, record.file_unique_id,
                record.chat_id, record.message_id, now, now, now, record.job,
            ),
        )  # fmt: skip
        self.tally.staled(-(old is not None and old[1] == "error"))
        was_stale = old is not None and old[0] != bot_id
        self.tally.catalogued(record.bot, new=old is None, was_stale=was_stale)

    def _see(self, db: apsw.Connection, record: records.See, now: float) -> None:
        db.execute(
            """INSERT INTO objects (bucket, key, etag, sha256, size_bytes, checked_at)
               VALUES (?, ?, ?, ?, ?, ?)
               ON CONFLICT (bucket, key) DO UPDATE SET etag = excluded.etag,
                      sha256 = excluded.sha256, size_bytes = excluded.size_bytes,
                      checked_at = excluded.checked_at""",
            (
                record.bucket,
                record.key,
                record.etag,
                record.sha256,
                record.size_bytes,
                now + record.asked - self.clock(),
            ),  # fmt: skip,
        )

    # -- starts, clients, batches ----------------------------------------------------------------

    def adopt_orphans(self, db: apsw.Connection) -> int:
        """running -> queued, maybe sent, uncharged."""
        now = self.wall()
        rows: list[tuple[Any, ...]] = db.execute(
            "SELECT id, kind FROM jobs WHERE state = 'running'"
        ).fetchall()
        for job_id, kind in rows:
            self.tally.moved(JobState.RUNNING, JobState.QUEUED, Kind(kind))
            db.execute(
                """UPDATE jobs SET state = 'queued', maybe_sent = 1, error_code = 'MaybeSent',
                          error_message = 'the daemon died while it was with a child',
                          updated_at = ? WHERE id = ?""",
                (now, job_id),
            )
        return len(rows)

    def retry(self, db: apsw.Connection, job_id: JobId) -> JobRow | JobState | None:
        """failed or cancelled -> queued, unless another unfinished job is the same."""
        row = queries.job(db, self.bot_ids, job_id)
        if row is None:
            return None
        if JobEvent.RETRIED not in TRANSITIONS[row.state]:
            return row.state
        twin = self._known(
            db,
            NewJob(row.bot, row.bucket, row.key, row.kind, row.sha256 if row.claimed else None),
        )
        if twin is not None:
            return JobState.QUEUED
        db.execute(
            """UPDATE jobs SET state = 'queued', attempt = 0, not_before = NULL, updated_at = ?
                WHERE id = ?""",
            (self.wall(), job_id),
        )
        self.tally.moved(row.state, JobState.QUEUED, row.kind)
        return queries.job(db, self.bot_ids, job_id)

    def cancel(self, db: apsw.Connection, job_id: JobId) -> JobState | None:
        """queued or waiting -> cancelled; the state it has then."""
        row = queries.job(db, self.bot_ids, job_id)
        if row is None:
            return None
        if row.state not in UNFINISHED - {JobState.RUNNING}:
            return row.state
        self.tally.moved(row.state, JobState.CANCELLED, row.kind)
        db.execute(
            "UPDATE jobs SET state = 'cancelled', updated_at = ? WHERE id = ?",
            (self.wall(), job_id),
        )
        return JobState.CANCELLED

    def add_batch(
        self, db: apsw.Connection, bot: str, bucket: str, prefix: str, kind: Kind | None
    ) -> BatchRow:
        """A prefix, from its beginning."""
        db.execute(
            "INSERT INTO batches (bot, bucket, prefix, kind, created_at) VALUES (?, ?, ?, ?, ?)",
            (bot, bucket, prefix, kind, self.wall()),
        )
        row = queries.batch(db, db.last_insert_rowid())
        assert row is not None
        return row

    def submit_page(
        self,
        db: apsw.Connection,
        batch: int,
        jobs: Sequence[NewJob],
        listed: int,
        after: str,
        done: bool,
    ) -> Submitted:
        """One listed page and the checkpoint behind it."""
        submitted = self.submit(db, jobs)
        before = db.total_changes()
        db.executemany(
            "INSERT OR IGNORE INTO batch_jobs (batch, job) VALUES (?, ?)",
            [(batch, admission.job) for admission in submitted.admissions],
        )
        db.execute(
            """UPDATE batches SET listed = listed + ?, submitted = submitted + ?, after_key = ?,
                      listing_done = ? WHERE id = ?""",
            (listed, db.total_changes() - before, after, done, batch),
        )
        return submitted

    def fail_batch(self, db: apsw.Connection, batch: int, code: str, detail: str) -> None:
        """Its listing ends here."""
        db.execute(
            "UPDATE batches SET listing_done = 1, error_code = ?, error_message = ? WHERE id = ?",
            (code, detail, batch),
        )
