"""A ready queue: levels x FIFO, a bitmap of the levels in use, and a bound on waiting.

Next is the first item of the highest level. Only an item that has waited `starve_after_s` goes
before all levels, and never twice in a row: so old work moves, and new work that is urgent waits
for at most one item that is not. Queues that take turns with one another share that: one
`Alternation` is for all of them. An item that came with `n` others before it, in all of these, is
served at the latest `2 n + 2` turns after it starved.

An item carries its own links: two circular lists run through it, one of its level and one of all
that is here in the order of arrival. So push, peek, serve, remove and move are a few pointers, with
no look-up, no allocation and no scan, whatever the length; the highest level is one `bit_length`.
(The Linux 2.6 run queue is the model, intrusive lists included.) What is left that grows with the
length is the processor's wait for items it has not seen for long: two neighbours in a move, four in
a remove. So links come first in an item, where they share its first cache line.

The queue knows nothing of age but starvation: who lets a job grow older, moves it.

Invariants, kept by `check`: bit L of the bitmap is set exactly when level L holds an item; both
lists hold the same items; `queued_at` does not fall along the order of arrival.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Generic, TypeVar

FOREVER = float("inf")
LEVELS = 256
STARVED = LEVELS
"""A level above all that an item can have by its score: for what starves."""


@dataclass(slots=True, eq=False)
class Item:
    """What can stand in a queue, in one at a time. The fields are the queue's alone; links are None
    while it stands in none (and typed Any, because a circular list has no end)."""

    before: Any = field(default=None, init=False, repr=False)
    after: Any = field(default=None, init=False, repr=False)
    older: Any = field(default=None, init=False, repr=False)
    newer: Any = field(default=None, init=False, repr=False)
    ring: Any = field(default=None, init=False, repr=False)
    queued_at: float = field(default=FOREVER, init=False, repr=False)

    @property
    def queue(self) -> "ReadyQueue[Any] | None":
        """Where it stands."""
        ring: Ring | None = self.ring
        return ring.queue if ring else None

    @property
    def level(self) -> int:
        """At which level; -1 when it stands nowhere."""
        ring: Ring | None = self.ring
        return ring.level if ring else -1


class Ring:
    """One level of one queue: the list of its items begins and ends here."""

    __slots__ = ("after", "before", "level", "queue")

    def __init__(self, level: int, queue: "ReadyQueue[Any]") -> None:
        self.before: Any = self
        self.after: Any = self
        self.level = level
        self.queue = queue


T = TypeVar("T", bound=Item)


class Alternation:
    """Whether the last turn was that of an item that starved."""

    __slots__ = ("starved_last",)

    def __init__(self) -> None:
        self.starved_last = False


class ReadyQueue(Generic[T]):
    """Highest level first, then first in, first out; but see `starve_after_s`."""

    __slots__ = ("_alternation", "_arrivals", "_bitmap", "_rings", "size", "starve_after_s")

    def __init__(
        self, starve_after_s: float = FOREVER, alternation: Alternation | None = None
    ) -> None:
        self.starve_after_s = starve_after_s
        self._alternation = alternation or Alternation()
        self.size = 0
        """How many are here."""
        self._bitmap = 0
        self._rings: dict[int, Ring] = {}
        self._arrivals = Item()
        self._arrivals.older = self._arrivals.newer = self._arrivals

    def push(self, item: T, level: int, now: float, *, front: bool = False) -> None:
        """Add `item`, which is in no queue, behind (or before) its level's others; it has waited
        since `now`, which does not fall from call to call."""
        assert item.ring is None, f"{item!r} is queued already"
        item.queued_at = now
        arrivals = self._arrivals
        item.older = newest = arrivals.older
        item.newer = arrivals
        newest.newer = arrivals.older = item
        self.size += 1
        try:
            ring = self._rings[level]
        except KeyError:
            ring = self._rings[level] = Ring(level, self)
        item.ring = ring
        if front:
            item.before = ring
            item.after = after = ring.after
            after.before = ring.after = item
            before = after
        else:
            item.before = before = ring.before
            item.after = ring
            before.after = ring.before = item
        if before is ring:
            self._bitmap |= 1 << level

    def peek(self, now: float) -> T | None:
        """Whose turn it is; None when empty."""
        oldest: T = self._arrivals.newer
        if oldest.queued_at + self.starve_after_s <= now and not self._alternation.starved_last:
            return oldest
        bitmap = self._bitmap
        if not bitmap:
            return None
        first: T = self._rings[bitmap.bit_length() - 1].after
        return first

    def serve(self, item: T, now: float) -> bool:
        """`item`, which `peek` gave, has its turn: it leaves, if it did not already. Whether it
        went before all levels."""
        alternation = self._alternation
        starved = item.queued_at + self.starve_after_s <= now and not alternation.starved_last
        alternation.starved_last = starved
        if item.ring is not None:
            self.remove(item)
        return starved

    def remove(self, item: T) -> bool:
        """Take `item` out wherever it stands; whether it was here."""
        ring = item.ring
        if ring is None or ring.queue is not self:
            return False
        before, after, older, newer = item.before, item.after, item.older, item.newer
        before.after = after
        after.before = before
        older.newer = newer
        newer.older = older
        if before is after:
            self._bitmap &= ~(1 << ring.level)
        item.ring = item.before = item.after = item.older = item.newer = None
        self.size -= 1
        return True

    def move(self, item: T, level: int) -> None:
        """Put `item`, which is here, behind the others of another level; nothing when it is at that
        level already."""
        ring = item.ring
        if ring.level == level:
            return
        before, after = item.before, item.after
        before.after = after
        after.before = before
        if before is after:
            self._bitmap &= ~(1 << ring.level)
        try:
            ring = self._rings[level]
        except KeyError:
            ring = self._rings[level] = Ring(level, self)
        item.ring = ring
        item.before = before = ring.before
        item.after = ring
        before.after = ring.before = item
        if before is ring:
            self._bitmap |= 1 << level

    def last(self) -> T | None:
        """Whose turn it would be last; None when empty."""
        bitmap = self._bitmap
        if not bitmap:
            return None
        item: T = self._rings[(bitmap & -bitmap).bit_length() - 1].before
        return item

    @property
    def level(self) -> int:
        """Its highest; -1 when empty."""
        return self._bitmap.bit_length() - 1

    def starves_at(self) -> float:
        """When its oldest item starves; FOREVER when empty."""
        oldest: Item = self._arrivals.newer
        return oldest.queued_at + self.starve_after_s

    def __contains__(self, item: T) -> bool:
        return item.queue is self

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[T]:
        """Level by level, each first in first out. Items may be removed on the way."""
        for level in sorted(self._rings, reverse=True):
            ring = self._rings[level]
            item = ring.after
            while item is not ring:
                after = item.after
                yield item
                item = after

    def __repr__(self) -> str:
        counts: dict[int, int] = {}
        for item in self:
            counts[item.level] = counts.get(item.level, 0) + 1
        return f"<ReadyQueue {len(self)}: {counts}>"

    def check(self) -> None:
        """Raise AssertionError when an invariant of the head of this file does not hold."""
        here = list(self)
        assert all(item.queue is self for item in here)
        assert self._bitmap == sum(1 << level for level in {item.level for item in here})
        arrivals: list[Item] = []
        at = self._arrivals.newer
        while at is not self._arrivals:
            assert at.newer.older is at
            arrivals.append(at)
            at = at.newer
        assert len(arrivals) == len(here) == self.size
        assert set(map(id, arrivals)) == set(map(id, here))
        assert all(a.queued_at <= b.queued_at for a, b in pairwise(arrivals))
