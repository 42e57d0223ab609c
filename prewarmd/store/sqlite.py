"""The embedded store: SQLite in WAL mode, every commit synced, one writer.

One thread owns the only connection that writes, another one reads; both are `writer.Thread`. A read
sees what is committed and nothing else, which is all it takes for "a `ready` is visible only after
its commit". Two connections that write could corrupt a WAL in SQLite before 3.51.3; apsw brings a
newer one, and there is only one writer anyway.

A marker file says that a database was made here: a missing or empty one is then damage, not a
fresh start.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Self

import apsw

from prewarmd.core.jobs import JobId, JobState, Kind
from prewarmd.core.records import Record
from prewarmd.errors import StoreDamagedError
from prewarmd.store import queries
from prewarmd.store.base import (
    BatchRow,
    Counts,
    HoldRow,
    JobQuery,
    JobRow,
    MediaRow,
    Message,
    NewJob,
    Recollection,
    Renewal,
    Submitted,
)
from prewarmd.store.lock import StateLock
from prewarmd.store.migrate import migrate
from prewarmd.store.renewals import Renewals, messages
from prewarmd.store.tally import Tally
from prewarmd.store.verbs import Verbs
from prewarmd.store.writer import Thread

DATABASE = "prewarmd.db"
MARKER = "initialised"


class SqliteStore:
    """JobStore over one file in the state directory. Open it with `open`."""

    def __init__(
        self,
        state_dir: Path,
        bot_ids: Mapping[str, int],
        ttl_s: float,
        wall: Callable[[], float],
        clock: Callable[[], float],
    ) -> None:
        self.bot_ids: Mapping[str, int] = dict(bot_ids)
        self._tally = Tally()
        self._verbs = Verbs(self.bot_ids, ttl_s, wall, clock, self._tally)
        self._renewals = Renewals(self._verbs)
        self._path = state_dir / DATABASE
        self._marker = state_dir / MARKER
        self._lock: StateLock | None = None
        self._write = Thread(
            "prewarmd-writer",
            self._open_writer,
            writes=True,
            began=self._tally.begin,
            committed=self._tally.commit,
        )
        self._read = Thread("prewarmd-reader", self._open_reader, writes=False)

    @classmethod
    async def open(
        cls,
        state_dir: Path,
        *,
        bot_ids: Mapping[str, int],
        ttl_s: float,
        wall: Callable[[], float],
        clock: Callable[[], float],
    ) -> Self:
        """Own the state directory and open its database.

        Raises AlreadyRunningError, StoreUnwritableError or StoreDamagedError; nothing is changed
        then. `clock` is the engine's: it is what a Snooze's `not_before` is counted in.
        """
        lock = StateLock.acquire(state_dir)
        store = cls(state_dir, bot_ids, ttl_s, wall, clock)
        store._lock = lock
        async with AsyncExitStack() as undo:
            undo.push_async_callback(store.close)
            await store._write.start()
            await store._read.start()
            undo.pop_all()
        return store

    def _open_writer(self) -> apsw.Connection:
        size_bytes = self._path.stat().st_size if self._path.exists() else 0
        if self._marker.exists() and size_bytes == 0:
            raise StoreDamagedError(
                f"{self._path} is missing or empty, but was written before",
                f"restore it from a backup, or delete {self._marker} to start afresh",
            )
        fresh = size_bytes == 0
        connection = apsw.Connection(str(self._path))
        with ExitStack() as undo:
            undo.callback(connection.close)
            connection.set_busy_timeout(5000)
            for name, value in (
                ("journal_mode", "wal"),
                ("synchronous", "full"),
                ("wal_autocheckpoint", 4000),
                ("journal_size_limit", 64 << 20),
                ("foreign_keys", 1),
                ("trusted_schema", 0),
                ("cell_size_check", 1),
                ("temp_store", "memory"),
                ("cache_size", -16384),
            ):
                connection.pragma(name, value)
            migrate(connection)
            if not fresh and size_bytes < 256 << 20:
                verdict = connection.pragma("quick_check")
                if verdict != "ok":
                    raise StoreDamagedError(
                        f"{self._path} is damaged: {verdict}", "restore it from a backup"
                    )
            self._tally.committed = queries.counts(connection, self.bot_ids)
            undo.pop_all()
        self._marker.touch(mode=0o600)
        self._sync_directory()
        return connection

    def _sync_directory(self) -> None:
        fd = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def _open_reader(self) -> apsw.Connection:
        connection = apsw.Connection(str(self._path), flags=apsw.SQLITE_OPEN_READONLY)
        connection.set_busy_timeout(5000)
        connection.pragma("query_only", 1)
        return connection

    # -- writes: each resolves after its commit --------------------------------------------------

    async def submit(self, jobs: Sequence[NewJob]) -> Submitted:
        """See JobStore."""
        return await self._write.ask(lambda db: self._verbs.submit(db, jobs))

    async def apply(self, records: Sequence[Record]) -> None:
        """See JobStore."""
        await self._write.ask(lambda db: self._verbs.apply(db, records))

    async def adopt_orphans(self) -> int:
        """See JobStore."""
        return await self._write.ask(self._verbs.adopt_orphans)

    async def retry(self, job: JobId) -> JobRow | JobState | None:
        """See JobStore."""
        return await self._write.ask(lambda db: self._verbs.retry(db, job))

    async def cancel(self, job: JobId) -> JobState | None:
        """See JobStore."""
        return await self._write.ask(lambda db: self._verbs.cancel(db, job))

    async def add_batch(self, bot: str, bucket: str, prefix: str, kind: Kind | None) -> BatchRow:
        """See JobStore."""
        return await self._write.ask(
            lambda db: self._verbs.add_batch(db, bot, bucket, prefix, kind)
        )

    async def submit_page(
        self, batch: int, jobs: Sequence[NewJob], listed: int, after: str, done: bool
    ) -> Submitted:
        """See JobStore."""
        return await self._write.ask(
            lambda db: self._verbs.submit_page(db, batch, jobs, listed, after, done)
        )

    async def fail_batch(self, batch: int, code: str, detail: str) -> None:
        """See JobStore."""
        await self._write.ask(lambda db: self._verbs.fail_batch(db, batch, code, detail))

    async def recall(self, asked: Sequence[tuple[str, str, Kind]]) -> list[Recollection]:
        """See JobStore. A read, but in the writer's order: it sees all that was asked before."""
        return await self._write.ask(lambda db: [self._renewals.recall(db, *one) for one in asked])

    async def stale(self, bot: str, sha256: str, kind: Kind, file_id: str | None) -> Renewal | None:
        """See JobStore."""
        return await self._write.ask(
            lambda db: self._renewals.stale(db, bot, sha256, kind, file_id)
        )

    async def probe(self, chance: float) -> list[JobRow]:
        """See JobStore."""
        return await self._write.ask(lambda db: self._renewals.probe(db, chance))

    async def forget_messages(self, bot: str, gone: Sequence[tuple[int, int]]) -> int:
        """See JobStore."""
        return await self._write.ask(lambda db: self._renewals.forget_messages(db, bot, gone))

    # -- reads: committed data -------------------------------------------------------------------

    async def claim(self, after: JobId, limit: int) -> list[JobRow]:
        """See JobStore."""
        return await self._write.ask(lambda db: queries.unfinished(db, self.bot_ids, after, limit))

    async def holds(self) -> list[HoldRow]:
        """See JobStore."""
        return await self._read.ask(lambda db: queries.holds(db, self.bot_ids))

    async def messages(self, bot: str, before_unix: float, after: int, limit: int) -> list[Message]:
        """See JobStore."""
        bot_id = self.bot_ids.get(bot, -1)
        return await self._read.ask(lambda db: messages(db, bot, bot_id, before_unix, after, limit))

    async def open_batches(self) -> list[BatchRow]:
        """See JobStore."""
        return await self._read.ask(queries.open_batches)

    async def batch(self, batch: int) -> BatchRow | None:
        """See JobStore."""
        return await self._read.ask(lambda db: queries.batch(db, batch))

    async def job(self, job: JobId) -> JobRow | None:
        """See JobStore."""
        return await self._read.ask(lambda db: queries.job(db, self.bot_ids, job))

    async def jobs(self, query: JobQuery) -> list[JobRow]:
        """See JobStore."""
        return await self._read.ask(lambda db: queries.jobs(db, self.bot_ids, query))

    async def media(self, bot: str, sha256: str, kind: Kind) -> MediaRow | None:
        """See JobStore."""
        return await self._read.ask(lambda db: queries.media(db, self.bot_ids, bot, sha256, kind))

    async def media_by_key(
        self, bot: str, bucket: str, key: str, kind: Kind | None
    ) -> MediaRow | None:
        """See JobStore."""
        return await self._read.ask(
            lambda db: queries.media_by_key(db, self.bot_ids, bot, bucket, key, kind)
        )

    async def latest_job(
        self,
        bot: str,
        *,
        bucket: str | None = None,
        key: str | None = None,
        sha256: str | None = None,
        kind: Kind | None = None,
    ) -> JobRow | None:
        """See JobStore."""
        return await self._read.ask(
            lambda db: queries.latest_job(db, self.bot_ids, bot, bucket, key, sha256, kind)
        )

    def counts(self) -> Counts:
        """See JobStore."""
        return self._tally.committed

    async def close(self) -> None:
        """See JobStore."""
        await self._read.stop()
        await self._write.stop()
        if self._lock is not None:
            self._lock.release()
            self._lock = None
