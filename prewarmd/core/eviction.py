"""Which idle content should go when memory is wanted: ARC (Megiddo and Modha, FAST 2003), by bytes.

Idle entries lie in two lists, each in order of last use: those taken up once, by whoever had them
downloaded, and those taken up again after everybody had left. A backfill only ever passes through
the first. What goes leaves its name behind, a ghost. A download that meets its own ghost was
dropped too early, and moves `once_bytes`, the share that the first list may keep: up when it went
from the first, down when it went from the second, by its size, more if that list's ghosts are the
rarer ones. So the split follows the work: broadcasts, whose media are dead once the last bot has
sent them, turn it into LRU; media that are popular for long into something like LFU.

What is in use lies in no list; it comes back as the latest. Many users at once are one wave: they
count as one. Differs from the paper where media differ from pages: sizes, in whole pages of memory;
and a list's ghosts may be half the cache, which did a little better than the paper's rule, and half
the items allowed. `bench/eviction.py` compares it with the rest.

Invariants, kept by `check`: an entry lies in the list that its `uses` say; no name is here and a
ghost of both lists; bytes add up. Costs: O(1) each; a ghost, some 400 bytes.
"""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from prewarmd.core.extents import Extent


@dataclass(slots=True, eq=False)
class Entry:
    """Verified content in the arena."""

    sha256: str
    extent: Extent
    size_bytes: int
    pins: int = 0
    used: float = 0.0
    """When its last user left, while it is idle."""
    uses: int = 0
    """How often it was taken up while idle; one more for a ghost."""
    home: int = -1
    """The child that brought it, and has it at hand; -1: none does."""


class Share:
    """One list, from what goes first to the latest, and the ghosts of what went from it."""

    __slots__ = ("ghost_bytes", "ghosts", "idle", "idle_bytes")

    def __init__(self) -> None:
        self.idle: OrderedDict[str, Entry] = OrderedDict()
        self.idle_bytes = 0
        self.ghosts: OrderedDict[str, int] = OrderedDict()  # name -> bytes
        self.ghost_bytes = 0

    def forget(self, sha256: str) -> int:
        """The ghost's bytes."""
        size_bytes = self.ghosts.pop(sha256)
        self.ghost_bytes -= size_bytes
        return size_bytes

    def check(self) -> None:
        """Raise AssertionError when bytes do not add up or it is out of order."""
        assert sum(entry.extent.size_bytes for entry in self.idle.values()) == self.idle_bytes
        assert sum(self.ghosts.values()) == self.ghost_bytes
        assert all(a.used <= b.used for a, b in pairwise(self.idle.values()))


class Idle:
    """What is in nobody's use, in the order in which it goes."""

    __slots__ = ("_again", "_ghost_bytes_max", "_ghosts_max", "_once", "_size_bytes", "once_bytes")

    def __init__(self, size_bytes: int, items_max: int) -> None:
        self.once_bytes = 0.0
        """What the once used may keep while there are others to evict."""
        self._size_bytes = size_bytes
        self._ghost_bytes_max = size_bytes // 2
        self._ghosts_max = items_max // 2
        self._once = Share()
        self._again = Share()

    @property
    def size_bytes(self) -> int:
        """Whole pages that eviction could free."""
        return self._once.idle_bytes + self._again.idle_bytes

    def __len__(self) -> int:
        return len(self._once.idle) + len(self._again.idle)

    def __contains__(self, sha256: str) -> bool:
        return sha256 in self._once.idle or sha256 in self._again.idle

    def remembers(self, sha256: str) -> bool:
        """Whether it went, and its name is still known."""
        return sha256 in self._once.ghosts or sha256 in self._again.ghosts

    def welcome(self, entry: Entry) -> None:
        """New content, not idle yet: if it was dropped too early, that is learnt here."""
        once, again = self._once, self._again
        sha256 = entry.sha256
        if sha256 in once.ghosts:
            size_bytes = once.forget(sha256)
            rarity = max(1.0, again.ghost_bytes / (once.ghost_bytes + size_bytes))
            self.once_bytes = min(self._size_bytes, self.once_bytes + size_bytes * rarity)
            entry.uses = 1
        elif sha256 in again.ghosts:
            size_bytes = again.forget(sha256)
            rarity = max(1.0, once.ghost_bytes / (again.ghost_bytes + size_bytes))
            self.once_bytes = max(0.0, self.once_bytes - size_bytes * rarity)
            entry.uses = 1

    def rest(self, entry: Entry) -> None:
        """Its last user left: the latest of its list."""
        share = self._again if entry.uses > 1 else self._once
        share.idle[entry.sha256] = entry
        share.idle_bytes += entry.extent.size_bytes

    def take(self, entry: Entry) -> None:
        """Somebody uses it, or it is too old; it leaves no ghost."""
        share = self._again if entry.uses > 1 else self._once
        del share.idle[entry.sha256]
        share.idle_bytes -= entry.extent.size_bytes

    def evict(self, entry: Entry) -> None:
        """It goes, and its name stays for a while."""
        share = self._again if entry.uses > 1 else self._once
        size_bytes = entry.extent.size_bytes
        del share.idle[entry.sha256]
        share.idle_bytes -= size_bytes
        share.ghosts[entry.sha256] = size_bytes
        share.ghost_bytes += size_bytes
        while share.ghost_bytes > self._ghost_bytes_max or len(share.ghosts) > self._ghosts_max:
            share.ghost_bytes -= share.ghosts.popitem(last=False)[1]

    def first(self) -> Entry | None:
        """What should go before all others."""
        once, again = self._once, self._again
        share = once if once.idle_bytes > self.once_bytes or not again.idle else again
        return next(iter(share.idle.values()), None)

    def in_order(self) -> Iterator[Entry]:
        """All of them, roughly as they would go: one list, then the other. Take none meanwhile."""
        once, again = self._once, self._again
        if once.idle_bytes > self.once_bytes:
            yield from once.idle.values()
            yield from again.idle.values()
        else:
            yield from again.idle.values()
            yield from once.idle.values()

    def oldest(self) -> Entry | None:
        """What has been idle longest."""
        once = next(iter(self._once.idle.values()), None)
        again = next(iter(self._again.idle.values()), None)
        if once is None or again is None:
            return once or again
        return once if once.used <= again.used else again

    def check(self) -> None:
        """Raise AssertionError when an invariant of the head of this file does not hold."""
        shares = self._once, self._again
        for share in shares:
            share.check()
            assert share.ghost_bytes <= self._ghost_bytes_max
            assert len(share.ghosts) <= self._ghosts_max
            assert all(entry.pins == 0 for entry in share.idle.values())
            assert all((each.uses > 1) == (share is self._again) for each in share.idle.values())
        names = [name for share in shares for name in (*share.idle, *share.ghosts)]
        assert len(names) == len({*names}), "here and a ghost, or twice"
        assert 0 <= self.once_bytes <= self._size_bytes
