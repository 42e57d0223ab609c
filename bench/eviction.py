"""Which entry should go when the cache is full? Hit ratios of policies over traces of media.

All get the same requests and 256 MiB. The policies are pure bookkeeping: bytes are bytes, wherever
they lie. `arena` is `core.cache.CacheIndex`, where they must lie in one piece: what it loses to
ARC, the policy it follows, is what fragmentation costs. `known` evicts what is wanted again last
(Belady): the most that a policy could win.
"""

import argparse
import json
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from heapq import heappop, heappush
from random import Random
from typing import NamedTuple, Protocol

from bench.calibrate import loop_s, speed
from bench.traces import CACHE_BYTES, TRACES, Request
from prewarmd.core.cache import CacheIndex
from prewarmd.core.eviction import Entry, Idle
from prewarmd.core.extents import Extent

ITEMS_MAX = 10_000
TTL_S = 300.0
SEED = 1


# -- policies: who goes ----------------------------------------------------------------------------


@dataclass(slots=True, eq=False)
class Held:
    """An object in a cache."""

    name: int
    size_bytes: int
    next_use: int
    pins: int = 1
    used: float = 0.0
    asked: int = 0
    """What the policy remembers of requests."""


class Policy(Protocol):
    """An order of eviction. `evict` gives what goes, never anything pinned."""

    def add(self, held: Held) -> None: ...
    def hit(self, held: Held) -> None: ...
    def rest(self, held: Held) -> None: ...  # the last user left
    def drop(self, held: Held) -> None: ...  # too old
    def evict(self) -> list[Held]: ...


