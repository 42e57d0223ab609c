"""What a daemon with nothing to do costs: memory of the whole tree, CPU over ten seconds."""

import asyncio
import tempfile
from pathlib import Path

from bench.tree import Tree
from prewarmd.sandbox.daemon import RunningDaemon
from prewarmd.sandbox.town import Town

SECONDS = 10.0


async def _measure() -> None:
    with tempfile.TemporaryDirectory(prefix="prewarmd-bench-") as folder:
        directory = Path(folder)
        async with Town(directory) as town:
            town.write_configuration(directory / "prewarmd.toml")
            async with RunningDaemon(directory / "prewarmd.toml", directory / "state") as daemon:
                await asyncio.sleep(2.0)
                tree = Tree(daemon.pid)
                before = tree.cpu_s()
                await asyncio.sleep(SECONDS)
                share = (tree.cpu_s() - before) / SECONDS * 100
                print(f"PSS of the whole tree: {tree.pss_bytes() / 2**20:.0f} MiB")
                for name, pss_bytes in tree.parts():
                    print(f"  {name:32} {pss_bytes / 2**20:6.1f} MiB")
                print(f"CPU: {share:.2f} % of one core")


def main() -> None:
    asyncio.run(_measure())


if __name__ == "__main__":
    main()
