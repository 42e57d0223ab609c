"""GET of an object, from its signed request to hashed bytes in its extent.

Requests are signed here and go over connections of our own; the body lands where it stays
(`landing`). Length and hash are always verified. gzip is never negotiated: bytes are what the
object holds.

The first request is a plain GET. If its head tells of a large object, its connection brings the
first part (`ranges`), and other workers come to help: tasks that take part after part. The first
failure for good ends them all; what one of them is refused, another may still get.

What breaks in the middle is taken up where it broke, by Range and If-Match, as long as tries bring
something; an object that changed meanwhile is a failure for the engine to retry. A request that was
lost on a kept connection before a byte came is sent once more on a fresh one, because the store may
have closed the old one just then.

Clocks that differ are put right by the store's own Date, once; credentials that were rotated are
read anew, once.
"""

import asyncio
import email.utils
import html
import re
import ssl
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from time import time
from typing import Protocol
from urllib.parse import urlsplit

from prewarmd.worker.http.answer import Answer, HeadOnly
from prewarmd.worker.http.connection import Connection
from prewarmd.worker.http.dialer import Dialer, Origin
from prewarmd.worker.http.errors import (
    GarbledError,
    HttpError,
    LostError,
    TimedOutError,
    UnreachableError,
)
from prewarmd.worker.http.head import Head
from prewarmd.worker.http.patience import Patience
from prewarmd.worker.http.pool import Pool
from prewarmd.worker.landing import Landing, Memory
from prewarmd.worker.ranges import AT_ONCE, RANGED_BYTES, Part, Parts, RangelessError
from prewarmd.worker.refusals import ObjectError, UnchangedError, code_of
from prewarmd.worker.signing import Credentials, Signer, object_path
from prewarmd.worker.spec import StoreSpec

_HEAD_ONLY = HeadOnly()
TRIES_MAX = 5
"""For one object that breaks again and again, of those that brought less than `WORTH_BYTES`."""
WORTH_BYTES = 64 << 10
REPAIRS_MAX = 2
"""Of one request: a clock and credentials."""
CLOCK_WITHIN_S = 1.0
"""A Date has whole seconds."""
_CLOCK_CODES = ("RequestTimeTooSkewed", "ExpiredRequest")
_CODE = re.compile(rb"<Code>([^<]{1,100})</Code>")
_MESSAGE = re.compile(rb"<Message>([^<]{1,300})</Message>")
_LEFT_TO_OTHERS = frozenset({"StoreError", "StoreUnreachable", "StoreTimeout", "ShortBody"})
"""Perhaps one connection fewer is what the store wants."""


class CredentialSource(Protocol):
    """Who knows what to sign with."""

    async def credentials(self, *, anew: bool = False) -> Credentials:
        """Present ones; `anew`: not those that were refused. Raises ObjectError."""


