"""The door while the store is still being read in: what clients ask meanwhile crosses what is read.

Store, engine and loop are the real ones. The children are stood in for: nothing here is about what
they do, only about whether they are told to.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from prewarmd.core import verbs
from prewarmd.core.engine import Engine
from prewarmd.core.events import ChildExited, ChildGreeted, ChildReported, DrainAsked
from prewarmd.core.jobs import JobId, JobState, Kind
from prewarmd.core.policy import BotSpec, EnginePolicy
from prewarmd.core.reports import FetchFailed
from prewarmd.ipc.arena import Arena
from prewarmd.sandbox.daemon import until
from prewarmd.store.base import JobRow, NewJob
from prewarmd.store.sqlite import SqliteStore
from prewarmd.supervisor.clock import monotonic, wall
from prewarmd.supervisor.intake import Intake
from prewarmd.supervisor.loop import Loop
from prewarmd.telemetry import log
from prewarmd.telemetry.metrics import Metrics
from prewarmd.telemetry.observe import Observer

POLICY = EnginePolicy(workers=1, slots=4, cache_bytes=1 << 20, size_probe=False)
PHOTO = NewJob("alpha", "media", "a.jpg", Kind.PHOTO, size_bytes=1000)


class Child:
    """In the place of `Processes`: one child that keeps what it is told to fetch. One that does not
    greet gets nothing, so jobs stay queued."""

    def __init__(self, loop: Loop, *, greets: bool) -> None:
        self.fetches: asyncio.Queue[verbs.Fetch] = asyncio.Queue()
        self._loop = loop
        self._greets = greets
        self._generation = 0

    def spawn(self, index: int, generation: int) -> None:
        self._generation = generation
        if self._greets:
            self._loop.put(ChildGreeted(index, generation, 1))

    def tell(self, index: int, message: Any, *, upload: tuple[int, int] | None = None) -> None:
        if isinstance(message, verbs.Fetch):
            self.fetches.put_nowait(message)

    def retire(self, index: int, generation: int) -> None:
        self._loop.put(ChildExited(index, generation, "exited with 0"))

    kill = retire

    def fail(self, fetch: verbs.Fetch) -> None:
        """Its object does not exist."""
        report = FetchFailed(fetch.task, "NoSuchKey", "there is no such key")
        self._loop.put(ChildReported(0, self._generation, report))


class Room:
    """What `Daemon.run` builds, without processes and sockets."""

    def __init__(self, store: SqliteStore, loop: Loop, *, greets: bool) -> None:
        self.store = store
        self.loop = loop
        self.intake = Intake(loop, store, None)
        self.child = Child(loop, greets=greets)
        loop.processes = self.child  # type: ignore[assignment]  # as much of it as the loop calls

    async def state(self, job: JobId) -> JobState:
        row = await self.store.job(job)
        assert row is not None
        return row.state

    async def read_in(self) -> None:
        """Wait for the engine to have heard that everything was read."""

        async def is_so() -> bool:
            return not self.loop.engine.loading

        await until(is_so)

    async def until_state(self, job: JobId, state: JobState) -> None:
        async def is_so() -> bool:
            return await self.state(job) is state

        await until(is_so)


@asynccontextmanager
async def room(
    folder: Path, kind: type[SqliteStore], *, greets: bool = True
) -> AsyncIterator[Room]:
    """A room whose loop turns; drained at the end."""
    store = await kind.open(folder, bot_ids={"alpha": 11}, ttl_s=0, wall=wall, clock=monotonic)
    arena = Arena.of(POLICY.cache_bytes)
    engine = Engine(POLICY, [BotSpec("alpha", ((-1001, "channel"),))])
    loop = Loop(engine, store, arena, Observer(Metrics(), log.get("test")), monotonic, lambda: 0.5)
    place = Room(store, loop, greets=greets)
    turning = asyncio.create_task(loop.run())
    try:
        yield place
    finally:
        loop.put(DrainAsked(monotonic() + 10))
        await turning
        assert loop.failure == ""
        await store.close()
        arena.close()


async def test_a_cancel_that_came_too_late_leaves_the_job_to_the_engine(tmp_path: Path) -> None:
    """Between our look and the store's refusal the job is read in and started. If the engine then
    forgot it, it would stay `running`, with nobody at it, until the next start."""

    class Overtaken(SqliteStore):
        async def cancel(self, job: JobId) -> JobState | None:
            await place.intake.load([])
            await place.until_state(job, JobState.RUNNING)
            return await super().cancel(job)

    async with room(tmp_path, Overtaken) as place:
        job = (await place.store.submit([PHOTO])).admissions[0].job
        assert await place.intake.cancel(job) == (False, JobState.RUNNING)
        place.child.fail(await place.child.fetches.get())
        await place.until_state(job, JobState.FAILED)


async def test_what_came_in_while_the_store_was_read_is_not_taken_in_again(tmp_path: Path) -> None:
    """A page of the store may hold a job that came in by itself and is done with by the time the
    page is. Taken in a second time, a job that was cancelled would be sent."""

    class Slow(SqliteStore):
        async def claim(self, after: JobId, limit: int) -> list[JobRow]:
            rows = await super().claim(after, limit)
            for row in rows:
                assert await place.intake.cancel(row.id) == (True, None)
            return rows

    async with room(tmp_path, Slow, greets=False) as place:
        gone = (await place.intake.submit([PHOTO])).admissions[0].job
        [again] = (await place.store.submit([replace(PHOTO, key="b.jpg")])).admissions
        await place.store.cancel(again.job)
        assert await place.intake.retry(again.job) == (True, None)
        await place.intake.load([])
        await place.read_in()
        assert not place.loop.engine.desk.jobs
        assert {await place.state(job) for job in (gone, again.job)} == {JobState.CANCELLED}
