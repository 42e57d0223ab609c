"""What becomes of a send, as a value; with the words the Bot API says it in."""

from dataclasses import dataclass
from enum import StrEnum


class Shape(StrEnum):
    """The forms an answer takes."""

    DELIVERED = "delivered"
    PLAIN = "plain"
    """429 with `parameters`: a flood; nothing tells whether the chat's or the whole bot's."""
    DISGUISED = "disguised"
    """The same as a 400 without `parameters` (telegram.md fact 6)."""
    SERVER_BUSY = "server_busy"
    """429, always the same wait, seconds late: a guard of the server, no flood (fact 4)."""
    SHUTDOWN = "shutdown"
    """429 by a server that ends (telegram.md 4.2)."""
    RESTART = "restart"
    """500 by a server that begins (telegram.md 4.2)."""


FLOODS = frozenset({Shape.PLAIN, Shape.DISGUISED})
"""What asks for a pause."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is answered, not before `at`; `retry_after_s` is 0 where none is asked for."""

    at: float
    shape: Shape = Shape.DELIVERED
    retry_after_s: int = 0

    @property
    def status(self) -> int:
        """Of HTTP, and `error_code`."""
        match self.shape:
            case Shape.DELIVERED:
                return 200
            case Shape.DISGUISED:
                return 400
            case Shape.RESTART:
                return 500
            case Shape.PLAIN | Shape.SERVER_BUSY | Shape.SHUTDOWN:
                return 429

    @property
    def description(self) -> str:
        """The error's text (telegram.md fact 6 and section 5); "" when there is none."""
        flood = f"Too Many Requests: retry after {self.retry_after_s}"
        match self.shape:
            case Shape.DELIVERED:
                return ""
            case Shape.DISGUISED:
                return f'Bad Request: failed to send message #1 with the error message "{flood}"'
            case Shape.RESTART:
                return "Internal Server Error: restart"
            case Shape.PLAIN | Shape.SERVER_BUSY | Shape.SHUTDOWN:
                return flood

    @property
    def parameters(self) -> dict[str, int]:
        """The error's `parameters`; `Retry-After` bears the same number (telegram.md 4.2)."""
        return {"retry_after": self.retry_after_s} if self.status == 429 else {}
