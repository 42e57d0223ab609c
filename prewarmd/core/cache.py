"""The index of the shared download cache: which content lies where in the arena.

An entry is content (its SHA-256) in an extent. Keys are names for content: `aliases` remembers what
a (bucket, key) held and when the store last said so, so that the same picture under two bots' keys
is one download, and a key is only believed for `ttl_s`. Pinned entries are in use and cannot be
evicted; the rest go in the order of `core.eviction` when memory or a place is wanted, or when
nobody used them for `ttl_s`. Memory for a download is reserved here, before it is handed out; it
has no content yet and belongs to the fetch until `admit` or `give_back`.

Bytes must lie in one piece. What should go lies scattered, and evicting it in order until a piece
is long enough would keep a quarter of the arena free. So IN_ORDER times the wanted bytes go in
order, and if no piece came of it, a run of neighbours: of RUNS of them, each from one that should
go next, the one that costs the fewest entries asked for again. A run is found before anything goes:
where pins leave none, nothing is evicted.

Invariants, kept by `check`: entries and reservations are what the arena has taken; an entry is idle
or pinned; no more items than allowed, except in use; counted bytes add up.
Costs: find, pin, unpin O(1); reserve O(entries in the runs looked at), some dozens; a reservation
that pins refuse O(idle entries) at worst. About 1 KB an entry, names included.
"""

from collections import OrderedDict
from dataclasses import dataclass

from prewarmd.core.eviction import Entry as Entry
from prewarmd.core.eviction import Idle
from prewarmd.core.extents import Extent, Extents, page_round

ALIASES_MAX = 100_000
IN_ORDER = 2
"""Measured in bench/eviction.py: 1 costs media wanted for long, 3 leaves more memory free."""
RUNS = 4
"""Of 8 the best would be a quarter of a point better, for a tenth more time."""


@dataclass(slots=True)
class Alias:
    """What the store last said a key holds."""

    etag: str
    sha256: str
    seen: float
    """When it was asked, which is no later than what it said was true."""


