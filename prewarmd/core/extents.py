"""Which bytes of the arena are free: a page-granular allocator over [0, size).

Best fit: of the free ranges the smallest that holds what is wanted, cut to fit, so that photos do
not break up the place a video needs. Free ranges are kept by size: a sorted list of the sizes there
are, and for each the offsets that have it. All sizes being different, k of them fill k(k+1)/2 pages
at least: a list of 361 for 256 MiB, however many ranges there are. Two dictionaries know where a
free range begins and ends, so that what is freed finds its neighbours and merges at once, and a
third what is taken, so that nothing is freed twice.

Invariants, kept by `check`: free and taken ranges tile the arena; two free ranges never touch.
Costs: O(log of the free sizes) to allocate and to free, about 2 us for the pair.
"""

from bisect import bisect_left, insort
from itertools import pairwise
from typing import NamedTuple

PAGE = 4096


class Extent(NamedTuple):
    """A run of whole pages."""

    offset: int
    size_bytes: int

    @property
    def end(self) -> int:
        """The first byte behind it."""
        return self.offset + self.size_bytes


def page_round(size_bytes: int) -> int:
    """The least number of whole pages, in bytes, that hold `size_bytes`; at least one page."""
    return (size_bytes + PAGE - 1) // PAGE * PAGE or PAGE


class Extents:
    """The free ranges, by size and by border, and what is taken."""

    __slots__ = ("_ends", "_offsets", "_sizes", "_starts", "_taken", "free_bytes", "size_bytes")

    def __init__(self, size_bytes: int) -> None:
        assert size_bytes % PAGE == 0
        self.size_bytes = size_bytes
        self.free_bytes = size_bytes
        self._sizes: list[int] = []
        self._offsets: dict[int, dict[int, None]] = {}  # by size; the values mean nothing
        self._starts: dict[int, int] = {}  # offset -> size
        self._ends: dict[int, int] = {}  # end -> offset
        self._taken: dict[int, int] = {}  # offset -> size
        if size_bytes:
            self._add(0, size_bytes)

    def allocate(self, size_bytes: int) -> Extent | None:
        """The smallest free range that holds `size_bytes`, cut to fit; None when there is none."""
        wanted = page_round(size_bytes)
        index = bisect_left(self._sizes, wanted)
        if index == len(self._sizes):
            return None
        size = self._sizes[index]
        alike = self._offsets[size]
        offset, _ = alike.popitem()
        if not alike:
            del self._offsets[size], self._sizes[index]
        del self._starts[offset]
        if size == wanted:
            del self._ends[offset + size]
        else:
            self._add(offset + wanted, size - wanted)
        self._taken[offset] = wanted
        self.free_bytes -= wanted
        return Extent(offset, wanted)

    def free(self, extent: Extent) -> None:
        """Give `extent` back; it merges with free neighbours."""
        start, size = extent
        assert self._taken.pop(start, None) == size, f"{extent} is free already"
        self.free_bytes += size
        end = start + size
        after = self._starts.pop(end, None)
        if after is not None:
            self._remove(end, after)
            size += after
        before = self._ends.pop(start, None)
        if before is not None:
            self._remove(before, start - before)
            size += start - before
            start = before
        self._add(start, size)

    def _add(self, offset: int, size: int) -> None:
        self._starts[offset] = size
        self._ends[offset + size] = offset
        alike = self._offsets.get(size)
        if alike is None:
            self._offsets[size] = {offset: None}
            insort(self._sizes, size)
        else:
            alike[offset] = None

    def _remove(self, offset: int, size: int) -> None:
        """Out of the sizes; the borders are the caller's, who knows which one is left to others."""
        alike = self._offsets[size]
        del alike[offset]
        if not alike:
            del self._offsets[size], self._sizes[bisect_left(self._sizes, size)]

    @property
    def longest_bytes(self) -> int:
        """The longest free range: what could be allocated at once."""
        return self._sizes[-1] if self._sizes else 0

    def free_behind(self, end: int) -> int:
        """Bytes that are free from there on."""
        return self._starts.get(end, 0)

    def free_before(self, offset: int) -> int:
        """Bytes that are free up to there."""
        return offset - self._ends.get(offset, offset)

    def has_taken(self, extent: Extent) -> bool:
        """Whether it was allocated, as it is, and not freed since."""
        return self._taken.get(extent.offset) == extent.size_bytes

    def ranges(self) -> list[Extent]:
        """The free ranges, rising: what the shell may return to the system when idle."""
        return [Extent(*item) for item in sorted(self._starts.items())]

    def check(self) -> None:
        """Raise AssertionError when an invariant of the head of this file does not hold."""
        free, taken = self.ranges(), [Extent(*item) for item in self._taken.items()]
        assert sum(size for _, size in free) == self.free_bytes
        tiles = sorted((*free, *taken))
        assert all(before.end == after.offset for before, after in pairwise(tiles))
        assert (tiles[0].offset, tiles[-1].end) == (0, self.size_bytes) if tiles else True
        assert all(before.end < after.offset for before, after in pairwise(free)), "they touch"
        assert {extent.end: extent.offset for extent in free} == self._ends
        assert sorted(self._offsets) == self._sizes
        by_size = [Extent(at, size) for size, alike in self._offsets.items() for at in alike]
        assert sorted(by_size) == free
        assert all(self._offsets.values()), "a size that no range has"

    def __repr__(self) -> str:
        return f"<Extents {self.free_bytes} of {self.size_bytes} free in {len(self._starts)}>"
