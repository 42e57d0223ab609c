"""The arena as an oracle: per page, what it holds and who writes or reads it.

Page maps are byte arrays searched and filled by C, so a claim costs about a microsecond whatever
its size. What is being written, or was given up half-way, is garbage: nobody may read it.
"""

from prewarmd.core.extents import PAGE
from tests.simulation.invariants import Violation

GARBAGE = ""
Span = tuple[int, int]
"""First page, and the first page behind."""


class Memory:
    """Every page of the arena."""

    __slots__ = ("_content", "_ones", "_read", "_readers", "_written", "_zeros", "claims", "pages")

    def __init__(self, pages: int) -> None:
        self.pages = pages
        self.claims = 0
        """Writers and readers now; 0 at rest."""
        self._content = [GARBAGE] * pages
        self._written = bytearray(pages)
        self._read = bytearray(pages)
        self._readers = [0] * pages
        """By the first page of what is read."""
        self._ones, self._zeros = bytes([1]) * pages, bytes(pages)

    def write(self, offset: int, size_bytes: int) -> Span:
        """A download begins to fill an extent, to which nobody else may have a claim."""
        first, end = self._span(offset, size_bytes)
        if self._written.find(1, first, end) >= 0:
            raise Violation("memory_is_exclusive", f"pages {first}..{end} are written twice")
        if self._read.find(1, first, end) >= 0:
            raise Violation("memory_is_exclusive", f"pages {first}..{end} are read and written")
        self._written[first:end] = self._ones[first:end]
        self._content[first:end] = [GARBAGE] * (end - first)
        self.claims += 1
        return first, end

    def written(self, span: Span, content: str) -> None:
        """The download is over; `content` GARBAGE when it came to nothing."""
        first, end = span
        self._written[first:end] = self._zeros[first:end]
        if content:
            self._content[first:end] = [content] * (end - first)
        self.claims -= 1

    def read(self, offset: int, size_bytes: int) -> tuple[Span, str]:
        """An upload begins to read an extent; the content it finds there."""
        first, end = self._span(offset, size_bytes)
        content = self._content[first]
        if content == GARBAGE or self._content[first:end].count(content) != end - first:
            held = sorted(set(self._content[first:end]))
            raise Violation("memory_holds_the_object", f"pages {first}..{end} hold {held}")
        if not self._readers[first]:
            if self._read.find(1, first, end) >= 0:
                raise Violation("memory_is_exclusive", f"{first}..{end} overlaps another extent")
            self._read[first:end] = self._ones[first:end]
        self._readers[first] += 1
        self.claims += 1
        return (first, end), content

    def let_go(self, span: Span) -> None:
        """An upload needs its bytes no longer."""
        first, end = span
        self._readers[first] -= 1
        if not self._readers[first]:
            self._read[first:end] = self._zeros[first:end]
        self.claims -= 1

    def _span(self, offset: int, size_bytes: int) -> Span:
        first, end = offset // PAGE, (offset + size_bytes + PAGE - 1) // PAGE
        if offset < 0 or offset % PAGE or size_bytes <= 0 or end > self.pages:
            raise Violation("memory_is_in_bounds", f"{size_bytes} bytes at {offset}")
        return first, end
