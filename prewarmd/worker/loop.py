"""A child's loop: verbs in, reports out. It holds no policy: being sent a verb is the permission.

Each verb is a task. The loop beats by itself, so that a blocked loop is seen by its silence. When
the pipe ends, the child ends: its supervisor is gone, or wants it gone.
"""

import asyncio
import time
import traceback
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, suppress
from typing import Any

from prewarmd.core import reports, verbs
from prewarmd.core.jobs import Kind
from prewarmd.core.stage import Stage
from prewarmd.ipc.arena import Arena
from prewarmd.ipc.board import Board, Row
from prewarmd.ipc.channel import Channel
from prewarmd.messages import PROTOCOL, Beat, Drain, FromChild, Hello, Note, decode, encode
from prewarmd.worker.answers import Accepted, Refused
from prewarmd.worker.fetch import Fetcher
from prewarmd.worker.landing import Landing
from prewarmd.worker.link import link
from prewarmd.worker.media import Media, Trailing, Ways, Whole
from prewarmd.worker.r2 import ObjectStore
from prewarmd.worker.refusals import ObjectError, UnchangedError
from prewarmd.worker.relay import AT_ONCE as RELAYS_AT_ONCE
from prewarmd.worker.relay import Passing
from prewarmd.worker.spec import ChildSpec
from prewarmd.worker.telegram import Telegram
from prewarmd.worker.thumbnail import ThumbnailError, fetch_thumbnail

BEAT_S = 1.0
HEADS_AT_ONCE = 8


