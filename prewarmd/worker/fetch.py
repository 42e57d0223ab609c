"""GET of an object, from its signed request to hashed bytes in its extent.

The request is signed here and goes over a connection of our own; the body lands where it stays, and
is hashed as it lands. Length and hash are always verified. gzip is never negotiated: bytes are what
the object holds.

What breaks in the middle is taken up where it broke, by Range and If-Match, as long as each try
brings something; an object that changed meanwhile is a failure for the engine to retry. A request
that was lost on a kept connection before a byte came is sent once more on a fresh one, because the
store may have closed the old one just then.

Clocks that differ are put right by the store's own Date, once; credentials that were rotated are
read anew, once.
"""

import email.utils
import hashlib
import html
import re
import ssl
from collections.abc import Awaitable, Callable
from time import time
from typing import Protocol
from urllib.parse import urlsplit

from prewarmd.worker.http.answer import Answer, Place
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
from prewarmd.worker.r2 import ObjectError, UnchangedError, code_of
from prewarmd.worker.signing import Credentials, Signer, object_path
from prewarmd.worker.spec import StoreSpec

HASHED_AT_ONCE = 64 << 10
"""Bytes: fewer would cost more in calls than in hashing, more would lie cold."""
TRIES_MAX = 5
"""For one object that breaks in the middle again and again."""
CLOCK_WITHIN_S = 1.0
"""A Date has whole seconds."""
_CLOCK_CODES = ("RequestTimeTooSkewed", "ExpiredRequest")
_CODE = re.compile(rb"<Code>([^<]{1,100})</Code>")
_MESSAGE = re.compile(rb"<Message>([^<]{1,300})</Message>")
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


class Landing:
    """A sink for one object: where its bytes go, what they hash to. `view` None: memory of the
    length that the head tells is still to be had."""

    def __init__(self, view: memoryview | None, progress: Callable[[int], None]) -> None:
        self.view = view
        self.done_bytes = 0
        self.came_bytes = 0
        """In all, those included that had to come again."""
        self.etag = ""
        self.waits = False
        """The head is in, and memory is wanted."""
        self._progress = progress
        self._base = 0
        """Where in the object the present answer begins."""
        self._hashed = 0
        self._digest = hashlib.sha256()

    def place(self, head: Head) -> memoryview | Place:
        """See Sink."""
        if head.status == 200 and head.length is not None:
            self._restart(head)
            if self.view is None or len(self.view) != head.length:
                self.waits = True
                return Place.WAIT
            return self.view
        if head.status == 206 and self.view is not None and self._goes_on(head):
            self._base = self.done_bytes
            return self.view[self._base :]
        return Place.COLLECT

    def _goes_on(self, head: Head) -> bool:
        """Whether a part is the one that is missing."""
        assert self.view is not None
        found = _RANGE.fullmatch(head.get(b"content-range"))
        size_bytes = len(self.view)
        wanted = (self.done_bytes, size_bytes - 1, size_bytes)
        if found is None or head.length != size_bytes - self.done_bytes:
            return False
        return tuple(map(int, found.groups())) == wanted

    def _restart(self, head: Head) -> None:
        """The whole object comes, perhaps again: a store may not know ranges."""
        self.etag = head.get(b"etag").strip('"')
        self.waits = False
        self._base = self.done_bytes = self._hashed = 0
        self._digest = hashlib.sha256()

    def landed(self, done_bytes: int) -> None:
        """See Sink."""
        assert self.view is not None
        done = self._base + done_bytes
        self.came_bytes += done - self.done_bytes
        self.done_bytes = done
        if done - self._hashed >= HASHED_AT_ONCE or done == len(self.view):
            self._digest.update(self.view[self._hashed : done])
            self._hashed = done
            self._progress(done)

    @property
    def is_pinned(self) -> bool:
        """Whether the object can be told from any other: a weak ETag cannot do that."""
        return bool(self.etag) and not self.etag.startswith("W/")

    @property
    def is_whole(self) -> bool:
        """Whether every byte is here."""
        return self.view is not None and self.done_bytes == len(self.view)

    @property
    def sha256(self) -> str:
        """Of all that landed, in hex."""
        return self._digest.hexdigest()