class CacheIndex:
    """Extents by content, content by key."""

    def __init__(self, size_bytes: int, items_max: int, ttl_s: float) -> None:
        self.extents = Extents(size_bytes)
        self.items_max = items_max
        self.ttl_s = ttl_s
        self.hits = 0
        self.misses = 0
        self.evictions = 0
        self.pinned_bytes = 0
        """Whole pages of entries in use."""
        self.reserved_bytes = 0
        """Whole pages handed out to downloads."""
        self._entries: dict[str, Entry] = {}
        self._at: dict[int, Entry] = {}  # by offset
        self._idle = Idle(size_bytes, items_max)
        self._aliases: OrderedDict[tuple[str, str], Alias] = OrderedDict()

    @property
    def used_bytes(self) -> int:
        """Bytes of whole pages that hold content or are reserved."""
        return self.extents.size_bytes - self.extents.free_bytes

    @property
    def items(self) -> int:
        """Contents held."""
        return len(self._entries)

    def find(self, sha256: str) -> Entry | None:
        """The entry of a content, as it is; None when it is not here."""
        return self._entries.get(sha256)

    def holds(self, sha256: str) -> bool:
        """Whether the content is here."""
        return sha256 in self._entries

    # -- users -----------------------------------------------------------------------------------

    def pin(self, sha256: str) -> Entry | None:
        """The entry of a content, kept from eviction until `unpin`; None when it is not here."""
        entry = self._entries.get(sha256)
        if entry is not None:
            if not entry.pins:
                self._idle.take(entry)
                entry.uses += 1
                self.pinned_bytes += entry.extent.size_bytes
            entry.pins += 1
        return entry

    def unpin(self, sha256: str, now: float) -> None:
        """One user less; the last one leaves it as the most recently used."""
        entry = self._entries[sha256]
        assert entry.pins > 0, f"{sha256} is not pinned"
        entry.pins -= 1
        if not entry.pins:
            entry.used = now
            self.pinned_bytes -= entry.extent.size_bytes
            self._idle.rest(entry)
            if len(self._entries) > self.items_max:
                self._shrink(self.items_max)

    def expires_at(self) -> float | None:
        """When the entry idle longest has been idle for `ttl_s`."""
        oldest = self._idle.oldest()
        return oldest.used + self.ttl_s if oldest else None

    def expire(self, now: float) -> int:
        """Evict what nobody used for `ttl_s`; how many."""
        evicted = 0
        while (oldest := self._idle.oldest()) is not None and oldest.used + self.ttl_s <= now:
            self._idle.take(oldest)
            self._drop(oldest)
            evicted += 1
        return evicted

    # -- memory ----------------------------------------------------------------------------------

    def reserve(self, size_bytes: int) -> Extent | None:
        """Memory for a download, evicting as much as it takes; None when pins leave no room."""
        extent = self.extents.allocate(size_bytes)
        if extent is None:
            if not self._make_room(page_round(size_bytes)):
                return None
            extent = self.extents.allocate(size_bytes)
            assert extent is not None
        self.reserved_bytes += extent.size_bytes
        return extent

    def give_back(self, extent: Extent) -> None:
        """A download that came to nothing returns its memory."""
        self.extents.free(extent)
        self.reserved_bytes -= extent.size_bytes

    def admit(self, sha256: str, extent: Extent, size_bytes: int, now: float) -> Entry:
        """A verified download becomes content, unpinned; a second copy of one gives its memory
        back."""
        entry = self._entries.get(sha256)
        if entry is not None:
            self.give_back(extent)
            return entry
        if len(self._entries) >= self.items_max:
            self._shrink(self.items_max - 1)
        self.reserved_bytes -= extent.size_bytes
        entry = Entry(sha256, extent, size_bytes, used=now)
        self._entries[sha256] = self._at[extent.offset] = entry
        self._idle.welcome(entry)
        self._idle.rest(entry)
        return entry

    def _shrink(self, items: int) -> None:
        while len(self._entries) > items and (entry := self._idle.first()) is not None:
            self._evict(entry)

    def _make_room(self, wanted: int) -> bool:
        """Evict until `wanted` bytes are free in one piece; False, and nothing goes, when what is
        in use leaves no run that long."""
        if self.extents.free_bytes + self._idle.size_bytes < wanted:
            return False
        first = self._idle.first()
        if first is not None and self._freed_by(first.extent) >= wanted:
            self._evict(first)  # what should go makes the room: with media of one size, mostly
            return True
        run = self._run(wanted)
        if run is None:
            return False
        in_order_bytes = IN_ORDER * wanted
        while self.extents.longest_bytes < wanted and in_order_bytes > 0:
            entry = self._idle.first()
            if entry is None:
                break
            in_order_bytes -= entry.extent.size_bytes
            self._evict(entry)
        if self.extents.longest_bytes < wanted:
            for entry in run:
                if entry.sha256 in self._entries:
                    self._evict(entry)
        return True

    def _freed_by(self, extent: Extent) -> int:
        """How long the free range would be that it leaves."""
        free = self.extents
        before, behind = free.free_before(extent.offset), free.free_behind(extent.end)
        return before + extent.size_bytes + behind

    def _run(self, wanted: int) -> list[Entry] | None:
        """Idle neighbours that lie, with what is free between them, in `wanted` bytes."""
        best, fewest, found = None, 0, 0
        ends: dict[int, int] = {}  # of runs that were too short: an entry's offset -> their end
        for entry in self._idle.in_order():
            if entry.extent.offset in ends:
                continue
            run = self._grow(entry, wanted, ends)
            if run is None:
                continue
            again = sum(each.uses > 1 for each in run)
            if best is None or again < fewest:
                best, fewest = run, again
            found += 1
            if found == RUNS or not fewest:
                break
        return best

    def _grow(self, entry: Entry, wanted: int, ends: dict[int, int]) -> list[Entry] | None:
        """The run that begins at `entry` and grows upwards; None when it ends too soon."""
        run = [entry]
        start = entry.extent.offset - self.extents.free_before(entry.extent.offset)
        end = entry.extent.end
        while True:
            end += self.extents.free_behind(end)
            if end - start >= wanted:
                return run
            after = self._at.get(end)
            if after is None or after.pins:
                break
            if end in ends and ends[end] - start < wanted:
                end = ends[end]
                break
            run.append(after)
            end = after.extent.end
        ends.update((each.extent.offset, end) for each in run)
        return None

    def _evict(self, entry: Entry) -> None:
        self._idle.evict(entry)
        self._drop(entry)

    def _drop(self, entry: Entry) -> None:
        del self._entries[entry.sha256], self._at[entry.extent.offset]
        self.evictions += 1
        self.extents.free(entry.extent)

    # -- keys ------------------------------------------------------------------------------------

    def see(self, bucket: str, key: str, etag: str, sha256: str, asked: float) -> bool:
        """(bucket, key) held this content when the store was `asked`; False, and nothing changes,
        when it has told of a later moment already."""
        alias = self._aliases.get((bucket, key))
        if alias is not None and alias.seen > asked:
            return False
        self._aliases[bucket, key] = Alias(etag, sha256, asked)
        self._aliases.move_to_end((bucket, key))
        if len(self._aliases) > ALIASES_MAX:
            self._aliases.popitem(last=False)
        return True

    def alias(self, bucket: str, key: str) -> Alias | None:
        """What a key held when the store was last asked."""
        return self._aliases.get((bucket, key))

    def believed(self, bucket: str, key: str, now: float) -> str | None:
        """The content of a key, if the store said so within `ttl_s`."""
        alias = self._aliases.get((bucket, key))
        return alias.sha256 if alias and now < alias.seen + self.ttl_s else None

    def forget_key(self, bucket: str, key: str) -> None:
        """Nothing is known of the key any more."""
        self._aliases.pop((bucket, key), None)

    def check(self) -> None:
        """Raise AssertionError when an invariant of the head of this file does not hold."""
        self.extents.check()
        self._idle.check()
        entries = self._entries.values()
        for sha256, entry in self._entries.items():
            assert entry.sha256 == sha256
            assert entry.pins >= 0
            assert (entry.pins == 0) == (sha256 in self._idle), f"{sha256} is idle and pinned"
            assert not self._idle.remembers(sha256), f"{sha256} is here and a ghost"
            assert 0 <= entry.size_bytes <= entry.extent.size_bytes
            assert self._at[entry.extent.offset] is entry
            assert self.extents.has_taken(entry.extent), f"{sha256} lies in free memory"
        assert len(self._at) == self.items, "two lie in one place"
        pinned = [entry.extent.size_bytes for entry in entries if entry.pins]
        assert sum(pinned) == self.pinned_bytes
        assert self.pinned_bytes + self._idle.size_bytes + self.reserved_bytes == self.used_bytes
        assert self.reserved_bytes >= 0
        assert len(self._idle) == self.items - len(pinned)
        # One more may lie idle: what came while all others were in use, and nobody wanted.
        assert self.items <= self.items_max or len(self._idle) <= 1
        assert len(self._aliases) <= ALIASES_MAX

    def __repr__(self) -> str:
        return (
            f"<CacheIndex {self.items} items, {self.used_bytes} bytes, "
            f"{len(self._idle)} idle, {self.hits} hits, {self.misses} misses>"
        )
