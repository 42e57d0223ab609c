"""Traces: who wants which object when, for the comparison of `bench.eviction`.

Sizes are log-normal, 20 KB to 25 MB. What this program sees is most like `shared`, `backlogs` and
the broadcasts: a bot wants an object once, because afterwards the catalogue has it.
"""

from bisect import bisect
from collections.abc import Callable, Iterator
from itertools import accumulate
from random import Random
from typing import NamedTuple

CACHE_BYTES = 256 << 20
"""What they are made to overflow."""


class Request(NamedTuple):
    """A bot wants an object, and holds it for `hold_s` while it sends."""

    at: float
    name: int
    size_bytes: int
    hold_s: float = 0.0


def size(random: Random, median: float = 150e3, spread: float = 1.2) -> int:
    """300 KB on average: the cache holds some 900."""
    return int(min(25e6, max(20e3, random.lognormvariate(0.0, spread) * median)))


def ranks(random: Random, alpha: float, names: int) -> Iterator[int]:
    """Names by Zipf's law, for ever."""
    weights = list(accumulate(1 / rank**alpha for rank in range(1, names + 1)))
    while True:
        yield bisect(weights, random.random() * weights[-1])


def zipf(random: Random, alpha: float) -> Iterator[Request]:
    """Some objects are wanted by many, for ever and independently."""
    sizes = [size(random) for _ in range(10_000)]
    for number, name in zip(range(60_000), ranks(random, alpha, len(sizes)), strict=False):
        yield Request(number / 50, name, sizes[name])


def zipf_and_scan(random: Random) -> Iterator[Request]:
    """The same beside a backfill: every other request is an object never wanted again."""
    for number, request in zip(range(30_000), zipf(random, 1.0), strict=False):
        yield request
        yield Request(request.at, 1_000_000 + number, size(random))


def mixed(random: Random) -> Iterator[Request]:
    """One in ten is a video of some 6 MB, the rest photos of 100 KB."""
    sizes = [
        size(random, 6e6, 0.6) if random.random() < 0.1 else size(random, 100e3, 0.5)
        for _ in range(5_000)
    ]
    for number, name in zip(range(60_000), ranks(random, 0.9, len(sizes)), strict=False):
        yield Request(number / 100, name, sizes[name])


def loop(random: Random) -> Iterator[Request]:
    """Round and round over a tenth more than the cache holds."""
    sizes = list(accumulate(size(random) for _ in range(10_000)))
    names = bisect(sizes, 1.1 * CACHE_BYTES)
    for number in range(30_000):
        name = number % names
        yield Request(number / 50, name, sizes[name + 1] - sizes[name])


def broadcast(
    random: Random, bots: int = 20, load: float = 2.0, hold_s: float = 0.0
) -> Iterator[Request]:
    """Posts go to all bots as they come; a bot is at them within its backlog of up to four minutes,
    in which posts for `load` times the cache come in."""
    per_s = load * CACHE_BYTES / 300e3 / 240.0
    lags_s = [random.uniform(0.0, 240.0) for _ in range(bots)]
    requests = []
    for name in range(60_000 // bots):
        at, bytes_ = name / per_s, size(random)
        for lag_s in lags_s:
            after_s = lag_s + random.expovariate(0.1)
            requests.append(Request(at + after_s, name, bytes_, hold_s * 2 * random.random()))
    yield from sorted(requests)


def broadcast_and_scan(random: Random) -> Iterator[Request]:
    """A lighter one, to ten bots, while a backfill of twenty objects a second runs beside it."""
    requests = list(broadcast(random, bots=10, load=1.0))
    seconds = int(requests[-1].at)
    scan = [Request(n / 20, 1_000_000 + n, size(random)) for n in range(20 * seconds)]
    yield from sorted(requests + scan)


def backlogs(random: Random) -> Iterator[Request]:
    """Twenty bots walk one list of 3,000, submitted at once: those with one, two or three groups at
    20 a minute each, those with a private chat at one a second."""
    sizes = [size(random) for _ in range(3_000)]
    requests = []
    for bot in range(20):
        per_s = (1 / 3, 2 / 3, 1.0, 1.0)[bot % 4] * random.uniform(0.9, 1.0)
        requests += [Request(n / per_s, n, bytes_) for n, bytes_ in enumerate(sizes)]
    yield from sorted(requests)


def shared(random: Random) -> Iterator[Request]:
    """Zipf among a hundred bots, each of which wants an object once."""
    sizes, seen = [size(random) for _ in range(10_000)], set[tuple[int, int]]()
    for name in ranks(random, 1.0, len(sizes)):
        bot = random.randrange(100)
        if (bot, name) not in seen:
            seen.add((bot, name))
            yield Request(len(seen) / 50, name, sizes[name])
        if len(seen) == 60_000:
            return


def bursts(random: Random) -> Iterator[Request]:
    """Ten bursts, and pauses of nearly the time to live: half of what was there expires."""
    for number, request in enumerate(zipf(random, 0.9)):
        yield request._replace(at=number / 100 + number // 6_000 * 270.0)


TRACES: dict[str, Callable[[Random], Iterator[Request]]] = {
    "zipf 0.8": lambda random: zipf(random, 0.8),
    "zipf 1.0": lambda random: zipf(random, 1.0),
    "zipf + scan": zipf_and_scan,
    "mixed sizes": mixed,
    "loop": loop,
    "bursts, ttl": bursts,
    "shared": shared,
    "broadcast": broadcast,
    "broadcast 5 bots": lambda random: broadcast(random, bots=5),
    "broadcast + scan": broadcast_and_scan,
    "broadcast, pins": lambda random: broadcast(random, hold_s=3.0),
    "backlogs": backlogs,
}