class Fetcher:
    """GETs from one store, over one pool."""

    def __init__(
        self,
        spec: StoreSpec,
        source: CredentialSource,
        *,
        clock: Callable[[], float] = time,
        ranged_bytes: int = RANGED_BYTES,
        patience: Patience | None = None,
    ) -> None:
        self._ranged_bytes = ranged_bytes
        self._source = source
        self._clock = clock
        self._helpers = 0
        """Tasks that land parts of large objects, beside the one that began."""
        self._skew_s = 0.0
        """The store's clock minus ours."""
        self._signer = Signer(spec.region)
        self._origin = Origin.of(spec.endpoint)
        self._path = urlsplit(spec.endpoint).path.rstrip("/")
        context = ssl.create_default_context(cafile=spec.ca_file) if self._origin.is_tls else None
        dialer = Dialer(
            self._origin, context=context, connect_s=spec.connect_timeout_s, trust="r2.ca_file"
        )
        self._pool = Pool(dialer, limit=spec.connections, keepalive_s=spec.keepalive_s)
        self._patience = patience or Patience(
            head_s=spec.header_timeout_s, idle_s=spec.body_timeout_s
        )

    async def close(self) -> None:
        """End every connection."""
        await self._pool.close()

    async def get(self, bucket: str, key: str, etag: str, landing: Landing, memory: Memory) -> str:
        """Land an object, whole and verified; its ETag. Raises UnchangedError when it still has
        `etag`, ObjectError otherwise. When this returns, raises or is cancelled, nothing refers to
        the memory, and who follows the landing knows."""
        with landing:
            parts = Parts(landing, self._ranged_bytes)
            order = await self.order(bucket, key, etag, parts, memory)
            try:
                await self._gather(order)
            except RangelessError:
                order.parts.begin_anew(takes_ranges=False)
                await self._gather(order)
            await landing.verify()
        return landing.etag

    async def order(
        self, bucket: str, key: str, etag: str, parts: Parts, memory: Memory
    ) -> "Order":
        """An object to be landed in parts. Raises ObjectError without credentials."""
        path = self._path + object_path(bucket, key)
        condition = {"if-none-match": f'"{etag}"'} if etag else {}
        return Order(path, condition, await self._source.credentials(), parts, memory)

    async def _gather(self, order: "Order") -> None:
        """All parts, by this task and those that come to help. The first failure ends them all."""
        first: Exception | None = None
        try:
            async with asyncio.TaskGroup() as group:
                order.group, order.workers = group, 1
                await self._work(order)
        except ExceptionGroup as failed:
            first = failed.exceptions[0]
            traceback.clear_frames(failed.__traceback__)
        except asyncio.CancelledError as cancelled:
            # A group's frames refer to what passes through them, and that to frames which had
            # memory in their hands: they would live until garbage is collected, which is seldom.
            traceback.clear_frames(cancelled.__traceback__)
            raise
        finally:
            order.group = None
        try:
            if first is not None:
                raise first
        finally:
            del first  # its frames would refer to it, and hold what they hold

    def _call_help(self, order: "Order") -> None:
        """For parts that nobody has taken."""
        while order.parts.left and order.workers < order.workers_max and self.may_help:
            assert order.group is not None
            order.workers += 1
            self.count_helper(order.group.create_task(self._work(order)))

    @property
    def may_help(self) -> bool:
        """Whether there may be one helper more: half of the pool's places are never theirs."""
        return self._helpers < self._pool.limit // 2

    def count_helper(self, task: "asyncio.Task[None]") -> None:
        """A task that lands bytes before they are needed, as long as it runs."""
        self._helpers += 1
        task.add_done_callback(self._helped)

    def _helped(self, _: asyncio.Task[None]) -> None:
        self._helpers -= 1

    async def _work(self, order: "Order") -> None:
        """Land one part after another. Who is refused, or would keep somebody waiting, leaves what
        is missing to others that are at work on the same object."""
        try:
            while (part := order.parts.take()) is not None:
                try:
                    await self.fill(order, part)
                except ObjectError as error:
                    if error.code not in _LEFT_TO_OTHERS or order.workers == 1:
                        raise
                    order.parts.give_back(part)
                    order.workers_max = order.workers - 1
                    return
                if self._pool.is_crowded and order.workers > 1:
                    return
                self._call_help(order)
        finally:
            order.workers -= 1

    async def fill(self, order: "Order", part: Part) -> None:
        """Land a part, in as many requests as it takes. Raises UnchangedError, ObjectError, and
        RangelessError."""
        fresh, repairs = False, 0
        while True:
            connection = await self._take(fresh=fresh)
            was_kept = connection.used > 0
            try:
                keys = order.keys
                request = self._request("GET", order.path, part.ask() or order.condition, keys)
                answer = await connection.exchange(request, part, self._patience)
                if part.waits:
                    await self._open(order, part, connection, answer.head)
            except GarbledError as error:
                raise ObjectError("StoreUnreachable", str(error)) from None
            except (LostError, TimedOutError) as error:
                is_stale = was_kept and isinstance(error, LostError) and not part.brought_bytes
                if not is_stale and not order.may_go_on(part):
                    raise _named(error) from None
                fresh = True
                continue
            finally:
                self._pool.give(connection)
            part.check()
            if part.is_whole:
                return
            if repairs == REPAIRS_MAX or not await self._put_right(order, keys, answer):
                raise _refused(answer)
            repairs += 1

    async def _open(self, order: "Order", part: Part, connection: Connection, head: Head) -> None:
        """The head of the whole object is in: have memory, call others if it is large, go on."""
        landing = order.parts.landing
        if not landing.has_memory:
            landing.view = await order.memory(landing.size_bytes, landing.etag)
        order.parts.divide(part, head)
        self._call_help(order)
        await connection.land(part.view)

    async def size(self, bucket: str, key: str) -> int | None:
        """How many bytes an object has, -1 when there is none; None when the store says neither,
        and somebody who reads errors is to be asked (`ObjectStore.size`)."""
        path = self._path + object_path(bucket, key)
        request = self._request("HEAD", path, {}, await self._source.credentials())
        try:
            connection = await self._pool.take()
        except UnreachableError:
            return None
        try:
            head = (await connection.exchange(request, _HEAD_ONLY, self._patience)).head
        except HttpError:
            return None
        finally:
            self._pool.give(connection)
        return -1 if head.status == 404 else head.length if head.status == 200 else None

    async def _take(self, *, fresh: bool) -> Connection:
        try:
            return await self._pool.take(fresh=fresh)
        except UnreachableError as error:
            raise ObjectError("StoreUnreachable", str(error)) from None

    def _request(self, method: str, path: str, headers: dict[str, str], keys: Credentials) -> bytes:
        signed = self._signer.sign(
            method, self._origin.authority, path, headers, keys, self._clock() + self._skew_s
        )
        lines = "".join([f"{name}: {value}\r\n" for name, value in signed.items()])
        return f"{method} {path} HTTP/1.1\r\n{lines}accept-encoding: identity\r\n\r\n".encode()

    async def _put_right(self, order: "Order", keys: Credentials, answer: Answer) -> bool:
        """Whether what was refused was signed with a wrong clock or with `keys` of yesterday, and
        the next will not be."""
        if answer.head.status not in (401, 403):
            return False
        if self._put_clock_right(answer):
            return True
        if order.keys == keys:
            order.keys = await self._source.credentials(anew=True)
        return order.keys != keys

    def _put_clock_right(self, answer: Answer) -> bool:
        """Whether it was wrong, and is right now by the store's."""
        if _code(answer) not in _CLOCK_CODES:
            return False
        try:
            theirs = email.utils.parsedate_to_datetime(answer.head.get(b"date"))
        except ValueError:
            return False
        skew_s = theirs.timestamp() - self._clock()
        changed = abs(skew_s - self._skew_s) > CLOCK_WITHIN_S
        self._skew_s = skew_s
        return changed


