"""How far away a server is: how long it takes to begin an answer, and what a connection carries.

A server waits for its link before it writes what it sends, and before it looks at what it received.
It has small socket buffers then: large ones would take in 4 MB at once, whatever the link.
"""

import socket
from dataclasses import astuple, dataclass

SLACK_S = 0.05
"""A link that is behind may catch up so much: servers wake up late on a busy machine."""
BUFFER_BYTES = 64 << 10
"""Of a socket, each way."""


@dataclass(frozen=True, slots=True)
class Distance:
    """From a server to its clients."""

    first_byte_s: float = 0.0
    """From the end of a request to the beginning of its answer."""
    bytes_per_s: float = 0.0
    """Of each connection, each way; 0: as many as the machine can."""

    def words(self) -> list[str]:
        """For a command line."""
        return [str(each) for each in astuple(self)]

    @classmethod
    def of(cls, words: list[str]) -> "Distance":
        """Of a command line."""
        return cls(*map(float, words))

    def listening(self) -> socket.socket:
        """A loopback socket whose connections hold little."""
        listener = socket.create_server(("127.0.0.1", 0))
        if self.bytes_per_s:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        return listener


NEAR = Distance()
FAR = Distance(0.3, 2e6)


class Link:
    """One way of a connection."""

    def __init__(self, bytes_per_s: float) -> None:
        self._bytes_per_s = bytes_per_s
        self._free_at = 0.0

    def wait_s(self, nbytes: int, now: float) -> float:
        """How long so many more bytes take from `now`, behind those before them."""
        if not self._bytes_per_s:
            return 0.0
        self._free_at = max(self._free_at, now - SLACK_S) + nbytes / self._bytes_per_s
        return max(0.0, self._free_at - now)
