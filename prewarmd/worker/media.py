"""A media on its way to Telegram: where its bytes come from, and when the last of them may go.

`Whole` has all of them in its extent. `Trailing` follows a download into the extent, and keeps the
closing boundary until that is verified and the engine has sealed it. (`relay.Passing` has them pass
through a window.) What speaks against the object ends the exchange with an ObjectError: the
connection is reset, and Telegram has no message.
"""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any

from prewarmd.worker.http.connection import Body, Connection
from prewarmd.worker.landing import Landing


@dataclass(slots=True)
class Ways:
    """Who hears of an upload: of bytes that were handed over, and, before that is done, of the
    closing boundary."""

    progress: Callable[[int], None]
    sent: Callable[[], None]


class Media:
    """Some bytes of it are here (`first`), from its first one on."""

    def __init__(self, first: memoryview, size_bytes: int, ways: Ways) -> None:
        self.first = first
        self.size_bytes = size_bytes
        self.begun = self.complete = False
        self._ways = ways

    def body(self, tail: bytes, connection: Connection) -> Body:
        """Its bytes, and the closing boundary `tail` behind them."""
        return partial(self._write_all, tail)

    async def _write_all(self, tail: bytes, connection: Connection) -> None:
        self.begun = True
        if await self.write(connection):
            self._finish()
            await connection.write(tail, last=True)

    async def write(self, connection: Connection) -> bool:
        """Send the bytes; whether the closing boundary may follow. Raises ObjectError."""
        return await self._send(self.first, 0, connection)

    def _finish(self) -> None:
        self._ways.sent()
        self.complete = True

    async def _send(self, view: memoryview, start: int, connection: Connection) -> bool:
        """Hand over a stretch that begins at `start`, piece by piece; False when no more is
        wanted."""
        step = connection.piece_bytes
        for at in range(0, len(view), step):
            if not await connection.write(view[at : at + step]):
                return False
            self._ways.progress(start + min(at + step, len(view)))
        return True


class Whole(Media):
    """All of it is in its extent."""

    def __init__(self, extent: memoryview, ways: Ways) -> None:
        super().__init__(extent, len(extent), ways)

    def body(self, tail: bytes, connection: Connection) -> Body:
        """What is short goes out together with the head of the request."""
        if self.size_bytes > connection.piece_bytes:
            return super().body(tail, connection)
        self.begun = True
        self._ways.progress(self.size_bytes)
        self._finish()
        return self.first, tail


class Trailing(Media):
    """It follows a landing; `sealed` is done once the closing boundary may go."""

    def __init__(
        self, extent: memoryview, landing: Landing, sealed: asyncio.Future[None], ways: Ways
    ) -> None:
        super().__init__(extent[: landing.done_bytes], len(extent), ways)
        self._extent = extent
        self._landing = landing
        self._sealed = sealed

    async def write(self, connection: Connection) -> bool:
        """See Media."""
        done, landing = 0, self._landing
        while done < self.size_bytes:
            if landing.done_bytes <= done and not await _until(connection, landing.beyond(done)):
                return False
            there = landing.done_bytes
            if there > done and not await self._send(self._extent[done:there], done, connection):
                return False
            done = max(done, there)
        if not await _until(connection, landing.verified()):
            return False
        return await connection.until(self._sealed)


async def _until(connection: Connection, wanted: Coroutine[Any, Any, object]) -> bool:
    """Wait for it; False when no more is wanted. Raises what it raises."""
    waiting = asyncio.ensure_future(wanted)
    try:
        if not await connection.until(waiting):
            return False
        waiting.result()
        return True
    finally:
        waiting.cancel()
        if waiting.done() and not waiting.cancelled():
            waiting.exception()  # it was asked for
        del waiting  # an error that it holds holds this frame, and so all that refers to memory
