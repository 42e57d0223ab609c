"""Keeps connections to one host: at most so many, the one used last first, none idle for long.

Who finds all taken waits in line. A place belongs to whoever took it until the connection is given
back, or is gone; being cancelled while waiting or dialling leaves no trace.
"""

import asyncio
from collections import deque

from prewarmd.worker.http.connection import Connection
from prewarmd.worker.http.dialer import Dialer

SWEEP_S = 0.25


class Pool:
    """To one host."""

    def __init__(self, dialer: Dialer, *, limit: int, keepalive_s: float) -> None:
        self._dialer = dialer
        self._loop = asyncio.get_running_loop()
        self.limit = limit
        """Connections at most."""
        self._keepalive_s = keepalive_s
        self._taken: dict[Connection, None] = {}
        self._idle: list[Connection] = []
        self._promised = 0
        """Places of those who dial, or whose turn has come."""
        self._line: deque[asyncio.Future[None]] = deque()
        self._sweeper: asyncio.TimerHandle | None = None

    @property
    def connections(self) -> int:
        """How many there are, idle ones included."""
        return len(self._taken) + len(self._idle)

    @property
    def is_crowded(self) -> bool:
        """Whether anybody waits for a place."""
        return bool(self._line)

    async def take(self, *, fresh: bool = False) -> Connection:
        """A connection for one exchange; a `fresh` one was never used. Raises UnreachableError."""
        self._start_sweeping()
        if self._line or len(self._taken) + self._promised >= self.limit:
            await self._wait()
        while self._idle:
            connection = self._idle.pop()
            if fresh or not connection.is_fit:
                connection.abort()
                continue
            self._taken[connection] = None
            return connection
        self._promised += 1
        try:
            connection = await self._dialer.dial()
            self._taken[connection] = None
            return connection
        finally:
            self._promised -= 1
            self._next()

    def give(self, connection: Connection) -> None:
        """It is not used any more; one that is not fit for another exchange is ended."""
        del self._taken[connection]
        if connection.is_fit:
            self._idle.append(connection)
        else:
            connection.abort()
        self._next()

    async def _wait(self) -> None:
        turn: asyncio.Future[None] = self._loop.create_future()
        self._line.append(turn)
        try:
            await turn
            self._promised -= 1
        except asyncio.CancelledError:
            if not turn.cancelled():  # its turn had just come: it is the next one's
                self._promised -= 1
                self._next()
            raise

    def _next(self) -> None:
        """Whose turn it is, if there is a place."""
        while self._line and len(self._taken) + self._promised < self.limit:
            turn = self._line.popleft()
            if not turn.done():
                self._promised += 1
                turn.set_result(None)

    def _start_sweeping(self) -> None:
        if self._sweeper is None:
            self._sweeper = self._loop.call_later(SWEEP_S, self._sweep)

    def _sweep(self) -> None:
        """End what takes too long, and what was idle for too long."""
        now = self._loop.time()
        for connection in self._taken:
            connection.sweep(now)
        keep = []
        for connection in self._idle:
            if connection.is_fit and now < connection.since + self._keepalive_s:
                keep.append(connection)
            else:
                connection.abort()
        self._idle = keep
        self._sweeper = None
        if self._taken or self._idle:
            self._start_sweeping()

    async def close(self) -> None:
        """End every connection."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        everyone = [*self._taken, *self._idle]
        self._idle.clear()
        for connection in everyone:
            connection.abort()
        for connection in everyone:
            await connection.gone()