class CredentialSource(Protocol):
    """Who knows what to sign with."""

    async def credentials(self, *, anew: bool = False) -> Credentials:
        """Present ones; `anew`: not those that were refused. Raises ObjectError."""


Memory = Callable[[int, str], Awaitable[memoryview]]
"""Memory of a size, for an object with that ETag; whoever waits for it may be cancelled."""


class Fetcher:
    """GETs from one store, over one pool."""

    def __init__(
        self, spec: StoreSpec, source: CredentialSource, *, clock: Callable[[], float] = time
    ) -> None:
        self._source = source
        self._clock = clock
        self._skew_s = 0.0
        """The store's clock minus ours."""
        self._signer = Signer(spec.region)
        self._origin = Origin.of(spec.endpoint)
        self._path = urlsplit(spec.endpoint).path.rstrip("/")
        context = ssl.create_default_context(cafile=spec.ca_file) if self._origin.is_tls else None
        dialer = Dialer(self._origin, context=context, connect_s=spec.connect_timeout_s)
        self._pool = Pool(dialer, limit=spec.connections, keepalive_s=spec.keepalive_s)
        self._patience = Patience(head_s=spec.header_timeout_s, idle_s=spec.body_timeout_s)

    async def close(self) -> None:
        """End every connection."""
        await self._pool.close()

    async def get(self, bucket: str, key: str, etag: str, landing: Landing, memory: Memory) -> str:
        """Land an object; its ETag. Raises UnchangedError when it still has `etag`, ObjectError
        otherwise. When this returns, raises or is cancelled, nothing refers to the memory."""
        path = self._path + object_path(bucket, key)
        headers = {"if-none-match": f'"{etag}"'} if etag else {}
        keys = await self._source.credentials()
        fresh = False
        failed: Exception = ObjectError("StoreError", "nothing helped")
        for _ in range(TRIES_MAX):
            before = landing.came_bytes
            connection = await self._take(fresh=fresh)
            was_kept = connection.used > 0
            try:
                request = self._request(path, headers, keys)
                answer = await self._land(connection, request, landing, memory)
            except GarbledError as error:
                raise ObjectError("StoreUnreachable", str(error)) from None
            except (LostError, TimedOutError) as error:
                fresh, failed = True, _named(error)
                if landing.came_bytes > before and landing.is_pinned:
                    headers = {
                        "if-match": f'"{landing.etag}"', "range": f"bytes={landing.done_bytes}-",
                    }  # fmt: skip
                elif not was_kept or isinstance(error, TimedOutError):
                    raise failed from None
                continue
            finally:
                self._pool.give(connection)
            head = answer.head
            if landing.is_whole and head.status in (200, 206):
                return landing.etag
            failed = _refused(answer)
            if head.status in (401, 403):
                if self._put_clock_right(answer):
                    continue
                known, keys = keys, await self._source.credentials(anew=True)
                if keys != known:
                    continue
            raise failed
        raise failed

    async def _take(self, *, fresh: bool) -> Connection:
        try:
            return await self._pool.take(fresh=fresh)
        except UnreachableError as error:
            raise ObjectError("StoreUnreachable", str(error)) from None

    def _request(self, path: str, headers: dict[str, str], keys: Credentials) -> bytes:
        signed = self._signer.sign(
            "GET", self._origin.authority, path, headers, keys, self._clock() + self._skew_s
        )
        lines = "".join([f"{name}: {value}\r\n" for name, value in signed.items()])
        return f"GET {path} HTTP/1.1\r\n{lines}accept-encoding: identity\r\n\r\n".encode()

    async def _land(
        self, connection: Connection, request: bytes, landing: Landing, memory: Memory
    ) -> Answer:
        answer = await connection.exchange(request, landing, self._patience)
        if landing.waits:
            assert answer.head.length is not None
            landing.view = await memory(answer.head.length, landing.etag)
            landing.waits = False
            await connection.land(landing.view)
        return answer

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
