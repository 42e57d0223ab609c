"""Where jobs come in: submits, pages of listings, and what the store held at the start.

A submit is acknowledged after its commit, and only then does the engine hold the job.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from prewarmd.core.commands import Reply, SubmitPage
from prewarmd.core.content import KeyPattern
from prewarmd.core.events import (
    Admitted,
    BatchOpened,
    CancelAsked,
    Forgotten,
    HoldsRemembered,
    Loaded,
    PageSubmitted,
    WakeAsked,
)
from prewarmd.core.jobs import Job, JobId, JobState, Kind
from prewarmd.core.records import Hold
from prewarmd.errors import StoreUnwritableError
from prewarmd.sources.listing import jobs_of_page
from prewarmd.store.base import BatchRow, HoldRow, JobRow, JobStore, NewJob, Renewal, Submitted
from prewarmd.supervisor.clock import monotonic, to_engine, wall
from prewarmd.supervisor.loop import Loop

PAGE_ROWS = 5000
ORPHAN_DELAY_S = 2.0
"""An upload whose supervisor died may still be arriving: give it that long."""


class QueueFullError(Exception):
    """The queue holds as many unfinished jobs as it may."""


def job_of(row: JobRow, *, orphan_delay_s: float = 0.0) -> Job:
    """The engine's job for a committed row."""
    not_before = to_engine(row.not_before_unix) if row.not_before_unix else 0.0
    if orphan_delay_s and row.maybe_sent and row.state is JobState.QUEUED:
        not_before = monotonic() + orphan_delay_s
    return Job(
        row.id, row.bot, row.bucket, row.key, row.kind, to_engine(row.created_unix),
        priority=row.priority,
        sha256=row.sha256 if row.claimed else None,
        claimed=row.claimed,
        size_bytes=row.seen_bytes if row.size_bytes is None else row.size_bytes,
        etag=row.etag,
        etag_sha256=row.etag_sha256,
        attempt=row.attempt,
        maybe_sent=row.maybe_sent,
        not_before=not_before,
        about=row.about,
        is_probe=row.is_probe,
        state=row.state,
    )  # fmt: skip


def hold_of(row: HoldRow) -> Hold:
    """What the engine is told of a remembered hold. Telegram's limits change, so how a pace was
    adapted counts for half after a day."""
    days = max(0.0, wall() - row.updated_unix) / 86_400
    factor = 1.0 + (row.factor - 1.0) * 0.5**days
    return Hold(row.bot, row.chat_id, to_engine(row.until_unix), factor, row.moved_to)


