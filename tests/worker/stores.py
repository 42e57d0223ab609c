"""A store of one object that knows ranges, and misbehaves on purpose where a test wants it to."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from tests.worker.http.servers import request_of

PIECE_BYTES = 256 << 10


@dataclass
class Ask:
    """One request. `start` and `end` (exclusive) of what it asks for; all, when `is_plain`."""

    head: bytes
    number: int
    start: int
    end: int
    is_plain: bool

    @property
    def is_pinned(self) -> bool:
        """Whether it wants a part of just that object."""
        return b'if-match: "one"\r\n' in self.head


Misdeed = Callable[[Ask, asyncio.StreamWriter], Awaitable[bool]]
"""Answer in one's own way, and say so; or leave it to the store. True ends the connection."""


@dataclass
class RangedStore:
    """Serves `body` as it should, but for the misdeed. It is a script for `serving`."""

    body: bytes
    misdeed: Misdeed | None = None
    headers: tuple[str, ...] = ('ETag: "one"',)
    asked: list[Ask] = field(default_factory=list)

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await self.answer(await request_of(reader), writer):
            pass

    async def answer(self, head: bytes, writer: asyncio.StreamWriter) -> bool:
        """One request; whether the connection is still good."""
        ask = self._read(head)
        self.asked.append(ask)
        if self.misdeed is not None and await self.misdeed(ask, writer):
            await writer.drain()
            writer.close()
            await writer.wait_closed()
            return False
        writer.write(self.head(ask))
        await self.send(ask, writer, ask.end - ask.start)
        return True

    def _read(self, head: bytes) -> Ask:
        number = len(self.asked)
        found = re.search(rb"range: bytes=(\d+)-(\d+)\r\n", head)
        if found is None:
            return Ask(head, number, 0, len(self.body), is_plain=True)
        return Ask(head, number, int(found[1]), int(found[2]) + 1, is_plain=False)

    def head(self, ask: Ask, *changed: str) -> bytes:
        """Of the answer to a request; `changed` headers instead of the store's own."""
        status = "200 OK" if ask.is_plain else "206 Partial Content"
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {ask.end - ask.start}"]
        if not ask.is_plain:
            lines.append(f"Content-Range: bytes {ask.start}-{ask.end - 1}/{len(self.body)}")
        names = {line.partition(":")[0] for line in changed}
        kept = [line for line in (*lines, *self.headers) if line.partition(":")[0] not in names]
        return "\r\n".join([*kept, *changed, "", ""]).encode()

    async def send(self, ask: Ask, writer: asyncio.StreamWriter, size_bytes: int) -> None:
        """So much of what was asked for."""
        end = ask.start + size_bytes
        for at in range(ask.start, end, PIECE_BYTES):
            writer.write(self.body[at : min(at + PIECE_BYTES, end)])
            await writer.drain()


def refusal_of(status: str) -> bytes:
    """An answer without a body."""
    return f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode()


def meeting(number: int) -> Misdeed:
    """No part is answered before so many requests are there."""
    arrived = 0
    everyone = asyncio.Event()

    async def misdeed(ask: Ask, _: asyncio.StreamWriter) -> bool:
        nonlocal arrived
        arrived += 1
        if arrived == number:
            everyone.set()
        if not ask.is_plain:
            await everyone.wait()
        return False

    return misdeed
