"""An answer, and where its body goes: into memory that waits for it, into a buffer that is bounded,
or nowhere yet."""

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from prewarmd.worker.http.head import Head, Parser

COLLECTED_BYTES_MAX = 1 << 20
"""Of a body that is collected; what comes behind that is not waited for."""


class Place(Enum):
    """Where a body goes that has no memory waiting for it."""

    COLLECT = "collect"
    """It is small, or an error: into `Answer.body`."""
    NONE = "none"
    """There is no body, whatever the head says: the answer to a HEAD."""
    WAIT = "wait"
    """Memory must be had first: the exchange ends with the head, and `land` goes on."""


class Sink(Protocol):
    """Who an answer is for. Both are called while bytes come in, so they take no time."""

    def place(self, head: Head) -> memoryview | Place:
        """Where the body goes. Memory has exactly `head.length` bytes, or fewer: then no more of it
        is wanted than that, and the connection is not used again."""

    def landed(self, done_bytes: int) -> None:
        """So many are there, from the first on."""


class HeadOnly:
    """A sink for the answer to a HEAD."""

    def place(self, head: Head) -> Place:
        """See Sink."""
        return Place.NONE

    def landed(self, done_bytes: int) -> None:
        """See Sink."""


class Small:
    """A sink for answers that are small whatever they say."""

    def place(self, head: Head) -> Place:
        """See Sink."""
        return Place.COLLECT

    def landed(self, done_bytes: int) -> None:
        """See Sink."""


@dataclass(slots=True)
class Answer:
    """An answer that is whole, unless its body waits for memory."""

    head: Head
    body: bytes = b""
    """What was collected."""
    is_cut: bool = False
    """There was more than may be collected."""


class Collector:
    """Of a body that has no memory of its own: it ends at its length, with its last chunk, with the
    connection, or where it is too long."""

    def __init__(self, parser: Parser) -> None:
        self._parser = parser
        self._collected = bytearray()
        self.is_over = False
        self.is_strange = False
        """Something came behind its end, or it was cut."""

    @property
    def done_bytes(self) -> int:
        """How many there are."""
        return len(self._collected)

    @property
    def is_until_close(self) -> bool:
        """Whether only the end of the connection is its end."""
        head = self._parser.head
        return head.length is None and not head.is_chunked

    def take(self, data: memoryview) -> int:
        """Take in what came; how much of that was its own. Raises GarbledError."""
        head, taken = self._parser.head, len(data)
        if head.is_chunked:
            self._parser.feed(data)
            for piece in self._parser.pieces:
                self._collected += piece
            self._parser.pieces.clear()
            self.is_over, self.is_strange = self._parser.is_complete, self._parser.is_strange
        else:
            if head.length is not None:
                taken = min(taken, head.length - self.done_bytes)
            self._collected += data[:taken]
            self.is_over = self.done_bytes == head.length
        if self.done_bytes > COLLECTED_BYTES_MAX:
            self.is_over = self.is_strange = True
        return taken

    def answer(self) -> Answer:
        """What came of it."""
        is_cut = self.done_bytes > COLLECTED_BYTES_MAX
        body = bytes(self._collected[:COLLECTED_BYTES_MAX])
        return Answer(self._parser.head, body, is_cut=is_cut)