class Oldest20:
    """The seed's rule: when full, the oldest-inserted 20 % go at once."""

    def __init__(self) -> None:
        self.order: OrderedDict[int, Held] = OrderedDict()

    def add(self, held: Held) -> None:
        self.order[held.name] = held

    def hit(self, held: Held) -> None: ...
    def rest(self, held: Held) -> None: ...

    def drop(self, held: Held) -> None:
        del self.order[held.name]

    def evict(self) -> list[Held]:
        most = max(1, len(self.order) // 5)
        gone = [held for held in self.order.values() if not held.pins][:most]
        for held in gone:
            self.drop(held)
        return gone


class Lru(Oldest20):
    """What nobody used for longest goes."""

    def rest(self, held: Held) -> None:
        self.order.move_to_end(held.name)

    def evict(self) -> list[Held]:
        held = next(held for held in self.order.values() if not held.pins)
        self.drop(held)
        return [held]


class Sieve:
    """SIEVE (NSDI '24). A hand goes from the oldest to the newest: asked for since it last came by
    stays in its place, the rest goes. The queue is cut in two at the hand. The hand takes out what
    is in use; it comes back as the newest."""

    def __init__(self) -> None:
        self.ahead: OrderedDict[int, Held] = OrderedDict()
        self.behind: OrderedDict[int, Held] = OrderedDict()

    def add(self, held: Held) -> None:
        self.ahead[held.name] = held

    def hit(self, held: Held) -> None:
        held.asked = 1

    def rest(self, held: Held) -> None:
        if held.name not in self.behind:
            self.ahead.setdefault(held.name, held)

    def drop(self, held: Held) -> None:
        del (self.ahead if held.name in self.ahead else self.behind)[held.name]

    def evict(self) -> list[Held]:
        while True:
            if not self.ahead:
                self.ahead, self.behind = self.behind, self.ahead
            name, held = self.ahead.popitem(last=False)
            if held.pins:
                continue
            if not held.asked:
                return [held]
            held.asked = 0
            self.behind[name] = held


class S3Fifo:
    """S3-FIFO (SOSP '23): a tenth of the bytes is probation; names that left it are remembered."""

    def __init__(self) -> None:
        self.small: OrderedDict[int, Held] = OrderedDict()
        self.main: OrderedDict[int, Held] = OrderedDict()
        self.ghost: OrderedDict[int, int] = OrderedDict()
        self.small_bytes = self.ghost_bytes = 0

    def add(self, held: Held) -> None:
        if held.name in self.ghost:
            self.ghost_bytes -= self.ghost.pop(held.name)
            self.main[held.name] = held
        else:
            self.small[held.name] = held
            self.small_bytes += held.size_bytes

    def hit(self, held: Held) -> None:
        held.asked = min(3, held.asked + 1)

    def rest(self, held: Held) -> None:
        if held.name not in self.small:
            self.main.setdefault(held.name, held)

    def drop(self, held: Held) -> None:
        if self.small.pop(held.name, None):
            self.small_bytes -= held.size_bytes
        else:
            del self.main[held.name]

    def evict(self) -> list[Held]:
        while True:
            if self.small and (self.small_bytes >= CACHE_BYTES // 10 or not self.main):
                name, held = self.small.popitem(last=False)
                self.small_bytes -= held.size_bytes
                if held.asked <= 1 and not held.pins:
                    self._remember(held)
                    return [held]
                held.asked = 0
            else:
                name, held = self.main.popitem(last=False)
                if not held.asked and not held.pins:
                    return [held]
                held.asked = max(0, held.asked - 1)
            if not held.pins:
                self.main[name] = held

    def _remember(self, held: Held) -> None:
        self.ghost[held.name] = held.size_bytes
        self.ghost_bytes += held.size_bytes
        while self.ghost_bytes > CACHE_BYTES * 9 // 10:
            self.ghost_bytes -= self.ghost.popitem(last=False)[1]


class Arc:
    """What `CacheIndex` follows, without the arena."""

    def __init__(self) -> None:
        self.order = Idle(CACHE_BYTES, ITEMS_MAX)
        self.all: dict[int, tuple[Held, Entry]] = {}

    def add(self, held: Held) -> None:
        entry = Entry(str(held.name), Extent(0, held.size_bytes), held.size_bytes)
        self.all[held.name] = held, entry
        self.order.welcome(entry)
        entry.uses += 1

    def hit(self, held: Held) -> None:
        if not held.pins:
            entry = self.all[held.name][1]
            self.order.take(entry)
            entry.uses += 1

    def rest(self, held: Held) -> None:
        entry = self.all[held.name][1]
        entry.used = held.used
        self.order.rest(entry)

    def drop(self, held: Held) -> None:
        self.order.take(self.all.pop(held.name)[1])

    def evict(self) -> list[Held]:
        entry = self.order.first()
        assert entry is not None
        self.order.evict(entry)
        return [self.all.pop(int(entry.sha256))[0]]


class Known:
    """Belady's: what is wanted again last goes. A heap, where an item is stale once it was used."""

    def __init__(self) -> None:
        self.heap: list[tuple[int, int, Held]] = []

    def add(self, held: Held) -> None: ...
    def hit(self, held: Held) -> None: ...

    def rest(self, held: Held) -> None:
        heappush(self.heap, (-held.next_use, held.name, held))

    def drop(self, held: Held) -> None:
        held.next_use = -1

    def evict(self) -> list[Held]:
        while True:
            next_use, _, held = heappop(self.heap)
            if held.next_use == -next_use and not held.pins:
                self.drop(held)
                return [held]


# -- caches: what a request finds ------------------------------------------------------------------


class Cache(Protocol):
    """Whether an object is here; afterwards it is, and pinned. None: pins leave no room for it."""

    def ask(self, request: Request, next_use: int) -> bool | None: ...
    def leave(self, name: int, now: float) -> None: ...
    def expire(self, now: float) -> object: ...


class Bounded:
    """A policy under a bound of bytes, a bound of items and a time to live since the last use."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.free_bytes = CACHE_BYTES
        self.held: dict[int, Held] = {}
        self.idle: OrderedDict[int, Held] = OrderedDict()
        self.idle_bytes = 0

    def ask(self, request: Request, next_use: int) -> bool | None:
        held = self.held.get(request.name)
        if held is not None:
            held.next_use = next_use
            self.policy.hit(held)
            if not held.pins:
                del self.idle[held.name]
                self.idle_bytes -= held.size_bytes
            held.pins += 1
            return True
        if request.size_bytes > self.free_bytes + self.idle_bytes:
            return None
        while self.free_bytes < request.size_bytes or (len(self.held) >= ITEMS_MAX and self.idle):
            self._forget(self.policy.evict())
        held = self.held[request.name] = Held(request.name, request.size_bytes, next_use)
        self.free_bytes -= held.size_bytes
        self.policy.add(held)
        return False

    def leave(self, name: int, now: float) -> None:
        held = self.held[name]
        held.pins -= 1
        if not held.pins:
            held.used = now
            self.idle[name] = held
            self.idle_bytes += held.size_bytes
            self.policy.rest(held)

    def expire(self, now: float) -> None:
        while self.idle and (held := next(iter(self.idle.values()))).used + TTL_S <= now:
            self.policy.drop(held)
            self._forget([held])

    def _forget(self, gone: Iterable[Held]) -> None:
        for held in gone:
            del self.held[held.name], self.idle[held.name]
            self.idle_bytes -= held.size_bytes
            self.free_bytes += held.size_bytes


class Arena:
    """The index that runs in production."""

    def __init__(self) -> None:
        self.index = CacheIndex(CACHE_BYTES, ITEMS_MAX, TTL_S)
        self.expire = self.index.expire

    def ask(self, request: Request, next_use: int) -> bool | None:
        sha256 = str(request.name)
        if self.index.pin(sha256):
            return True
        extent = self.index.reserve(request.size_bytes)
        if extent is None:
            return None
        self.index.admit(sha256, extent, request.size_bytes, request.at)
        self.index.pin(sha256)
        return False

    def leave(self, name: int, now: float) -> None:
        self.index.unpin(str(name), now)


CACHES: dict[str, Callable[[], Cache]] = {
    "oldest 20 %": lambda: Bounded(Oldest20()),
    "LRU": lambda: Bounded(Lru()),
    "SIEVE": lambda: Bounded(Sieve()),
    "S3-FIFO": lambda: Bounded(S3Fifo()),
    "ARC": lambda: Bounded(Arc()),
    "arena": Arena,
    "known": lambda: Bounded(Known()),
}

# -- running them ----------------------------------------------------------------------------------


class Ratios(NamedTuple):
    """What a cache saved, of requests and of bytes; how many it had no room for."""

    by_request: float
    by_bytes: float
    refused: int
    cpu_us: float


def run(cache: Cache, trace: list[Request], next_uses: list[int]) -> Ratios:
    """Ask for everything in turn; leave when it was sent."""
    leaving: list[tuple[float, int]] = []
    hits = hit_bytes = refused = 0
    began = time.process_time()
    for request, next_use in zip(trace, next_uses, strict=True):
        while leaving and leaving[0][0] <= request.at:
            at, name = heappop(leaving)
            cache.leave(name, at)
        cache.expire(request.at)
        hit = cache.ask(request, next_use)
        if hit:
            hits += 1
            hit_bytes += request.size_bytes
        if hit is None:
            refused += 1
        elif request.hold_s:
            heappush(leaving, (request.at + request.hold_s, request.name))
        else:
            cache.leave(request.name, request.at)
    taken_us = (time.process_time() - began) * 1e6 / len(trace)
    total = sum(request.size_bytes for request in trace)
    return Ratios(hits / len(trace), hit_bytes / total, refused, round(taken_us, 2))


def compare(trace: list[Request]) -> dict[str, Ratios]:
    """What each cache saves."""
    coming: dict[int, int] = {}
    next_uses = [len(trace)] * len(trace)
    for index in range(len(trace) - 1, -1, -1):
        next_uses[index] = coming.get(trace[index].name, len(trace))
        coming[trace[index].name] = index
    return {name: run(build(), trace, next_uses) for name, build in CACHES.items()}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.eviction")
    parser.add_argument("--json", action="store_true", help="hits, as one JSON object")
    as_json = parser.parse_args().json
    before = loop_s()
    table = {name: compare(list(make(Random(SEED)))) for name, make in TRACES.items()}
    if as_json:
        print(json.dumps({t: {c: r._asdict() for c, r in row.items()} for t, row in table.items()}))
        return
    print(f"{'hits, % of requests / bytes':<28}" + "".join(f"{name:>13}" for name in CACHES))
    for name, row in table.items():
        cells = [f"{100 * r.by_request:.1f} / {100 * r.by_bytes:.1f}" for r in row.values()]
        print(f"{name:<28}" + "".join(f"{cell:>13}" for cell in cells))
    for title, left_out in (("mean", ""), ("mean without the loop", "loop")):
        rows = [list(row.values()) for name, row in table.items() if name != left_out]
        columns = zip(*rows, strict=True)
        means = [sum(50 * (r.by_request + r.by_bytes) for r in c) / len(rows) for c in columns]
        print(f"{title:<28}" + "".join(f"{mean:>13.1f}" for mean in means))
    cost = [max(row[name].cpu_us for row in table.values()) for name in CACHES]
    print(f"{'us a request, at most':<28}" + "".join(f"{us:>13.1f}" for us in cost))
    print(f"machine speed {speed(before, loop_s()):.2f}")


if __name__ == "__main__":
    main()
