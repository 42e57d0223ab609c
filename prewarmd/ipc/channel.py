"""Framed messages over one end of a multiprocessing pipe, on uvloop and asyncio alike.

`multiprocessing.Pipe` makes the socketpair, and that is all of multiprocessing that is used here:
under uvloop the descriptor becomes non-blocking, and `Connection.send` and `recv` then raise
BlockingIOError in the middle of a frame (uvloop issue 686); `recv` would also unpickle.

A frame is a 4-byte length, then an orjson array of messages. All messages sent in one turn of the
loop leave as one frame, so batching is natural and needs no timer. Bounds: a frame, and the outbox;
an end that does not read is stuck, and the channel closes with that as its reason. Whatever the
peer sends, the worst that happens is `on_closed(ProtocolError)`.

Cost per message, measured by bench/channel_roundtrip.py: a few microseconds one by one, one or two
in batches of 16.
"""

import asyncio
import os
import socket
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, Self, cast

import orjson

from prewarmd.errors import ProtocolError

FRAME_BYTES_MAX = 8 << 20
"""A page of 1000 listed keys of 1 KiB fits, with room to spare."""
OUTBOX_BYTES_MAX = 32 << 20
_HEAD = 4
_MESSAGES_PER_FRAME = 1024

OnBatch = Callable[[list[list[Any]]], None]
OnClosed = Callable[[Exception | None], None]


class Channel(asyncio.Protocol):
    """One end. `on_batch` gets what came in one frame; `on_closed` comes exactly once, with None
    for an end of file at a frame's boundary or our own `close`."""

    def __init__(self, on_batch: OnBatch, on_closed: OnClosed) -> None:
        self._on_batch = on_batch
        self._on_closed = on_closed
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray()
        self._outgoing: list[list[Any]] = []
        self._reason: Exception | None = None
        self._closed = False
        self._gone = asyncio.Event()

    @classmethod
    async def adopt(
        cls, end: Connection | socket.socket, *, on_batch: OnBatch, on_closed: OnClosed
    ) -> Self:
        """Take over one end of a pipe; `end` itself is closed, its descriptor lives on here."""
        sock = socket.socket(fileno=os.dup(end.fileno()))
        end.close()
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        _, channel = await loop.create_unix_connection(lambda: cls(on_batch, on_closed), sock=sock)
        return channel

    def send(self, message: list[Any]) -> None:
        """Queue one message for this turn's frame; on a closed channel it is dropped."""
        if self._closed:
            return
        if not self._outgoing:
            self._loop.call_soon(self.flush)
        self._outgoing.append(message)

    def flush(self) -> None:
        """Hand everything queued to the transport now."""
        transport, outgoing = self._transport, self._outgoing
        if transport is None or not outgoing:
            return
        self._outgoing = []
        for start in range(0, len(outgoing), _MESSAGES_PER_FRAME):
            body = orjson.dumps(outgoing[start : start + _MESSAGES_PER_FRAME])
            if len(body) > FRAME_BYTES_MAX:
                self._fail(ProtocolError(f"a frame of {len(body)} bytes is too long to send"))
                return
            transport.write(len(body).to_bytes(_HEAD, "big") + body)
        if transport.get_write_buffer_size() > OUTBOX_BYTES_MAX:
            self._fail(ProtocolError("the other end does not read: its outbox is full"))

    async def flushed(self) -> None:
        """Wait until the kernel has taken everything (or the channel is closed)."""
        self.flush()
        # No event tells that a buffer is empty.
        while self._transport and self._transport.get_write_buffer_size():  # noqa: ASYNC110
            await asyncio.sleep(0.001)

    def close(self) -> None:
        """Close; idempotent. What the kernel has not taken is lost."""
        self.flush()
        if self._transport is not None:
            self._transport.close()

    async def wait_closed(self) -> None:
        """Wait for `on_closed` to have been called."""
        await self._gone.wait()

    def _fail(self, reason: Exception) -> None:
        self._reason = self._reason or reason
        self._closed = True
        if self._transport is not None:
            self._transport.abort()

    # -- asyncio.Protocol ------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        buffer = self._buffer
        buffer += data
        start, size = 0, len(buffer)
        while size - start >= _HEAD and not self._closed:
            length = int.from_bytes(buffer[start : start + _HEAD], "big")
            if not 2 <= length <= FRAME_BYTES_MAX:
                self._fail(ProtocolError(f"a frame of {length} bytes"))
                return
            end = start + _HEAD + length
            if size < end:
                break
            body = bytes(memoryview(buffer)[start + _HEAD : end])
            start = end
            self._deliver(body)
        if start:
            del buffer[:start]

    def _deliver(self, body: bytes) -> None:
        try:
            batch = orjson.loads(body)
        except orjson.JSONDecodeError:
            self._fail(ProtocolError("a frame that is not JSON"))
            return
        if not isinstance(batch, list) or not all(isinstance(m, list) for m in batch):
            self._fail(ProtocolError("a frame that is not an array of arrays"))
            return
        self._on_batch(batch)

    def eof_received(self) -> bool:
        """See asyncio.Protocol: the peer is gone, so are we."""
        if self._buffer:
            self._reason = self._reason or ProtocolError("the pipe ended inside a frame")
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        self._closed = True
        self._transport = None
        self._outgoing.clear()
        self._gone.set()
        self._on_closed(self._reason or exc)