class Intake:
    """The door, for the API and for listings."""

    def __init__(self, loop: Loop, store: JobStore, pattern: KeyPattern | None) -> None:
        self._loop = loop
        self._store = store
        self._pattern = pattern
        self._batches: dict[int, BatchRow] = {}
        self._reserved = 0
        self._ahead: set[JobId] | None = set()
        """Jobs that came in by themselves while the store is read in; None once it is."""
        loop.submit_page = self.submit_page

    async def load(self, batches: Sequence[BatchRow]) -> None:
        """Hand everything unfinished to the engine, page by page, while the API accepts.

        `batches` are those that were open before the API accepted any: what is read later holds
        the new ones, too. They are listed after the jobs are in, so that they know the room there
        is.

        A job that a client brings in meanwhile is handed over by whoever committed it, and may be
        done with before the page that holds it is here. Pages are read in the writer's order, so
        whatever is in one was handed over before it: it is told by `_ahead` and passed over.
        """
        self._loop.put(HoldsRemembered([hold_of(row) for row in await self._store.holds()]))
        after = JobId(0)
        while page := await self._store.claim(after, PAGE_ROWS):
            assert self._ahead is not None
            old = [row for row in page if row.id not in self._ahead]
            self._loop.put(Admitted([job_of(row, orphan_delay_s=ORPHAN_DELAY_S) for row in old]))
            after = page[-1].id
        self._ahead = None
        for batch in batches:
            self._open(batch)
        self._loop.put(Loaded())

    def with_content(self, job: NewJob) -> NewJob:
        """The job with the content that its key carries, when nobody named one."""
        carried = self._pattern.match(job.key) if self._pattern and not job.sha256 else None
        if carried is None:
            return job
        return replace(job, sha256=carried.sha256)

    def carried(self, key: str) -> str | None:
        """The content a key promises by its layout."""
        found = self._pattern.match(key) if self._pattern else None
        return found.sha256 if found else None

    async def submit(self, jobs: Sequence[NewJob]) -> Submitted:
        """Commit all or none; QueueFullError when there is no room for all."""
        self._check_room(len(jobs))
        self._reserved += len(jobs)
        try:
            done = await self._store.submit([self.with_content(job) for job in jobs])
        finally:
            self._reserved -= len(jobs)
        self._admit(done.rows)
        return done

    def _check_room(self, jobs: int) -> None:
        if not self._loop.engine.has_room_for(jobs + self._reserved):
            raise QueueFullError
        if self._loop.engine.stalled:
            raise StoreUnwritableError(self._loop.engine.stalled)

    def _admit(self, rows: Sequence[JobRow]) -> None:
        if self._ahead is not None:
            self._ahead.update(row.id for row in rows)
        if rows:
            self._loop.put(Admitted([job_of(row) for row in rows]))

    async def open_batch(self, bot: str, bucket: str, prefix: str, kind: Kind | None) -> BatchRow:
        """Acknowledge a prefix; it is listed page by page as the queue has room."""
        batch = await self._store.add_batch(bot, bucket, prefix, kind)
        self._open(batch)
        return batch

    def _open(self, batch: BatchRow) -> None:
        self._batches[batch.id] = batch
        self._loop.put(BatchOpened(batch.id, batch.bucket, batch.prefix, batch.after))

    async def submit_page(self, page: SubmitPage) -> None:
        """Commit a listed page with its checkpoint; tried until the store takes it."""
        batch = self._batches[page.batch]
        objects = [tuple(one) for one in page.objects]
        jobs = jobs_of_page(
            objects, batch.bot, batch.bucket, batch.kind, self._pattern  # type: ignore[arg-type]  # a page's objects are triples, checked by the codec's caller
        )  # fmt: skip
        done = await self._loop.until_written(
            lambda: self._store.submit_page(batch.id, jobs, len(objects), page.after, page.done)
        )
        self._admit(done.rows)
        if page.done:
            del self._batches[batch.id]
        self._loop.put(PageSubmitted(page.batch, page.after, page.done))

    async def cancel(self, job: JobId) -> tuple[bool, JobState | None]:
        """Take a job back: (whether, the state that forbids it; None: there is no such job)."""
        reply = await self._ask(lambda ticket: CancelAsked(ticket, job))
        if reply.known:
            return reply.refused_by is None, reply.refused_by
        before = await self._store.job(job)
        if before is None or before.state not in (JobState.QUEUED, JobState.WAITING):
            return False, before.state if before else None
        state = await self._store.cancel(job)
        if state is JobState.CANCELLED:
            # A job that was read in and started meanwhile is the engine's to finish.
            self._loop.put(Forgotten(job))
        return state is JobState.CANCELLED, state

    async def stale(self, bot: str, sha256: str, kind: Kind, file_id: str | None) -> Renewal | None:
        """A file_id is good no more; see JobStore.stale."""
        self._check_room(1)
        done = await self._store.stale(bot, sha256, kind, file_id)
        if done is not None and done.submitted is not None:
            self._admit(done.submitted.rows)
        return done

    async def probe(self, chance: float) -> bool:
        """See JobStore.probe; whether there was anything to probe."""
        self._check_room(1)
        rows = await self._store.probe(chance)
        self._admit(rows)
        return bool(rows)

    async def retry(self, job: JobId) -> tuple[bool, JobState | None]:
        """Queue a finished job again, or wake a waiting one: (whether, the state otherwise)."""
        reply = await self._ask(lambda ticket: WakeAsked(ticket, job))
        if reply.known:
            return reply.refused_by is None, reply.refused_by
        row = await self._store.retry(job)
        if row is None or isinstance(row, JobState):
            return False, row
        self._admit([row])
        return True, None

    async def _ask(self, make: Any) -> Reply:
        return await self._loop.ask(make)
