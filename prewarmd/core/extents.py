"""Which bytes of the arena are free: a page-granular allocator over [0, size).

Best fit over the free ranges, which are kept sorted by offset and coalesced on free, so two free
ranges never touch. Both operations are O(free ranges), a few dozen with photos and videos mixed;
the list is short because neighbours merge.
"""

from bisect import bisect_left, insort
from dataclasses import dataclass
from itertools import pairwise

PAGE = 4096


@dataclass(frozen=True, slots=True, order=True)
class Extent:
    """A run of whole pages."""

    offset: int
    size_bytes: int

    @property
    def end(self) -> int:
        """The first byte behind it."""
        return self.offset + self.size_bytes


def page_round(size_bytes: int) -> int:
    """The least number of whole pages, in bytes, that hold `size_bytes`; at least one page."""
    return max(PAGE, (size_bytes + PAGE - 1) // PAGE * PAGE)


class Extents:
    """The free list."""

    __slots__ = ("_free", "free_bytes", "size_bytes")

    def __init__(self, size_bytes: int) -> None:
        assert size_bytes % PAGE == 0
        self.size_bytes = size_bytes
        self.free_bytes = size_bytes
        self._free = [Extent(0, size_bytes)] if size_bytes else []

    def allocate(self, size_bytes: int) -> Extent | None:
        """The smallest free range that holds `size_bytes`, cut to fit; None when there is none."""
        wanted = page_round(size_bytes)
        best = min(
            (free for free in self._free if free.size_bytes >= wanted),
            key=lambda free: free.size_bytes,
            default=None,
        )
        if best is None:
            return None
        index = bisect_left(self._free, best)
        if best.size_bytes == wanted:
            del self._free[index]
        else:
            self._free[index] = Extent(best.offset + wanted, best.size_bytes - wanted)
        self.free_bytes -= wanted
        return Extent(best.offset, wanted)

    def free(self, extent: Extent) -> None:
        """Give `extent` back; it merges with free neighbours."""
        self.free_bytes += extent.size_bytes
        index = bisect_left(self._free, extent)
        start, end = extent.offset, extent.end
        if index < len(self._free):
            after = self._free[index]
            assert after.offset >= end, f"{extent} is free already"
            if after.offset == end:
                end = after.end
                del self._free[index]
        if index > 0:
            before = self._free[index - 1]
            assert before.end <= start, f"{extent} is free already"
            if before.end == start:
                start = before.offset
                del self._free[index - 1]
        insort(self._free, Extent(start, end - start))

    def ranges(self) -> list[Extent]:
        """The free ranges, rising: what the shell may return to the system when idle."""
        return list(self._free)

    def check(self) -> None:
        """Raise AssertionError when free ranges touch, overlap or do not add up."""
        assert sum(free.size_bytes for free in self._free) == self.free_bytes
        for before, after in pairwise(self._free):
            assert before.end < after.offset
        assert all(f.offset >= 0 and f.end <= self.size_bytes for f in self._free)

    def __repr__(self) -> str:
        return f"<Extents {self.free_bytes} of {self.size_bytes} free in {len(self._free)}>"
