"""A Bot API server that takes whatever is sent, and misbehaves on purpose where a test wants it to.

The sandbox's own server (prewarmd.sandbox.botapi) knows Telegram's rules; this one knows none, so
that its answers can be what no server of Telegram's would say.
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson

from prewarmd.core.jobs import Kind
from prewarmd.sandbox.media import Format, make
from prewarmd.worker.answers import Accepted, Refused
from prewarmd.worker.media import Ways, Whole
from prewarmd.worker.spec import TelegramSpec
from prewarmd.worker.telegram import Telegram
from tests.worker.http.servers import request_of, serving

TOKEN = "700000001:" + "AbC-dEf_" * 4
PHOTO = make(Format.JPEG, 20_000, 1)


@dataclass(frozen=True)
class Sent:
    """One upload as it arrived."""

    number: int
    """From 0 on."""
    connection: int
    at: float
    token: str
    method: str
    chat_id: int
    size_bytes: int
    """Of its file."""


def reply(status: str, body: bytes | dict[str, Any] = b"", *headers: str) -> bytes:
    """An answer with its length; a dictionary as JSON."""
    data = body if isinstance(body, bytes) else orjson.dumps(body)
    lines = (f"HTTP/1.1 {status}", f"Content-Length: {len(data)}", *headers)
    return "\r\n".join([*lines, "", ""]).encode() + data


def refusal(code: int, description: str = "", **parameters: object) -> bytes:
    """As Telegram says no."""
    said: dict[str, Any] = {"ok": False, "error_code": code, "description": description}
    if parameters:
        said["parameters"] = parameters
    return reply(f"{code} No", said)


def message(sent: Sent, **changed: object) -> dict[str, Any]:
    """What Telegram says of a document that it took: its id tells which upload it was."""
    media = {"file_id": f"id-{sent.number}", "file_size": sent.size_bytes, **changed}
    return {"ok": True, "result": {"message_id": sent.number, "document": media}}


Misdeed = Callable[[Sent, asyncio.StreamWriter], Awaitable[bytes | None]]
"""An answer of one's own, or None for the usual one; EOFError ends the connection."""


@dataclass
class ScriptedTelegram:
    """Takes every upload, but for the misdeed. It is a script for `serving`."""

    misdeed: Misdeed | None = None
    sent: list[Sent] = field(default_factory=list)
    connections: int = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        connection = self.connections
        while True:
            head = await request_of(reader)
            found = re.search(rb"(?i)\r\ncontent-length: (\d+)\r\n", head)
            body = await reader.readexactly(int(found[1]) if found else 0)
            sent = self._read(head, body, connection)
            self.sent.append(sent)
            answer = await self.misdeed(sent, writer) if self.misdeed else None
            writer.write(reply("200 OK", message(sent)) if answer is None else answer)
            await writer.drain()

    def _read(self, head: bytes, body: bytes, connection: int) -> Sent:
        path = re.match(rb"POST /bot([^/]+)/(\w+) ", head)
        chat = re.search(rb'name="chat_id"\r\n\r\n(-?\d+)\r\n', body)
        assert path is not None
        assert chat is not None
        file = body[body.index(b"\r\n\r\n", body.index(b"filename=")) + 4 : body.rindex(b"\r\n--")]
        return Sent(
            len(self.sent), connection, time.monotonic(), path[1].decode(), path[2].decode(),
            int(chat[1]), len(file),
        )  # fmt: skip


Send = Callable[..., Awaitable[Accepted | Refused]]


@asynccontextmanager
async def sending(
    script: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
    **spec: float,
) -> AsyncIterator[Send]:
    """The real client of a server that follows the script."""
    async with serving(script) as server:
        options: dict[str, Any] = dict(spec)
        telegram = Telegram(TelegramSpec(server.url, **options), {"alpha": TOKEN})

        async def send(data: bytes = PHOTO, kind: Kind = Kind.DOCUMENT) -> Accepted | Refused:
            media = Whole(memoryview(data), Ways(lambda _: None, lambda: None))
            return await telegram.send("alpha", 100, kind, media, "a.bin")

        async with telegram:
            yield send
