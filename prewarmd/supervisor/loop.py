"""The supervisor's loop: gather events, let the engine decide, perform its commands.

A turn never waits for what it asked for: records go to the store's writer as one commit, verbs go
to the children's pipes, and what becomes of them arrives as events of later turns. Whatever arrives
meanwhile is the next turn's batch; there is no timer but the engine's own deadline.

If the store cannot be written, the records stay here, in order, and are tried again each second;
the engine is told, starts nothing new, and a `ready` that is not committed is visible to nobody.
"""

import asyncio
import itertools
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, TypeVar

from prewarmd.core import verbs
from prewarmd.core.commands import (
    Command,
    FailBatch,
    Finish,
    Kill,
    Recall,
    Reply,
    Retire,
    Spawn,
    SubmitPage,
    Tell,
)
from prewarmd.core.engine import Engine
from prewarmd.core.events import (
    Event,
    MemoryRefused,
    Recalled,
    StoreRecovered,
    StoreStalled,
    Ticked,
)
from prewarmd.core.records import Record
from prewarmd.errors import ArenaFullError, StoreUnwritableError
from prewarmd.ipc.arena import Arena
from prewarmd.store.base import JobStore
from prewarmd.supervisor.processes import Processes
from prewarmd.telemetry.observe import Observer

T = TypeVar("T")
STALL_RETRY_S = 1.0
SETTLE_S = 10.0
TURN_EVENTS_MAX = 10_000


