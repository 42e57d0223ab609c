"""Photos of 100 KB +- 10 %, no two of one size, from SeaweedFS through the daemon into the sandbox.

Media per second from the first submit to the last commit, and CPU microseconds per media of all the
daemon's processes in that time. Servers, daemon and this client share the machine's cores, so the
CPU figure is the one to compare.
"""

import asyncio
import os
import random
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from bench.calibrate import loop_s, speed
from bench.tree import Tree
from prewarmd.sandbox.daemon import RunningDaemon, until
from prewarmd.sandbox.media import bench_photo
from prewarmd.sandbox.town import SLUGS, Town

PHOTOS = int(os.environ.get("PHOTOS", "3000"))
ROUNDS = int(os.environ.get("ROUNDS", "3"))
WAIT_S = 300.0


@dataclass
class Round:
    seconds: float
    cpu_us: float
    supervisor_us: float
    pss_bytes: int
    speed: float


async def _ready(daemon: RunningDaemon) -> int:
    text: str = await daemon.ask("GET", "/metrics")
    for line in text.splitlines():
        if line.startswith('prewarmd_jobs{state="ready"}'):
            return int(float(line.split()[1]))
    return 0


async def _round(town: Town, directory: Path, number: int) -> Round:
    chance = random.Random(number)
    sizes = chance.sample(range(90_000, 110_001), PHOTOS)
    photos = [
        (f"round-{number}/{index}.jpg", bench_photo(size_bytes, number * PHOTOS + index))
        for index, size_bytes in enumerate(sizes)
    ]
    await town.store.put_all(photos)
    jobs = [{"bot": SLUGS[index % len(SLUGS)], "key": key} for index, (key, _) in enumerate(photos)]
    del photos
    state = directory / f"state-{number}"
    async with RunningDaemon(directory / "prewarmd.toml", state) as daemon:
        await asyncio.sleep(1.0)
        tree = Tree(daemon.pid)
        loops = [loop_s()]
        cpu_s, alone_s = tree.cpu_s(), tree.own_cpu_s()
        began = time.monotonic()
        await daemon.submit(jobs)

        async def all_ready() -> bool:
            return await _ready(daemon) >= PHOTOS

        await until(all_ready, WAIT_S, every_s=0.05)
        seconds = time.monotonic() - began
        cpu_s, alone_s = tree.cpu_s() - cpu_s, tree.own_cpu_s() - alone_s
        loops.append(loop_s())
        return Round(
            seconds, cpu_s / PHOTOS * 1e6, alone_s / PHOTOS * 1e6, tree.pss_bytes(), speed(*loops)
        )


async def _measure() -> None:
    rounds = []
    with tempfile.TemporaryDirectory(prefix="prewarmd-bench-") as folder:
        directory = Path(folder)
        async with Town(directory) as town:
            town.write_configuration(directory / "prewarmd.toml")
            for number in range(ROUNDS):
                one = await _round(town, directory, number)
                rounds.append(one)
                print(
                    f"{PHOTOS / one.seconds * 60:8,.0f} media/min, {one.cpu_us:6,.0f} us CPU per "
                    f"media (supervisor {one.supervisor_us:,.0f}), PSS {one.pss_bytes / 2**20:.0f}"
                    f" MiB, machine speed {one.speed:.2f}",
                    flush=True,
                )
    rate = statistics.median(PHOTOS / one.seconds * 60 for one in rounds)
    cpu_us = statistics.median(one.cpu_us for one in rounds)
    print(f"median of {ROUNDS}: {rate:,.0f} media/min, {cpu_us:,.0f} us CPU per media")


def main() -> None:
    asyncio.run(_measure())


if __name__ == "__main__":
    main()
