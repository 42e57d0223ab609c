"""The head of an answer: status, headers, and how its body ends.

httptools (llhttp) parses it, and refuses what two readers could understand in two ways: a length
beside chunks, two lengths, lines that are folded. Interim answers (1xx) have no body and are not
the answer; who reads them goes on reading.

Costs: 4 us for a head of eight lines.
"""

from dataclasses import dataclass, field

import httptools

from prewarmd.worker.http.errors import GarbledError

BODILESS = frozenset({204, 304})


@dataclass(slots=True)
class Head:
    """`headers` by lower-case name, as they came; what came twice is joined by ", "."""

    status: int = 0
    headers: dict[bytes, bytes] = field(default_factory=dict)
    length: int | None = None
    """Bytes of the body; None when only its own end tells, or the connection's."""
    is_chunked: bool = False
    keep_alive: bool = False

    @property
    def is_interim(self) -> bool:
        """Whether the answer is still to come."""
        return 100 <= self.status < 200

    def get(self, name: bytes) -> str:
        """A header's value; "" when it is not there."""
        return self.headers.get(name, b"").decode("latin-1")


class Parser:
    """Of one answer: `feed` it all up to the end of the head, and a chunked body as well."""

    __slots__ = ("_parser", "head", "is_complete", "is_strange", "pieces")

    def __init__(self) -> None:
        self.head = Head()
        self.pieces: list[bytes] = []
        """Of a chunked body, what came and was not taken."""
        self.is_complete = False
        self.is_strange = False
        """Something came behind the end of the answer."""
        self._parser = httptools.HttpResponseParser(self)

    def feed(self, data: bytes | memoryview) -> None:
        """Take in some bytes; raises GarbledError."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            raise GarbledError("the server wants another protocol") from None
        except httptools.HttpParserCallbackError as error:
            raise GarbledError(str(error.__context__)) from None
        except httptools.HttpParserError as error:
            if not self.is_complete:
                raise GarbledError(f"not HTTP: {error}") from None
            self.is_strange = True

    def on_message_begin(self) -> None:
        """See httptools."""
        self.is_strange |= self.is_complete

    def on_header(self, name: bytes, value: bytes) -> None:
        """See httptools. A trailer counts for nothing."""
        headers = self.head.headers
        if self.head.status or self.is_complete:
            return
        name = name.lower()
        headers[name] = b", ".join((headers[name], value)) if name in headers else value

    def on_headers_complete(self) -> None:
        """See httptools."""
        if self.is_complete:
            return
        head, parser = self.head, self._parser
        head.status = parser.get_status_code()
        head.keep_alive = parser.should_keep_alive()
        coding = head.headers.get(b"transfer-encoding")
        length = head.headers.get(b"content-length")
        if head.status in BODILESS or head.is_interim:
            head.length = 0
        elif coding is not None:
            head.is_chunked = True
            if coding.lower() != b"chunked":
                raise ValueError(f"a body in transfer coding {head.get(b'transfer-encoding')[:40]}")
        elif length is not None:
            head.length = int(length)  # digits alone: llhttp has seen to that

    def on_body(self, piece: bytes) -> None:
        """See httptools."""
        self.pieces.append(piece)

    def on_message_complete(self) -> None:
        """See httptools."""
        self.is_complete = True
