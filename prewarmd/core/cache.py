"""The index of the shared download cache: which content lies where in the arena.

An entry is content (its SHA-256) in an extent. Keys are names for content: `aliases` remembers what
a (bucket, key) held and when the store last said so, so that the same picture under two bots' keys
is one download, and a key is only believed for `ttl_s`. Pinned entries are in use and cannot be
evicted; the others are in least-recently-used order, and go when memory or a place is
wanted, or when nobody used them for `ttl_s`.

Costs: find, pin, unpin O(1); reserve O(free ranges + evictions). Bounds: bytes (the arena), items.
Memory for a download is reserved here, before it is handed out; it has no content yet and belongs
to the fetch until `admit` or `give_back`.
"""

from collections import OrderedDict
from dataclasses import dataclass
from itertools import pairwise

from prewarmd.core.extents import Extent, Extents

ALIASES_MAX = 100_000


@dataclass(slots=True, eq=False)
class Entry:
    """Verified content in the arena."""

    sha256: str
    extent: Extent
    size_bytes: int
    pins: int = 0
    used: float = 0.0
    """When its last user left, while it is idle."""


@dataclass(slots=True)
class Alias:
    """What the store last said a key holds."""

    etag: str
    sha256: str
    seen: float


class CacheIndex:
    """Extents by content, content by key."""

    def __init__(self, size_bytes: int, items_max: int, ttl_s: float) -> None:
        self.extents = Extents(size_bytes)
        self.items_max = items_max
        self.ttl_s = ttl_s
        self.hits = 0
        self.misses = 0
        self.evictions = 0
        self._entries: dict[str, Entry] = {}
        self._idle: OrderedDict[str, Entry] = OrderedDict()
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

    def pin(self, sha256: str) -> Entry | None:
        """The entry of a content, kept from eviction until `unpin`; None when it is not here."""
        entry = self._entries.get(sha256)
        if entry is not None:
            entry.pins += 1
            self._idle.pop(sha256, None)
        return entry

    def unpin(self, sha256: str, now: float) -> None:
        """One user less; the last one leaves it as the most recently used."""
        entry = self._entries[sha256]
        assert entry.pins > 0, f"{sha256} is not pinned"
        entry.pins -= 1
        if not entry.pins:
            entry.used = now
            self._idle[sha256] = entry
            self._shrink()

    def expires_at(self) -> float | None:
        """When the entry idle longest has been idle for `ttl_s`."""
        oldest = next(iter(self._idle.values()), None)
        return oldest.used + self.ttl_s if oldest else None

    def expire(self, now: float) -> int:
        """Evict what nobody used for `ttl_s`; how many."""
        evicted = 0
        while (at := self.expires_at()) is not None and at <= now:
            self._evict()
            evicted += 1
        return evicted

    def holds(self, sha256: str) -> bool:
        """Whether the content is here."""
        return sha256 in self._entries

    def reserve(self, size_bytes: int) -> Extent | None:
        """Memory for a download, evicting as much as it takes; None when pins leave no room."""
        while (extent := self.extents.allocate(size_bytes)) is None:
            if not self._idle:
                return None
            self._evict()
        return extent

    def give_back(self, extent: Extent) -> None:
        """A download that came to nothing returns its memory."""
        self.extents.free(extent)

    def admit(self, sha256: str, extent: Extent, size_bytes: int, now: float) -> Entry:
        """A verified download becomes content, unpinned; a second copy of one gives its memory
        back."""
        entry = self._entries.get(sha256)
        if entry is not None:
            self.give_back(extent)
            return entry
        while len(self._entries) >= self.items_max and self._idle:
            self._evict()
        entry = self._entries[sha256] = Entry(sha256, extent, size_bytes, used=now)
        self._idle[sha256] = entry
        return entry

    def see(self, bucket: str, key: str, etag: str, sha256: str, now: float) -> None:
        """The store says that (bucket, key) holds this content now."""
        self._aliases[bucket, key] = Alias(etag, sha256, now)
        self._aliases.move_to_end((bucket, key))
        if len(self._aliases) > ALIASES_MAX:
            self._aliases.popitem(last=False)

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

    def _shrink(self) -> None:
        while len(self._entries) > self.items_max and self._idle:
            self._evict()

    def _evict(self) -> None:
        sha256, entry = self._idle.popitem(last=False)
        del self._entries[sha256]
        self.evictions += 1
        self.give_back(entry.extent)

    def check(self) -> None:
        """Raise AssertionError when extents overlap, pins are wrong or bytes do not add up."""
        self.extents.check()
        for sha256, entry in self._entries.items():
            assert (entry.pins == 0) == (sha256 in self._idle), f"{sha256} is idle and pinned"
        spans = sorted(entry.extent for entry in self._entries.values())
        assert all(before.end <= after.offset for before, after in pairwise(spans))
        assert sum(e.extent.size_bytes for e in self._entries.values()) <= self.used_bytes

    def __repr__(self) -> str:
        return (
            f"<CacheIndex {self.items} items, {self.used_bytes} bytes, "
            f"{len(self._idle)} idle, {self.hits} hits, {self.misses} misses>"
        )
