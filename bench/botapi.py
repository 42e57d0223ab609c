"""What an upload costs the sandbox's Bot API server: if that were much, it would be what the rest
is measured against.

Its own process alone counts, user and system; prewarmd's client sends. Goals: 250 us of CPU for an
upload of 100 KB, and 400 MB for each second of CPU for large ones without hashes; its memory does
not grow with what is sent.
"""

import asyncio
import json
import sys
import tempfile
from pathlib import Path

import psutil

from bench.calibrate import loop_s, speed
from bench.data import objects
from bench.data.clients.base import CHAT, TOKEN, Plan
from bench.data.objects import BUCKET, Object
from bench.data.process import Clients
from bench.data.samples import Samples
from prewarmd.sandbox.town import BotApi, Resident

SMALL_BYTES, LARGE_BYTES = 100_000, 20_000_000
SMALL, LARGE = 1000, 24
ROUNDS = 5


def _run(bot_api: BotApi, client: Clients, asked: list[Object]) -> float:
    """CPU seconds of the server for these uploads."""
    process = psutil.Process(bot_api.pid)
    before = process.cpu_times()
    client.run("post", asked)
    after = process.cpu_times()
    return after.user + after.system - before.user - before.system


async def measure(small: list[Object], large: list[Object]) -> tuple[Samples, float]:
    """Small uploads in us, large ones in MB a second of CPU; and by how much memory grew, MiB."""
    samples = Samples()
    bots = [Resident("bench", TOKEN, ((CHAT, "channel"),))]
    servers = {hashes: BotApi(bots, server="local", hashes=hashes) for hashes in (True, False)}
    try:
        for hashes, server in servers.items():
            await server.start()
            name = "hashing" if hashes else "large_mb_per_cpu_s"
            plans = [
                Plan("http://127.0.0.1:9", server.base, BUCKET, None, slots, most)
                for slots, most in ((16, SMALL_BYTES * 2), (4, LARGE_BYTES * 2))
            ]
            with Clients("prewarmd", plans[0]) as few, Clients("prewarmd", plans[1]) as many:
                _run(server, few, small)
                _run(server, many, large)
                resident = psutil.Process(server.pid).memory_info().rss
                for _ in range(ROUNDS):
                    size_mb = sum(one.size_bytes for one in large) / 1e6
                    samples.add(name, size_mb / _run(server, many, large))
                    if hashes:
                        samples.add("small_us", _run(server, few, small) / len(small) * 1e6)
                grown = psutil.Process(server.pid).memory_info().rss - resident
    finally:
        for server in servers.values():
            await asyncio.to_thread(server.stop)
    return samples, grown / (1 << 20)


def main() -> int:
    """The command line."""
    loops = [loop_s()]
    with tempfile.TemporaryDirectory(prefix="prewarmd-bench-") as path:
        small = objects.make(Path(path), "small", SMALL, SMALL_BYTES)
        large = objects.make(Path(path), "large", LARGE, LARGE_BYTES)
        samples, grown_mib = asyncio.run(measure(small, large))
    loops.append(loop_s())
    found = {name: samples.median(name) for name in ("small_us", "large_mb_per_cpu_s", "hashing")}
    print(f"an upload of 100 KB       {found['small_us']:8.0f} us (at most 250)")
    print(
        f"of 20 MB, without hashes  {found['large_mb_per_cpu_s']:8.0f} MB/s of CPU (at least 400)"
    )
    print(f"of 20 MB                  {found['hashing']:8.0f} MB/s of CPU")
    print(f"its memory grew by        {grown_mib:8.1f} MiB")
    print(f"machine speed {speed(*loops):.2f}")
    if "--json" in sys.argv:
        print(json.dumps({name: round(value, 1) for name, value in found.items()}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