class Worker:
    """One child at work."""

    def __init__(self, spec: ChildSpec, arena: Arena, board: Board) -> None:
        self._spec = spec
        self._arena = arena
        self._board = board
        self._store = ObjectStore(spec.store)
        self._fetcher = Fetcher(spec.store, self._store)
        by_library = spec.store.downloads == "aiobotocore"
        self._getter = self._store if by_library else self._fetcher
        """Of objects that land here; those that pass through come by the fetcher."""
        self._telegram = Telegram(spec.telegram, spec.tokens)
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._extents: dict[int, asyncio.Future[verbs.Into]] = {}
        self._landings: dict[int, Landing] = {}
        """Of fetches that are under way."""
        self._behind: dict[int, list[asyncio.Task[None]]] = {}
        """Fetch -> the uploads that follow it."""
        self._seals: dict[int, asyncio.Future[None]] = {}
        """Of uploads whose closing boundary is withheld."""
        self._windows = asyncio.Semaphore(RELAYS_AT_ONCE)
        self._stop = asyncio.Event()
        self._draining = False
        self._channel: Channel | None = None

    async def run(self, conn: Any, pid: int) -> None:
        """Serve until the pipe ends or a Drain is done."""
        async with self._store, self._telegram:
            self._channel = await Channel.adopt(
                conn, on_batch=self._received, on_closed=lambda _: self._stop.set()
            )
            self._say(Hello(PROTOCOL, self._spec.index, pid))
            beat = asyncio.ensure_future(self._beat())
            await self._stop.wait()
            beat.cancel()
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)
            await self._fetcher.close()
            await self._channel.flushed()
            self._channel.close()
            await self._channel.wait_closed()

    def drain(self) -> None:
        """Finish what is in flight, then stop."""
        self._draining = True
        if not self._tasks:
            self._stop.set()

    def _say(self, message: FromChild) -> None:
        assert self._channel is not None
        self._channel.send(encode(message))

    async def _beat(self) -> None:
        number = 0
        while True:
            due = time.monotonic() + BEAT_S
            await asyncio.sleep(BEAT_S)
            number += 1
            self._say(Beat(number, round(time.monotonic() - due, 4)))

    def _received(self, batch: list[list[Any]]) -> None:
        for array in batch:
            match decode(array):
                case verbs.Fetch() as verb:
                    self._begin(verb.task, self._fetch(verb))
                case verbs.Upload() as verb:
                    landing = self._landings.get(verb.behind)
                    if verb.behind:
                        self._seal(verb.task)  # it may come before the upload's first step
                    upload = self._begin(verb.task, self._upload(verb, landing))
                    if landing is not None:
                        self._behind.setdefault(verb.behind, []).append(upload)
                case verbs.Relay() as verb:
                    self._begin(verb.task, self._relay(verb))
                case verbs.Forward() | verbs.Resend() | verbs.Link() as verb:
                    self._begin(verb.task, self._send_light(verb))
                case verbs.Seal(task):
                    seal = self._seals.get(task)
                    if seal is not None and not seal.done():
                        seal.set_result(None)
                case verbs.Into() as verb:
                    waiting = self._extents.get(verb.task)
                    if waiting is not None and not waiting.done():
                        waiting.set_result(verb)
                case verbs.Drop(task):
                    self._drop(task)
                case verbs.List() as verb:
                    self._begin(verb.task, self._list(verb))
                case verbs.Head() as verb:
                    self._begin(verb.task, self._head(verb))
                case verbs.AskChat() as verb:
                    self._begin(verb.task, self._ask_chat(verb))
                case Drain():
                    self.drain()
                case other:
                    raise AssertionError(f"{type(other).__name__} is not for a child")

    def _begin(self, task: int, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        running = asyncio.get_running_loop().create_task(work)
        self._tasks[task] = running
        running.add_done_callback(lambda _: self._ended(task))
        return running

    def _ended(self, task: int) -> None:
        del self._tasks[task]
        self._extents.pop(task, None)
        self._seals.pop(task, None)
        if self._draining and not self._tasks:
            self._stop.set()

    def _drop(self, task: int) -> None:
        """Who is dropped answers, so that its slot and memory are known to be free."""
        running = self._tasks.get(task)
        if running is not None:
            # Not at once: a task that is cancelled before its first step would never answer.
            asyncio.get_running_loop().call_soon(running.cancel)

    def _bug(self, error: Exception) -> str:
        """The trace goes to the log: frames only, because the text may hold anything."""
        frames = traceback.extract_tb(error.__traceback__)
        where = [f"{frame.filename.rpartition('/')[2]}:{frame.lineno}" for frame in frames]
        self._say(Note("error", "child.bug", {"type": type(error).__name__, "frames": where}))
        return f"{type(error).__name__} at {where[-1] if where else '?'}"

    # -- fetch -----------------------------------------------------------------------------------

    async def _fetch(self, verb: verbs.Fetch) -> None:
        row = self._board.row(verb.row)
        now_ns = time.monotonic_ns()
        total = max(0, verb.size_bytes)
        row.begin(verb.task, verb.job, verb.attempt, Stage.FETCHING, total, now_ns)
        report: reports.Report
        try:
            report = await self._fetched(verb, row)
        except UnchangedError:
            report = reports.Unchanged(verb.task)
        except ObjectError as error:
            report = reports.FetchFailed(verb.task, error.code, error.detail)
        except asyncio.CancelledError:
            report = reports.FetchFailed(verb.task, "Stopped", "the fetch was given up")
        except Exception as error:  # noqa: BLE001  the task boundary: a bug costs one attempt
            report = reports.FetchFailed(verb.task, "Bug", self._bug(error))
        self._landings.pop(verb.task, None)
        behind = self._behind.pop(verb.task, [])
        if isinstance(report, reports.FetchFailed):
            await _all_over(behind)  # the memory is free when nobody refers to it any more
        self._say(report)

    async def _fetched(self, verb: verbs.Fetch, row: Row) -> reports.Fetched:
        async def memory(size_bytes: int, etag: str) -> memoryview:
            offset = await self._extent(verb.task, size_bytes, etag)
            row.total(size_bytes)
            return self._arena.view(offset, size_bytes)

        extent = self._arena.view(verb.offset, verb.size_bytes) if verb.offset >= 0 else None
        told = False

        def progress(done_bytes: int) -> None:
            nonlocal told
            row.progress(done_bytes)
            is_large = 0 < self._spec.cut_through_bytes <= landing.size_bytes
            if is_large and landing.done_bytes and not told:
                told = True
                landing.follow()
                self._say(reports.Landing(verb.task, landing.size_bytes))

        landing = Landing(extent, progress, verb.sha256)
        self._landings[verb.task] = landing
        etag = await self._getter.get(verb.bucket, verb.key, verb.etag, landing, memory)
        row.advance(Stage.VERIFIED, time.monotonic_ns())
        return reports.Fetched(verb.task, landing.size_bytes, landing.sha256, etag)

    async def _extent(self, task: int, size_bytes: int, etag: str) -> int:
        """Ask for memory of the size the head told; waits for `Into`, or is cancelled by `Drop`."""
        waiting: asyncio.Future[verbs.Into] = asyncio.get_running_loop().create_future()
        self._extents[task] = waiting
        self._say(reports.Opened(task, size_bytes, etag))
        into = await waiting
        assert into.size_bytes == size_bytes
        return into.offset

    # -- upload ----------------------------------------------------------------------------------

    async def _upload(self, verb: verbs.Upload, landing: Landing | None) -> None:
        async def media(ways: Ways) -> Media:
            extent = self._arena.view(verb.offset, verb.size_bytes)
            if not verb.behind:
                return Whole(extent, ways)
            sealed = self._seal(verb.task)
            if landing is None:  # it is over, and how, only the engine knows by now
                await sealed
                return Whole(extent, ways)
            await landing.beyond(0)  # it may have begun anew since the engine heard of it
            return Trailing(extent, landing, sealed, ways)

        await self._send_media(verb, media)

    async def _relay(self, verb: verbs.Relay) -> None:
        async def memory(size_bytes: int, etag: str) -> memoryview:
            if size_bytes != verb.size_bytes:
                await self._extent(verb.task, size_bytes, etag)  # ends in a Drop
            return memoryview(b"")

        async def media(ways: Ways) -> Media:
            await held.enter_async_context(self._windows)
            passing = Passing(self._fetcher, passed, self._seal(verb.task), ways, verb.sha256)
            await passing.open(verb.bucket, verb.key, memory)
            return passing

        def passed(sha256: str, etag: str) -> None:
            self._say(reports.Passed(verb.task, verb.size_bytes, sha256, etag))

        async with AsyncExitStack() as held:
            await self._send_media(verb, media)

    async def _send_media(
        self, verb: verbs.Upload | verbs.Relay, media: Callable[[Ways], Awaitable[Media]]
    ) -> None:
        async def deliver(ways: Ways) -> Accepted | Refused:
            thumbnail = await self._thumbnail(verb)
            return await self._telegram.send(
                verb.bot, verb.chat_id, Kind(verb.kind), await media(ways), verb.file_name,
                verb.about, thumbnail,
            )  # fmt: skip

        await self._send(verb, verb.size_bytes, deliver)

    async def _send_light(self, verb: verbs.Light) -> None:
        async def deliver(ways: Ways) -> Accepted | Refused:
            telegram = self._telegram
            match verb:
                case verbs.Forward(bot=bot, chat_id=chat, from_chat_id=at, message_id=message):
                    return await telegram.forward(bot, chat, at, message, ways.sent)
                case verbs.Resend(bot=bot, chat_id=chat, kind=kind, file_id=file_id):
                    return await telegram.resend(bot, chat, Kind(kind), file_id, ways.sent)
                case verbs.Link():
                    return await self._link(verb, ways)

        await self._send(verb, 0, deliver)

    async def _link(self, verb: verbs.Link, ways: Ways) -> Accepted | Refused:
        """What Telegram fetched must be as large as the object, where its answer tells: an error
        page of a proxy in between is a document, too."""
        base = self._spec.links[verb.bot]
        url = await link(base, self._store, verb.bucket, verb.key)
        outcome = await self._telegram.resend(
            verb.bot, verb.chat_id, Kind(verb.kind), url, ways.sent
        )
        if isinstance(outcome, Accepted) and outcome.size_bytes not in (None, verb.size_bytes):
            what = f"the object has {verb.size_bytes} bytes, Telegram got {outcome.size_bytes}"
            return Refused("UrlRefused", what)
        return outcome

    def _seal(self, task: int) -> asyncio.Future[None]:
        """Done once the closing boundary of an upload may go."""
        return self._seals.setdefault(task, asyncio.get_running_loop().create_future())

    async def _send(
        self,
        verb: verbs.Upload | verbs.Relay | verbs.Light,
        size_bytes: int,
        deliver: Callable[[Ways], Awaitable[Accepted | Refused]],
    ) -> None:
        """One send, told by the board as it goes, and by a report at its end."""
        row = self._board.row(verb.row)
        started_ns = time.monotonic_ns()
        row.begin(verb.task, verb.job, verb.attempt, Stage.UPLOADING, size_bytes, started_ns)
        sent_ns = 0

        def sent() -> None:
            nonlocal sent_ns
            sent_ns = time.monotonic_ns()
            row.advance(Stage.BODY_SENT, sent_ns)

        report: reports.Report
        try:
            outcome = await deliver(Ways(row.progress, sent))
            answer_s = (time.monotonic_ns() - sent_ns) / 1e9 if sent_ns else 0.0
            report = self._outcome(verb.task, outcome, round(answer_s, 6))
        except ThumbnailError as error:
            report = reports.FetchFailed(verb.task, error.code, error.detail)
        except ObjectError as error:
            report = self._unsent(verb, error)
        except asyncio.CancelledError:
            code = "MaybeSent" if sent_ns else "Stopped"
            report = reports.UploadFailed(verb.task, code, "the upload was given up", 0, 0, 0)
        except Exception as error:  # noqa: BLE001  the task boundary: a bug costs one attempt
            report = reports.UploadFailed(verb.task, "Bug", self._bug(error), 0, 0, 0)
        # The row keeps its last stage until the slot is used again: between here and the pipe a
        # SIGKILL must still find that the message exists.
        row.advance(Stage.ANSWERED, time.monotonic_ns())
        self._say(report)

    async def _thumbnail(self, verb: verbs.Upload | verbs.Relay) -> bytes:
        """It is here before anything of the request goes out; b"" when the media has none."""
        key = verb.about.thumbnail if verb.about else ""
        return await fetch_thumbnail(self._getter, verb.bucket, key) if key else b""

    @staticmethod
    def _unsent(
        verb: verbs.Upload | verbs.Relay | verbs.Light, error: ObjectError
    ) -> reports.Report:
        """Its object could not be had to the end; of a fetch, that one tells why."""
        if not isinstance(verb, verbs.Upload):
            return reports.FetchFailed(verb.task, error.code, error.detail)
        return reports.UploadFailed(verb.task, "Stopped", error.detail, 0, 0, 0)

    @staticmethod
    def _outcome(task: int, outcome: Accepted | Refused, answer_s: float) -> reports.Report:
        if isinstance(outcome, Refused):
            return reports.UploadFailed(
                task, outcome.code, outcome.detail, outcome.retry_after_s, outcome.migrated_to,
                answer_s,
            )  # fmt: skip
        return reports.Uploaded(
            task, outcome.file_id, outcome.file_unique_id, outcome.actual_kind,
            outcome.message_id, answer_s, outcome.detail,
        )  # fmt: skip

    # -- small ones ------------------------------------------------------------------------------

    async def _list(self, verb: verbs.List) -> None:
        report: reports.Report
        try:
            objects, after = await self._store.list(verb.bucket, verb.prefix, verb.after)
            report = reports.Listed(verb.task, objects, after)
        except ObjectError as error:
            report = reports.ListFailed(verb.task, error.code, error.detail)
        except Exception as error:  # noqa: BLE001  the task boundary
            report = reports.ListFailed(verb.task, "Bug", self._bug(error))
        self._say(report)

    async def _head(self, verb: verbs.Head) -> None:
        report: reports.Report
        sizes = [-1] * len(verb.keys)
        left = iter(enumerate(verb.keys))

        async def ask() -> None:
            for number, key in left:
                known = await self._fetcher.size(verb.bucket, key)
                sizes[number] = await self._store.size(verb.bucket, key) if known is None else known

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(HEADS_AT_ONCE):
                    group.create_task(ask())
            report = reports.Headed(verb.task, sizes)
        except* ObjectError as errors:
            first = errors.exceptions[0]
            assert isinstance(first, ObjectError)
            report = reports.HeadFailed(verb.task, first.code, first.detail)
        except* Exception as errors:  # noqa: BLE001  the task boundary
            report = reports.HeadFailed(verb.task, "Bug", self._bug(errors.exceptions[0]))
        self._say(report)

    async def _ask_chat(self, verb: verbs.AskChat) -> None:
        report: reports.Report
        try:
            kind = await self._telegram.chat_kind(verb.bot, verb.chat_id)
            if isinstance(kind, Refused):
                report = reports.ChatUnknown(verb.task, kind.code, kind.detail)
            else:
                report = reports.ChatKnown(verb.task, kind)
        except Exception as error:  # noqa: BLE001  the task boundary
            report = reports.ChatUnknown(verb.task, "Bug", self._bug(error))
        self._say(report)


async def _all_over(tasks: list[asyncio.Task[None]]) -> None:
    """Wait for them. Whoever is to stop meanwhile has stopped already, and still has to answer."""
    while running := [task for task in tasks if not task.done()]:
        with suppress(asyncio.CancelledError):
            await asyncio.wait(running)
