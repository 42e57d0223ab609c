"""Framed messages over one end of a multiprocessing pipe, on uvloop and asyncio alike.

`multiprocessing.Pipe` makes the socketpair, and that is all of multiprocessing that is used here:
under uvloop the descriptor becomes non-blocking, and `Connection.send` and `recv` then raise
BlockingIOError in the middle of a frame (uvloop issue 686); `recv` would also unpickle.

A frame is a 4-byte length, then an orjson array of messages. All messages sent in one turn of the
loop leave as one frame, so batching is natural and needs no timer.

What holds, whatever the other end does:
- `on_closed` is called exactly once, after the last `on_batch`, and no frame raises into the loop;
- no more is allocated than has arrived, and a frame is at most FRAME_BYTES_MAX;
- what waits to be sent is bounded: an end that does not read closes the channel;
- what the other end wrote before it died is delivered, even if our own write is what finds it dead.

Measured by bench/channel_roundtrip.py: see there for the cost of a message.
"""

import asyncio
import os
import socket
from collections.abc import Callable
from contextlib import ExitStack
from multiprocessing.connection import Connection
from typing import Any, Self, cast

import orjson

from prewarmd.errors import ProtocolError

FRAME_BYTES_MAX = 8 << 20
"""A page of 1000 listed keys of 1 KiB fits, even with every byte escaped."""
OUTBOX_BYTES_MAX = 32 << 20
_HEAD = 4
_BRACKETS_AND_COMMA = 3
_READ_BYTES = 256 << 10
_LAST_READS_MAX = 64
"""A dead peer leaves at most a socket buffer; a living one that refuses to read could go on."""

OnBatch = Callable[[list[list[Any]]], None]
OnClosed = Callable[[Exception | None], None]


