"""Large media, a daemon and one media at a time: how long one takes from far away, and what memory
one takes that does not fit into the arena.

Every file must arrive once and whole, and be catalogued under what arrived; RuntimeError otherwise.
"""

import asyncio
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.data.daemon import BOTS, Daemon, Place, Run
from bench.data.link import FAR
from bench.data.objects import Endless, Object
from bench.data.samples import Samples
from bench.data.sink import Sink
from bench.data.store import Store

FAR_BYTES = 4_000_000
LOOK_S = 0.1
WAYS = {"cut_through": True, "whole": False}
"""Name -> whether uploads follow their downloads."""


def made(name: str, size_bytes: int) -> Object:
    """An object of the store that makes them."""
    return Endless(name).object(size_bytes)


async def _warm(daemon: Daemon, sink: Sink, one: Object) -> Run:
    """That media alone, and look at what arrived."""
    sink.report()
    run = await daemon.warm([one], list(BOTS)[:1])
    arrived = sink.report()
    if arrived != {one.sha256: 1}:
        raise RuntimeError(f"{one.key} arrived as {dict(arrived)}")
    if daemon.recorded(1) != [(one.sha256, one.sha256)]:
        raise RuntimeError(f"{one.key} is catalogued as {daemon.recorded(1)}")
    return run


async def from_far_away(directory: Path, count: int) -> Samples:
    """Seconds from the submit of a media of 4 MB until it is ready, by the names of `WAYS`; servers
    take 300 ms to their first byte and carry 2 MB/s each way. Two daemons take turns."""
    samples = Samples()
    async with AsyncExitStack() as stack:
        store, sink = stack.enter_context(Store(FAR)), stack.enter_context(Sink(distance=FAR))
        daemons = {}
        for name, cuts_through in WAYS.items():
            place = Place(store.url, sink.url, cuts_through=cuts_through)
            daemons[name] = await stack.enter_async_context(Daemon(place, directory / name))
            await _warm(daemons[name], sink, made("first", FAR_BYTES))
        for number in range(count):
            names = list(WAYS)[:: -1 if number % 2 else 1]
            for name in names:
                run = await _warm(daemons[name], sink, made(f"far{number}", FAR_BYTES))
                samples.add(name, run.wall_s)
    return samples


@dataclass(frozen=True, slots=True)
class Relayed:
    """What the relay of one object took."""

    before_bytes: int
    """The child's own memory."""
    most_bytes: int
    wall_s: float
    cpu_s: float
    """Of all the daemon's processes."""


async def relayed(directory: Path, size_bytes: int) -> Relayed:
    """An object that passes through the only child of a fresh daemon."""
    one = made("relayed", size_bytes)
    with ExitStack() as stack:
        store, sink = stack.enter_context(Store()), stack.enter_context(Sink())
        place = Place(store.url, sink.url, workers=1, is_local=True)
        async with Daemon(place, directory) as daemon:
            child = daemon.child()
            seen = [own_bytes(child)]
            looking = asyncio.ensure_future(_look(child, seen))
            try:
                run = await _warm(daemon, sink, one)
            finally:
                looking.cancel()
            return Relayed(seen[0], max(seen), run.wall_s, run.cpu_us / 1e6)


def own_bytes(process: psutil.Process) -> int:
    """Resident memory less what it shares: its arena, and files like its libraries."""
    memory = process.memory_info()
    return int(memory.rss - memory.shared)


async def _look(process: psutil.Process, seen: list[int]) -> None:
    while True:
        seen.append(own_bytes(process))
        await asyncio.sleep(LOOK_S)