@dataclass(slots=True)
class Order:
    """One object that is under way."""

    path: str
    condition: dict[str, str]
    """Of the first request."""
    keys: Credentials
    parts: Parts
    memory: Memory
    group: asyncio.TaskGroup | None = None
    workers: int = 1
    workers_max: int = AT_ONCE
    tries: int = 0
    """Those that brought next to nothing."""

    def may_go_on(self, part: Part) -> bool:
        """Whether to ask for the rest of a part that broke."""
        if not self.parts.landing.is_pinned:
            return False
        if part.brought_bytes < WORTH_BYTES or not self.parts.goes_on:
            self.tries += 1
        return self.tries < TRIES_MAX


def _named(error: HttpError) -> ObjectError:
    code = "StoreTimeout" if isinstance(error, TimedOutError) else "ShortBody"
    return ObjectError(code, str(error))


def _code(answer: Answer) -> str:
    """The store's own word for it, or the status."""
    found = _CODE.search(answer.body)
    return found[1].decode("latin-1") if found else str(answer.head.status)


def _refused(answer: Answer) -> Exception:
    """What an answer that is no object means."""
    head = answer.head
    if head.status == 304:
        return UnchangedError()
    if head.status == 200:
        if head.length == 0:
            return ObjectError("EmptyObject", "the object has no bytes")
        return ObjectError("StoreError", "the store names no Content-Length")
    theirs = _code(answer)
    found = _MESSAGE.search(answer.body)
    message = html.unescape(found[1].decode("utf-8", "replace"))[:200] if found else ""
    return ObjectError(code_of(theirs, head.status), f"{theirs}: {message}".strip(": "))