class Channel(asyncio.Protocol):
    """One end. `on_batch` gets what came in one frame. `on_closed` gets None for an end of file at
    a frame's boundary or our own `close`, ProtocolError when the other end broke the rules (or does
    not read), EOFError when it ended inside a frame, OSError from the system."""

    def __init__(
        self, on_batch: OnBatch, on_closed: OnClosed, outbox_bytes_max: int = OUTBOX_BYTES_MAX
    ) -> None:
        self._on_batch = on_batch
        self._on_closed = on_closed
        self._outbox_bytes_max = outbox_bytes_max
        self._loop = asyncio.get_running_loop()
        self._socket: socket.socket | None = None
        self._transport: asyncio.Transport | None = None
        self._incoming = bytearray()
        self._outgoing: list[bytes] = []
        self._outgoing_bytes = 0
        self._held = False
        """Until `adopt` has returned: a first message that overtook it would find its reader half
        made. (uvloop starts to read even if `connection_made` pauses.)"""
        self._reason: Exception | None = None
        self._closed = False
        self._gone = asyncio.Event()
        self._taken = asyncio.Event()
        self._taken.set()

    @classmethod
    async def adopt(
        cls,
        end: Connection | socket.socket,
        *,
        on_batch: OnBatch,
        on_closed: OnClosed,
        outbox_bytes_max: int = OUTBOX_BYTES_MAX,
    ) -> Self:
        """Take over one end of a pipe; `end` itself is closed, its descriptor lives on here."""
        # A duplicate: a Connection that is collected closes its descriptor under the loop.
        descriptor = os.dup(end.fileno())
        end.close()
        try:
            sock = socket.socket(fileno=descriptor)  # finds out by itself whether it is one
        except OSError:
            os.close(descriptor)
            raise
        channel = cls(on_batch, on_closed, outbox_bytes_max)
        channel._socket = sock
        channel._held = True
        with ExitStack() as undo:
            undo.callback(sock.close)
            undo.callback(setattr, channel, "_held", False)
            sock.setblocking(False)
            await channel._loop.create_unix_connection(lambda: channel, sock=sock)
            channel._loop.call_soon(channel._deliver_held)
            undo.pop_all()
        return channel

    def __repr__(self) -> str:
        if self._closed:
            return f"<Channel closed, reason {self._reason!r}>"
        return f"<Channel open, {self.outbox_bytes} bytes to send, {len(self._incoming)} received>"

    @property
    def outbox_bytes(self) -> int:
        """What was sent and the kernel has not taken yet."""
        waiting = self._transport.get_write_buffer_size() if self._transport else 0
        return self._outgoing_bytes + waiting

    def send(self, message: list[Any]) -> None:
        """Queue one message for this turn's frame; on a closed channel it is dropped.

        It is encoded here, so that a message which cannot be sent is a ProtocolError of whoever
        made it, and takes no other message with it.
        """
        if self._closed:
            return
        try:
            encoded = orjson.dumps(message)
        except TypeError as error:
            raise ProtocolError(f"a message that JSON cannot carry: {error}") from error
        if len(encoded) + 2 > FRAME_BYTES_MAX:
            raise ProtocolError(f"a message of {len(encoded)} bytes is longer than a frame")
        if not self._outgoing:
            self._loop.call_soon(self.flush)
        elif self._outgoing_bytes + len(encoded) + _BRACKETS_AND_COMMA > FRAME_BYTES_MAX:
            self.flush()
        self._outgoing.append(encoded)
        self._outgoing_bytes += len(encoded) + 1

    def flush(self) -> None:
        """Hand everything queued to the transport now, as one frame."""
        if self._transport is None or not self._outgoing:
            return
        body = b",".join(self._outgoing)
        self._drop_outgoing()
        head = (len(body) + 2).to_bytes(_HEAD, "big")
        self._transport.write(b"%b[%b]" % (head, body))
        if self._transport.get_write_buffer_size() > self._outbox_bytes_max:
            self._fail(ProtocolError("the other end does not read: the outbox is full"))

    async def flushed(self) -> None:
        """Wait until the kernel has taken everything (or the channel is closed)."""
        self.flush()
        await self._taken.wait()

    def close(self) -> None:
        """Close now; idempotent. What the kernel has not taken is lost: `await flushed()` first."""
        self._closed = True
        self._drop_outgoing()
        if self._transport is not None:
            # Not Transport.close: that would wait, perhaps for ever, for a peer that does not read.
            self._transport.abort()

    async def wait_closed(self) -> None:
        """Wait for `on_closed` to have been called."""
        await self._gone.wait()

    def _fail(self, reason: Exception) -> None:
        self._reason = self._reason or reason
        self.close()

    def _drop_outgoing(self) -> None:
        self._outgoing.clear()
        self._outgoing_bytes = 0

    def _deliver_held(self) -> None:
        self._held = False
        self._decode()

    def _decode(self) -> None:
        """Deliver every whole frame that has arrived."""
        incoming = self._incoming
        done, size = 0, len(incoming)
        try:
            while size - done >= _HEAD and not self._closed:
                start = done + _HEAD
                length = int.from_bytes(incoming[done:start], "big")
                if not 2 <= length <= FRAME_BYTES_MAX:
                    self._fail(ProtocolError(f"a frame of {length} bytes"))
                    break
                if size - start < length:
                    break
                done = start + length
                self._deliver(incoming[start:done])
        finally:
            # Once for all frames: taken off one by one, each would move all that follow.
            del incoming[:done]

    def _deliver(self, body: bytearray) -> None:
        try:
            batch = orjson.loads(body)
        except orjson.JSONDecodeError:
            self._fail(ProtocolError("a frame that is not JSON"))
            return
        if not isinstance(batch, list) or not all(isinstance(m, list) for m in batch):
            self._fail(ProtocolError("a frame that is not an array of arrays"))
            return
        try:
            self._on_batch(batch)
        except Exception as error:  # noqa: BLE001 - boundary: a reader's bug ends its channel, not the loop
            context = {"message": "a channel's reader failed", "exception": error}
            self._loop.call_exception_handler(context)
            self._fail(error)

    def _read_last_words(self) -> None:
        """Read what a peer had written before it closed its end.

        When a write is what meets EPIPE, the transport gives up at once and would throw away what
        it has not read yet: a child's report that an upload succeeded, say.
        """
        assert self._socket is not None
        for _ in range(_LAST_READS_MAX):
            try:
                data = self._socket.recv(_READ_BYTES)
            except OSError:
                break  # nothing there (yet), or reset: either way there is no more to come
            if not data:
                break
            self._incoming += data
            self._decode()

    # -- asyncio.Protocol ------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        self._transport = cast("asyncio.Transport", transport)
        # With a high-water mark of nothing, "paused" means "the kernel has not taken all".
        self._transport.set_write_buffer_limits(high=0)

    def pause_writing(self) -> None:
        """See asyncio.Protocol."""
        self._taken.clear()

    def resume_writing(self) -> None:
        """See asyncio.Protocol."""
        self._taken.set()

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        self._incoming += data
        if not self._held:
            self._decode()

    def eof_received(self) -> bool:
        """See asyncio.Protocol: the peer is gone, so are we."""
        if self._transport is not None:
            self._transport.abort()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        if self._held:
            self._loop.call_soon(self.connection_lost, exc)
            return
        try:
            if isinstance(exc, OSError) and not self._closed:
                self._read_last_words()
            if exc is None and not self._closed and self._incoming:
                self._reason = EOFError("the pipe ended inside a frame")
        finally:
            self._closed = True
            self._transport = self._socket = None
            self._drop_outgoing()
            self._incoming.clear()
            self._taken.set()
            self._gone.set()
            self._reason = self._reason or exc
            self._on_closed(self._reason)
