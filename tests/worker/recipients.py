"""A server that takes uploads as slowly as a test wants, and remembers what it has heard."""

import asyncio
import hashlib
import re
from dataclasses import dataclass, field

from tests.worker.http.servers import request_of, silence

TAIL = b"\r\n--closing boundary--\r\n"
POST = b"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n"
ANSWER = b'HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n{"ok":true}'
_LENGTH = re.compile(rb"content-length: (\d+)\r\n", re.IGNORECASE)


@dataclass
class Recipient:
    """Hears bodies, and answers when they are whole, or `early`. It is a script for `serving`."""

    early: bytes = b""
    """An answer in mid-body..."""
    early_at: int = 0
    """...once so many bytes of it are there; then nothing more is read."""
    keeps: bool = True
    """Whether what is heard is kept, and not only hashed."""
    reads: asyncio.Event = field(default_factory=asyncio.Event)
    """Not a byte is read before it is set."""
    bodies: list[bytearray] = field(default_factory=list)
    heard_bytes: int = 0
    """Of the last body."""
    was_reset: asyncio.Event = field(default_factory=asyncio.Event)
    sha256: str = ""
    """Of the last whole body, without TAIL."""

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                await self._take(reader, writer)
        except (OSError, EOFError):
            self.was_reset.set()
            raise

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        found = _LENGTH.search(await request_of(reader))
        assert found is not None
        length, here, self.heard_bytes = int(found[1]), 0, 0
        body, digest = bytearray(), hashlib.sha256()
        self.bodies.append(body)
        await self.reads.wait()
        while here < length:
            if self.early and here >= self.early_at:
                writer.write(self.early)
                await silence()
            piece = await reader.read(min(1 << 18, length - here))
            if not piece:
                raise EOFError
            digest.update(piece[: max(0, length - len(TAIL) - here)])
            if self.keeps:
                body += piece
            here += len(piece)
            self.heard_bytes = here
        self.sha256 = digest.hexdigest()
        writer.write(ANSWER)

    @property
    def heard(self) -> bytes:
        """The last body, as far as it came."""
        return bytes(self.bodies[-1]) if self.bodies else b""


def reading(**options: object) -> Recipient:
    """One that reads from the start."""
    recipient = Recipient(**options)  # type: ignore[arg-type]
    recipient.reads.set()
    return recipient
