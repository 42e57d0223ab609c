"""Where an object lands: its extent, how much of it is there, what that hashes to.

Bytes may land anywhere, in parts that abut; what is there from the first byte on without a gap is
hashed as it grows. When a gap closes, much may be there at once: at most a mebibyte is hashed
between two turns of the loop, which takes 0.6 ms.

Whoever follows a landing reads from the front, up to `done_bytes`, and awaits `beyond` for more and
`verified` for the end. What it has read stays true: an object that comes anew must be the same one,
and hash to the same as far as it was told of.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable

from prewarmd.worker.refusals import ObjectError

HASHED_AT_ONCE = 64 << 10
"""Bytes: fewer would cost more in calls than in hashing, more would lie cold."""
HASHED_AT_ONCE_MAX = 1 << 20
Memory = Callable[[int, str], Awaitable[memoryview]]
"""Memory of a size, for an object with that ETag; whoever waits for it may be cancelled."""


class Landing:
    """One object. `view` None: memory of the length that the store tells is still to be had;
    `sha256`, in hex: what it must hash to, "" when nobody knows."""

    def __init__(
        self, view: memoryview | None, progress: Callable[[int], None], sha256: str = ""
    ) -> None:
        self.view = view
        self.etag = ""
        """Of what lands, without quotes; "" before anything does."""
        self.size_bytes = 0
        self.done_bytes = 0
        """From the first on, without a gap, hashed."""
        self.is_verified = False
        """Every byte is there, and hashes to what was promised."""
        self.failure: ObjectError | None = None
        """Nothing more will land."""
        self._is_followed = False
        self._waiters: list[asyncio.Future[None]] = []
        self._progress = progress
        self._promised = sha256
        self._there_bytes = 0
        """From the first on, without a gap, hashed or not."""
        self._ahead: dict[int, int] = {}
        """Behind the first gap: where a stretch of bytes begins, and where it ends."""
        self._landed_bytes = self._told_bytes = 0
        """Wherever they are."""
        self._digest = hashlib.sha256()
        self._witness: tuple[int, bytes] | None = None
        """What so many bytes hashed to when they came the last time."""
        self._later: asyncio.Handle | None = None

    # -- what lands ------------------------------------------------------------------------------

    def begin(self, size_bytes: int, etag: str) -> None:
        """An object of that size comes, from its first byte on, perhaps anew. Raises ObjectError
        when it is another one than somebody follows."""
        if self._is_followed and not (etag == self.etag and self.is_pinned):
            raise ObjectError("ObjectChanged", "the object comes anew, and is another one")
        if self._later is not None:
            self._later.cancel()
            self._later = None
        if etag != self.etag or not self.is_pinned:
            self._witness = None
        elif self.done_bytes and self._witness is None:
            self._witness = self.done_bytes, self._digest.digest()
        self.etag, self.size_bytes = etag, size_bytes
        self.done_bytes = self._there_bytes = self._landed_bytes = self._told_bytes = 0
        self._ahead.clear()
        self._digest = hashlib.sha256()

    @property
    def is_pinned(self) -> bool:
        """Whether the object can be told from any other: a weak ETag cannot do that."""
        return bool(self.etag) and not self.etag.startswith("W/")

    @property
    def has_memory(self) -> bool:
        """Whether there is memory of just the size that is wanted."""
        return self.view is not None and len(self.view) == self.size_bytes

    def stretch(self, start: int, end: int) -> memoryview:
        """Memory for a stretch of it."""
        assert self.view is not None
        return self.view[start:end]

    def landed(self, start: int, before: int, at: int) -> None:
        """The stretch that begins at `start` ended at `before`, and ends at `at` now."""
        self._landed_bytes += at - before
        is_whole = self._landed_bytes == self.size_bytes
        if is_whole or self._landed_bytes - self._told_bytes >= HASHED_AT_ONCE:
            self._told_bytes = self._landed_bytes
            self._progress(self._landed_bytes)
        if start > self._there_bytes:
            self._ahead[start] = at
            return
        self._there_bytes = at
        while (end := self._ahead.pop(self._there_bytes, 0)) > 0:
            self._there_bytes = end
        if self._later is None:
            self._hash()

    def _hash(self) -> None:
        """Hash some of what is there; the rest when the loop comes round again."""
        self._later = None
        assert self.view is not None
        goal = self._witness[0] if self._witness is not None else self.size_bytes
        end = min(self._there_bytes, self.done_bytes + HASHED_AT_ONCE_MAX, goal)
        if end - self.done_bytes < HASHED_AT_ONCE and end != goal:
            return
        self._digest.update(self.view[self.done_bytes : end])
        self.done_bytes = end
        if self._witness is not None and end == self._witness[0]:
            if self._digest.digest() != self._witness[1]:
                self.fail(ObjectError("ObjectChanged", "the same ETag came with other bytes"))
                return
            self._witness = None
        if end < self._there_bytes:
            self._later = asyncio.get_running_loop().call_soon(self._hash)
        self._wake()

    # -- its end ---------------------------------------------------------------------------------

    async def verify(self) -> str:
        """All has landed: the hash, in hex. Raises ObjectError when another was promised."""
        while self.done_bytes < self.size_bytes or self.failure is not None:
            await self._more()
        sha256 = self._digest.hexdigest()
        check_promise(self._promised, sha256)
        self.is_verified = True
        self._wake()
        return sha256

    @property
    def sha256(self) -> str:
        """Of all that was hashed, in hex."""
        return self._digest.hexdigest()

    def fail(self, why: ObjectError) -> None:
        """Nothing more will land, unless it was verified already."""
        if self._later is not None:
            self._later.cancel()
            self._later = None
        if not self.is_verified and self.failure is None:
            self.failure = why
            self._wake()

    def __enter__(self) -> None:
        """Within, it lands; behind, whoever follows knows how that ended."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, ObjectError):
            self.fail(ObjectError(error.code, error.detail))  # without its frames
        self.fail(ObjectError("Stopped", "the fetch was given up"))

    # -- who follows -----------------------------------------------------------------------------

    def follow(self) -> None:
        """Somebody may do so from now on."""
        self._is_followed = True

    async def beyond(self, done_bytes: int) -> int:
        """As soon as more than that are there in front: how many. Raises ObjectError when they
        will not come. Bytes may come anew, so it can take a while; they are the same then."""
        self.follow()
        while self.done_bytes <= done_bytes or self._witness is not None:
            await self._more()
        return self.done_bytes

    async def verified(self) -> str:
        """As soon as every byte is there and verified: the hash, in hex. Raises ObjectError."""
        self.follow()
        while not self.is_verified:
            await self._more()
        return self.sha256

    async def _more(self) -> None:
        self._check()
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        finally:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
        self._check()

    def _check(self) -> None:
        if self.failure is not None:
            raise ObjectError(self.failure.code, self.failure.detail)

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)


def check_promise(promised: str, sha256: str) -> None:
    """Raises ObjectError when an object is not what was promised; "" promises nothing."""
    if promised not in ("", sha256):
        raise ObjectError("Sha256Mismatch", f"promised {promised}, the object has {sha256}")
