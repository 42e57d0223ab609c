"""A rotation: whose turn is next among many, the highest level first, then who was served longest
ago.

A heap per level, ordered by the turn at which a member was last served, and a bitmap of the levels
in use. Moving or removing a member leaves its old entry in a heap; it is skipped when it comes up,
and all heaps are rebuilt once such entries outnumber the living. So place and peek are O(log n)
amortised, remove is O(1).

Fair: among members that stay at one level nobody is served twice before each was served once,
however often they are moved, taken out and put back meanwhile. Who was never served goes by who was
placed there first.

`Turns` are two rotations: one of all members, by the best that each has, and one of those of which
something starves, by how long it does. The second has every other turn, as long as anybody is in
it: see `ready_queue`.

Invariants, kept by `check`: a member stands once, where `place` last put it; its entry, and no
other that lives, is in the heap of its level.
"""

from collections.abc import Hashable
from heapq import heapify, heappop, heappush
from typing import Any, Generic, TypeVar

from prewarmd.core.ready_queue import STARVED, Alternation, ReadyQueue

Member = TypeVar("Member", bound=Hashable)
Entry = tuple[float, int, Member, int]
"""The turn at which a member was served, a number that no other entry has, who, and its level."""
_SPARE = 64
"""Dead entries that are not worth a rebuild."""


class Rotation(Generic[Member]):
    """Members at levels from 0 on."""

    __slots__ = ("_bitmap", "_entries", "_heaps", "_number", "members")

    def __init__(self) -> None:
        self._bitmap = 0
        self._heaps: dict[int, list[Entry[Member]]] = {}
        self.members: dict[Member, Entry[Member]] = {}
        """Who is here, each with its entry that lives."""
        self._entries = 0
        self._number = 0

    def place(self, member: Member, level: int, served: float) -> None:
        """Put `member`, last served at turn `served`, where it belongs; it may stand already."""
        was = self.members.get(member)
        if was is not None and was[3] == level and was[0] == served:
            return
        self._number += 1
        entry = self.members[member] = (served, self._number, member, level)
        heap = self._heaps.get(level)
        if heap is None:
            heap = self._heaps[level] = []
        heappush(heap, entry)
        self._bitmap |= 1 << level
        self._entries += 1
        if self._entries > 2 * len(self.members) + _SPARE:
            self._rebuild()

    def remove(self, member: Member) -> bool:
        """Take `member` out; whether it was here."""
        return self.members.pop(member, None) is not None

    def peek(self) -> tuple[Member, int] | None:
        """Whose turn it is, and its level; None when nobody is here."""
        while self._bitmap:
            level = self._bitmap.bit_length() - 1
            heap = self._heaps[level]
            while heap:
                entry = heap[0]
                if self.members.get(entry[2]) is entry:
                    return entry[2], level
                heappop(heap)
                self._entries -= 1
            self._bitmap &= ~(1 << level)
        return None

    def _rebuild(self) -> None:
        self._heaps = {}
        for entry in self.members.values():
            self._heaps.setdefault(entry[3], []).append(entry)
        for heap in self._heaps.values():
            heapify(heap)
        self._bitmap = sum(1 << level for level in self._heaps)
        self._entries = len(self.members)

    def __contains__(self, member: Member) -> bool:
        return member in self.members

    def __len__(self) -> int:
        return len(self.members)

    def __repr__(self) -> str:
        return f"<Rotation of {len(self)}>"

    def check(self) -> None:
        """Raise AssertionError when an invariant of the head of this file does not hold."""
        entries = [(level, entry) for level, heap in self._heaps.items() for entry in heap]
        living = [entry for _, entry in entries if self.members.get(entry[2]) is entry]
        assert sorted(map(id, living)) == sorted(map(id, self.members.values()))
        assert all(entry[3] == level for level, entry in entries)
        assert len(entries) == self._entries
        assert all(not heap or self._bitmap >> level & 1 for level, heap in self._heaps.items())


class Turns(Generic[Member]):
    """Whose turn it is among queues that share an alternation."""

    __slots__ = ("_all", "_starving", "alternation", "members")

    def __init__(self) -> None:
        self.alternation = Alternation()
        self._all: Rotation[Member] = Rotation()
        self.members = self._all.members
        self._starving: Rotation[Member] = Rotation()

    def place(
        self, member: Member, queue: ReadyQueue[Any], more: int, served: int, now: float
    ) -> float:
        """Put `member`, last served at turn `served`, where the best item of its `queue` belongs,
        and `more` levels up. When the oldest starves: from then on it stands above all levels as
        well, every other turn."""
        self._all.place(member, queue.level + more, served)
        at = queue.starves_at()
        if at <= now:
            self._starving.place(member, STARVED + more, at)
        elif self._starving.members:
            self._starving.remove(member)
        return at

    def remove(self, member: Member) -> bool:
        """Take `member` out; whether it was here."""
        if self._starving.members:
            self._starving.remove(member)
        return self._all.remove(member)

    def peek(self) -> tuple[Member, int] | None:
        """Whose turn it is, and its level; None when nobody is here."""
        best = self._all.peek()
        if self._starving.members and not self.alternation.starved_last:
            oldest = self._starving.peek()
            if oldest is not None and best is not None and oldest[1] > best[1]:
                return oldest
        return best

    def __contains__(self, member: Member) -> bool:
        return member in self._all

    def __len__(self) -> int:
        return len(self._all)

    def check(self) -> None:
        """Raise AssertionError when somebody starves who is not here."""
        self._all.check()
        self._starving.check()
        assert self._starving.members.keys() <= self._all.members.keys()
