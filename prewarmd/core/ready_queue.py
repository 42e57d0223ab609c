"""A ready queue: levels x FIFO, and a bitmap of the levels in use.

push, pop, peek, move and remove cost a dictionary operation each, whatever the length; finding the
highest level is one `bit_length` of a 256-bit integer. No operation scans. (The Linux 2.6 run
queue is the model.) Levels are OrderedDicts, because draining a plain dict from its front is
quadratic. The queue knows nothing of time: who ages a job, moves it.

Invariant: bit L of the bitmap is set exactly when level L holds an item, and every item is in
exactly the level that `_level_of` names.
"""

from collections import OrderedDict
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item", bound=Hashable)


class ReadyQueue(Generic[Item]):
    """Highest level first, then first in, first out."""

    __slots__ = ("_bitmap", "_level_of", "_levels")

    def __init__(self) -> None:
        self._bitmap = 0
        self._level_of: dict[Item, int] = {}
        self._levels: dict[int, OrderedDict[Item, None]] = {}

    def push(self, item: Item, level: int, *, front: bool = False) -> None:
        """Add `item`, which must not be here, behind (or before) its level's others."""
        assert item not in self._level_of, f"{item!r} is queued already"
        fifo = self._levels.get(level)
        if fifo is None:
            fifo = self._levels[level] = OrderedDict()
            self._bitmap |= 1 << level
        fifo[item] = None
        if front:
            fifo.move_to_end(item, last=False)
        self._level_of[item] = level

    def peek(self) -> tuple[Item, int] | None:
        """The item that `pop` would give, and its level; None when empty."""
        if not self._bitmap:
            return None
        level = self._bitmap.bit_length() - 1
        return next(iter(self._levels[level])), level

    def pop(self) -> Item | None:
        """Take the first item of the highest level; None when empty."""
        head = self.peek()
        if head is None:
            return None
        self.remove(head[0])
        return head[0]

    def remove(self, item: Item) -> bool:
        """Take `item` out wherever it stands; whether it was here."""
        level = self._level_of.pop(item, None)
        if level is None:
            return False
        fifo = self._levels[level]
        del fifo[item]
        if not fifo:
            del self._levels[level]
            self._bitmap &= ~(1 << level)
        return True

    def move(self, item: Item, level: int) -> None:
        """Put `item` behind the others of another level; nothing when it is there already."""
        if self._level_of[item] != level:
            self.remove(item)
            self.push(item, level)

    def __contains__(self, item: Item) -> bool:
        return item in self._level_of

    def __len__(self) -> int:
        return len(self._level_of)

    def __iter__(self) -> Iterator[Item]:
        """In the order `pop` would give them. O(levels + items): for tests and views."""
        for level in sorted(self._levels, reverse=True):
            yield from self._levels[level]

    def __repr__(self) -> str:
        levels = {level: len(self._levels[level]) for level in sorted(self._levels, reverse=True)}
        return f"<ReadyQueue {len(self)}: {levels}>"

    def check(self) -> None:
        """Raise AssertionError when the invariant does not hold."""
        assert sum(map(len, self._levels.values())) == len(self._level_of)
        assert all(item in self._levels[level] for item, level in self._level_of.items())
        assert self._bitmap == sum(1 << level for level in self._levels)
        assert all(self._levels.values())
