"""The way out of a connection: what was written, and what of it the kernel has not taken yet.

The transport writes what it is given where it lies: it refers to that until the kernel has taken
it. (Over TLS it takes a copy at once, and as much as it is given: hence small pieces.)
"""

import asyncio
import socket
import struct
from typing import Any

PIECE_BYTES, TLS_PIECE_BYTES = 256 << 10, 64 << 10
"""Written at once: over TLS a larger piece would be encrypted at once, and stop the loop (50 MB:
188 ms, measured)."""
_RESET = struct.pack("ii", 1, 0)


class Outgoing:
    """Of one connection; `lost` is set when that is gone."""

    def __init__(self, loop: asyncio.AbstractEventLoop, lost: asyncio.Future[None]) -> None:
        self.piece_bytes = PIECE_BYTES
        """What is best written at once."""
        self.is_tls = False
        self.is_full = False
        """As much waits as may wait."""
        self.written_bytes = 0
        """Since `begin`."""
        self._loop = loop
        self._lost = lost
        self._transport: asyncio.Transport | None = None
        self._woken: asyncio.Future[None] | None = None

    def attach(self, transport: asyncio.Transport) -> None:
        """That transport carries it from now on."""
        self.is_tls = transport.get_extra_info("ssl_object") is not None
        self.piece_bytes = TLS_PIECE_BYTES if self.is_tls else PIECE_BYTES
        self._transport = transport
        transport.set_write_buffer_limits(self.piece_bytes)

    def begin(self) -> None:
        """Count anew."""
        self.written_bytes = self.held_bytes

    def write(self, *pieces: bytes | memoryview) -> None:
        """Hand them to the transport, in one system call if the kernel takes them."""
        assert self._transport is not None
        self._transport.writelines(pieces)
        self.written_bytes += sum(map(len, pieces))

    @property
    def held_bytes(self) -> int:
        """That the transport refers to and the kernel has not taken."""
        transport = self._transport
        return 0 if transport is None or self._lost.done() else transport.get_write_buffer_size()

    @property
    def taken_bytes(self) -> int:
        """Of what was written, that the kernel has."""
        return self.written_bytes - self.held_bytes

    async def drained(self, unless: asyncio.Future[Any] | None = None) -> None:
        """Wait until the transport refers to nothing of ours, or is gone, or `unless` is done."""
        if not self.held_bytes:
            return
        assert self._transport is not None
        self._transport.set_write_buffer_limits(0)
        while self.is_full and not (self._lost.done() or (unless and unless.done())):
            await self.change()
        if not self._lost.done():
            self._transport.set_write_buffer_limits(self.piece_bytes)

    async def change(self) -> None:
        """Wait until something may be otherwise: there is room again, or somebody woke it."""
        self._woken = self._loop.create_future()
        await self._woken

    def reset(self) -> None:
        """End the connection. The peer sees a reset: else the kernel would go on delivering what it
        has taken, and then say that all is well."""
        transport = self._transport
        if transport is None or self._lost.done():
            return
        sock = transport.get_extra_info("socket")
        if sock is not None and not transport.is_closing():
            try:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            except OSError:
                pass  # it is closed already
        transport.abort()

    def fill(self) -> None:
        """The transport takes no more for now."""
        self.is_full = True

    def resume(self) -> None:
        """It takes more again."""
        self.is_full = False
        self.wake()

    def wake(self, _: object = None) -> None:
        """Whoever waits for a change looks again."""
        if self._woken is not None and not self._woken.done():
            self._woken.set_result(None)
