"""Relay: an object from the store to Telegram through a small window, whatever its size.

The window is a few cells; each is filled by a GET of its own, by Range and If-Match, while those
before it are sent, so a store that bounds each connection, or takes long to begin, costs little. A
cell is used again when the transport refers to none of it any more. The bytes are hashed as they
pass, and the closing boundary goes only when all of them are verified and the engine has sealed it.

Memory: `CELLS` cells a relay, and `AT_ONCE` relays a child; later ones wait for a window.
"""

import asyncio
import hashlib
from collections import deque
from collections.abc import Callable

from prewarmd.worker.fetch import Fetcher, Order
from prewarmd.worker.http.connection import Connection
from prewarmd.worker.http.head import Head
from prewarmd.worker.landing import Landing, Memory, check_promise
from prewarmd.worker.media import Media, Ways
from prewarmd.worker.ranges import Part, Parts, RangelessError
from prewarmd.worker.refusals import ObjectError

CELL_BYTES, CELLS = 2 << 20, 6
AT_ONCE = 4
"""Relays of one child."""
_NOTHING = memoryview(b"")


class Window(Landing):
    """Memory for some stretches of an object, each in a cell."""

    def __init__(self) -> None:
        super().__init__(None, lambda _: None)
        self._memory = memoryview(b"")
        self._free: list[int] = []
        self._cells: dict[int, int] = {}
        """Where in the object a stretch begins -> its cell."""

    @property
    def has_memory(self) -> bool:
        """Whether it has any."""
        return bool(self._memory)

    @property
    def is_full(self) -> bool:
        """Whether every cell is taken."""
        return not self._free

    def provide(self) -> None:
        """Have memory, now that it is wanted."""
        self._memory = memoryview(bytearray(CELL_BYTES * min(CELLS, self.cells_wanted)))
        self._free = list(range(len(self._memory) // CELL_BYTES))

    @property
    def cells_wanted(self) -> int:
        """How many the object would fill."""
        return -(-self.size_bytes // CELL_BYTES)

    def take(self, start: int) -> int:
        """A cell for the stretch that begins there; where that ends."""
        self._cells[start] = self._free.pop()
        return min(start + CELL_BYTES, self.size_bytes)

    def let_go(self, start: int) -> None:
        """The stretch that begins there is needed no longer."""
        self._free.append(self._cells.pop(start))

    def stretch(self, start: int, end: int) -> memoryview:
        """See Landing: within one cell."""
        begins = start - start % CELL_BYTES
        at = self._cells[begins] * CELL_BYTES + start - begins
        return self._memory[at : at + end - start]

    def begin(self, size_bytes: int, etag: str) -> None:
        """See Landing. What has passed cannot come anew."""
        if self.has_memory:
            raise ObjectError("ObjectChanged", "the object came anew while it passed through")
        super().begin(size_bytes, etag)

    def landed(self, start: int, before: int, at: int) -> None:
        """See Landing: whoever fills a cell knows when it is full."""


class _Stretches(Parts):
    """Parts that nobody comes to help with: each is asked for when there is a cell for it."""

    def __init__(self, window: Window) -> None:
        super().__init__(window)
        self._window = window

    def are_many(self, head: Head) -> bool:
        """See Parts."""
        return self.landing.is_pinned and self.landing.size_bytes > CELL_BYTES

    def divide(self, first: Part, head: Head) -> None:
        """See Parts."""
        first.end_at(self._window.take(0))


class Passing(Media):
    """An object on its way through; `passed` hears of its hash and ETag when all but the closing
    boundary has gone."""

    def __init__(
        self,
        fetcher: Fetcher,
        passed: Callable[[str, str], None],
        sealed: asyncio.Future[None],
        ways: Ways,
        sha256: str,
    ) -> None:
        super().__init__(_NOTHING, 0, ways)
        self._fetcher = fetcher
        self._passed = passed
        self._sealed = sealed
        self._promised = sha256
        self._window = Window()
        self._stretches = _Stretches(self._window)
        self._order: Order
        self._fills: deque[tuple[int, int, asyncio.Task[None] | None]] = deque()

    async def open(self, bucket: str, key: str, memory: Memory) -> None:
        """Have its first bytes; `memory` is told its size, and may take its time. Raises
        ObjectError."""

        async def provide(size_bytes: int, etag: str) -> memoryview:
            await memory(size_bytes, etag)
            self._window.provide()
            return _NOTHING

        self._order = await self._fetcher.order(bucket, key, "", self._stretches, provide)
        first = self._stretches.take()
        assert first is not None
        await self._fill(first)
        self.size_bytes = self._window.size_bytes
        end = min(CELL_BYTES, self.size_bytes)
        if end < self.size_bytes and not self._stretches.goes_on:
            raise ObjectError("StoreError", "no strong ETag: its parts could be of two objects")
        self.first = self._window.stretch(0, end)
        self._fills.append((0, end, None))

    async def _fill(self, part: Part) -> None:
        try:
            await self._fetcher.fill(self._order, part)
        except RangelessError:
            raise ObjectError("StoreError", "the store sends no parts of objects") from None

    async def write(self, connection: Connection) -> bool:
        """See Media."""
        digest = hashlib.sha256()
        try:
            while self._fills:
                self._fill_ahead()
                start, end, filling = self._fills[0]
                if filling is not None:
                    if not await connection.until(filling):
                        return False
                    filling.result()
                for at in range(start, end, connection.piece_bytes):
                    piece = self._window.stretch(at, min(at + connection.piece_bytes, end))
                    digest.update(piece)
                    await asyncio.sleep(0)  # others have their turn
                    if not await self._send(piece, at, connection):
                        return False
                if not await connection.flushed():
                    return False
                self._window.let_go(start)
                self._fills.popleft()
            sha256 = digest.hexdigest()
            check_promise(self._promised, sha256)
            self._passed(sha256, self._window.etag)
            return await connection.until(self._sealed)
        finally:
            filling = None  # an error that it holds holds this frame, and so the window
            await self.close()

    def _fill_ahead(self) -> None:
        """The cell that is needed next, and others if they are nobody's loss."""
        start = self._fills[-1][1]
        while start < self.size_bytes and not self._window.is_full:
            if len(self._fills) > 1 and not self._fetcher.may_help:
                return
            end = self._window.take(start)
            filling = asyncio.ensure_future(self._fill(Part(self._stretches, start, end)))
            self._fetcher.count_helper(filling)
            self._fills.append((start, end, filling))
            start = end

    async def close(self) -> None:
        """End what is still being fetched."""
        fills = [filling for *_, filling in self._fills if filling is not None]
        self._fills.clear()
        for filling in fills:
            filling.cancel()
        await asyncio.gather(*fills, return_exceptions=True)