class Loop:
    """The shell around the engine."""

    def __init__(
        self,
        engine: Engine,
        store: JobStore,
        arena: Arena,
        observer: Observer,
        clock: Callable[[], float],
        chance: Callable[[], float],
    ) -> None:
        self.engine = engine
        self.store = store
        self.processes: Processes | None = None
        self.submit_page: Callable[[SubmitPage], Any] | None = None
        self._arena = arena
        self._observer = observer
        self._clock = clock
        self._chance = chance
        self._inbox: deque[Event] = deque()
        self._woken = asyncio.Event()
        self._tickets: dict[int, asyncio.Future[Reply]] = {}
        self._ticket = itertools.count(1)
        self._unwritten: deque[list[Record]] = deque()
        self._writer: asyncio.Task[None] | None = None
        self._unwritten_since = 0.0
        self._stalled = False
        self._background: set[asyncio.Task[None]] = set()
        self.failure = ""

    def put(self, event: Event) -> None:
        """Queue an event for the next turn."""
        self._inbox.append(event)
        self._woken.set()

    async def ask(self, make: Callable[[int], Event]) -> Reply:
        """Ask the engine something; the answer comes after what it changed is committed."""
        ticket = next(self._ticket)
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._tickets[ticket] = future
        self.put(make(ticket))
        return await future

    async def run(self) -> None:
        """Turn until the engine says Finish; everything decided is committed then, or `failure`
        says why not."""
        while not self.failure:
            finish = self._turn()
            if finish is not None:
                self.failure = finish.failure
                await self._settle()
                return
            await self._gather()

    async def _settle(self) -> None:
        """Wait for the last commit; a store that stays stalled does not keep the daemon for ever:
        what it could not take is found again at the next start, as uploads that may have been."""
        if self._writer is not None and not self._writer.done():
            _, late = await asyncio.wait([self._writer], timeout=SETTLE_S)
            if late:
                self.failure = self.failure or "the last decisions could not be written"

    async def _gather(self) -> None:
        self._woken.clear()
        if self._inbox:
            await asyncio.sleep(0)  # let whatever else is ready join this turn
            return
        now = self._clock()
        wait_s = self.engine.next_deadline(now) - now
        try:
            async with asyncio.timeout(None if wait_s == float("inf") else max(0.0, wait_s)):
                await self._woken.wait()
        except TimeoutError:
            self._inbox.append(Ticked())

    def _turn(self) -> Finish | None:
        events = [self._inbox.popleft() for _ in range(min(len(self._inbox), TURN_EVENTS_MAX))]
        commands = self.engine.turn(events, self._clock(), self._chance())
        self._observer.turn(self.engine, events, commands)
        return self._perform(commands) if commands else None

    def _perform(self, commands: list[Command]) -> Finish | None:
        assert self.processes is not None
        finish: Finish | None = None
        written: list[Record] = []
        recalls: list[Recall] = []
        replies: list[Reply] = []
        for command in commands:
            match command:
                case Tell(index, verb):
                    self._tell(index, verb)
                case Recall():
                    recalls.append(command)
                case Reply():
                    replies.append(command)
                case Spawn(index, generation):
                    self.processes.spawn(index, generation)
                case Kill(index, generation, _):
                    self.processes.kill(index, generation)
                case Retire(index, generation):
                    self.processes.retire(index, generation)
                case SubmitPage():
                    assert self.submit_page is not None
                    self.keep(self.submit_page(command))
                case FailBatch():
                    self.keep(self._fail_batch(command))
                case Finish():
                    finish = command
                case _:
                    written.append(command)
        if written:
            self._write(written)
        if recalls:
            self.keep(self._recall(recalls))
        if replies:
            self.keep(self._reply(replies))
        return finish

    def _tell(self, index: int, verb: verbs.Verb) -> None:
        assert self.processes is not None
        upload = None
        match verb:
            case verbs.Fetch(offset=offset, size_bytes=size_bytes) if offset >= 0:
                if not self._back(verb.task, offset, size_bytes, told=False):
                    return
            case verbs.Into(task, offset, size_bytes):
                if not self._back(task, offset, size_bytes, told=True):
                    return
            case verbs.Upload(task, row) | verbs.Relay(task, row):
                upload = (task, row)
            case verbs.Forward(task, row) | verbs.Resend(task, row) | verbs.Link(task, row):
                upload = (task, row)
            case _:
                pass
        self.processes.tell(index, verb, upload=upload)

    def _back(self, task: int, offset: int, size_bytes: int, *, told: bool) -> bool:
        """Have the system back the extent before anybody writes to it: never SIGBUS."""
        try:
            self._arena.reserve(offset, size_bytes)
        except ArenaFullError as error:
            self.put(MemoryRefused(task, str(error), told))
            return False
        return True

    # -- the store -------------------------------------------------------------------------------

    async def until_written(self, write: Callable[[], Awaitable[T]]) -> T:
        """Write, again and again while the store cannot be written; the engine knows meanwhile."""
        while True:
            try:
                written = await write()
            except StoreUnwritableError as error:
                if not self._stalled:
                    self._stalled = True
                    self.put(StoreStalled(str(error)))
                await asyncio.sleep(STALL_RETRY_S)
                continue
            if self._stalled:
                self._stalled = False
                self.put(StoreRecovered())
            return written

    def _write(self, written: list[Record]) -> None:
        self._unwritten.append(written)
        self._unwritten_since = self._unwritten_since or self._clock()
        if self._writer is None or self._writer.done():
            self._writer = self.keep(self._write_all())

    async def _write_all(self) -> None:
        """Commit turn after turn, in order; what gathers during a commit is the next one."""
        while self._unwritten:
            turns = len(self._unwritten)
            batch = [record for turn in self._unwritten for record in turn]
            since, self._unwritten_since = self._unwritten_since, 0.0
            await self.until_written(partial(self.store.apply, batch))
            for _ in range(turns):
                self._unwritten.popleft()
            self._observer.metrics.commit_seconds.observe(self._clock() - since)

    async def _recall(self, recalls: list[Recall]) -> None:
        """Ask the catalogue, after everything decided so far has been written."""
        await self._wait_written()
        asked = [(recall.bot, recall.sha256, recall.kind) for recall in recalls]
        answers = await self.until_written(lambda: self.store.recall(asked))
        for recall, known in zip(recalls, answers, strict=True):
            self.put(
                Recalled(
                    recall.job, recall.sha256, known.ready, known.file_id, known.actual_kind,
                    known.chat_id, known.message_id,
                )
            )  # fmt: skip

    async def _fail_batch(self, failed: FailBatch) -> None:
        await self.until_written(
            lambda: self.store.fail_batch(failed.batch, failed.code, failed.detail)
        )

    async def _reply(self, replies: list[Reply]) -> None:
        await self._wait_written()
        for reply in replies:
            future = self._tickets.pop(reply.ticket)
            if not future.done():
                future.set_result(reply)

    async def _wait_written(self) -> None:
        if self._writer is not None and not self._writer.done():
            await asyncio.wait([self._writer])

    def keep(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run something beside the turns; should it fail, the daemon ends and says why."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self._background.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._background.discard(task)
        if not task.cancelled() and (error := task.exception()):
            # A bug, or a store that is damaged: neither is to be guessed around.
            self._observer.log.critical("daemon.failed", exc_info=error)
            self.failure = self.failure or f"{type(error).__name__}: {error}"
            self.put(Ticked())
