"""Whole daemons at work: started as users start them, asked through their API.

A run warms up with media of its own first, until every child has touched most of the arena: a page
that is touched for the first time costs more than using it. Then the measured jobs are submitted in
pages of a thousand, and CPU is that of the supervisor, forkserver, resource tracker and children
together, from the first submit until the last media is ready. Whether it is done, and when it was,
is read from its database: asking the daemon would be work of its own.
"""

import os
import shutil
import statistics
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import apsw
import psutil

from bench.data.clients.base import CREDENTIALS
from bench.data.objects import BUCKET, Object
from bench.data.sink import Sink
from bench.tree import Tree
from prewarmd.sandbox.daemon import RunningDaemon, until
from prewarmd.store.sqlite import DATABASE

BOTS = {"alpha": 700_000_001, "beta": 700_000_002, "gamma": 700_000_003}
"""Slug -> bot id."""
WAIT_S = 300.0
LOOK_S = 0.1


@dataclass(frozen=True, slots=True)
class Place:
    """What a daemon works with."""

    store: str
    telegram: str
    ca_file: Path | None = None
    cache_bytes: int = 64 << 20
    """Of its arena: smaller than the default, so that all of it is touched before the measured jobs
    begin, and larger than what all slots hold at once."""
    workers: int = 5
    cuts_through: bool = True
    is_local: bool = False
    """Its Bot API server takes files of 2000 MB."""

    def configuration(self) -> str:
        """A complete prewarmd.toml; everything else is the default."""
        trust = f'ca_file = "{self.ca_file}"\n' if self.ca_file else ""
        bots = "".join(
            f'\n[[bots]]\nslug = "{slug}"\ntoken = "{number}:bench_bench_bench_bench_bench_bench"\n'
            f'warmup_chats = [{{ id = {-1_001_000_000_000 - number}, kind = "channel" }}]\n'
            for slug, number in BOTS.items()
        )
        through = "" if self.cuts_through else "cut_through_bytes = 0\n"
        return f"""
workers = {self.workers}

[r2]
endpoint = "{self.store}"
bucket = "{BUCKET}"
access_key_id = "{CREDENTIALS.access_key_id}"
secret_access_key = "{CREDENTIALS.secret_access_key}"
{trust}
[telegram]
api_base = "{self.telegram}"
server = "{"local" if self.is_local else "hosted"}"
{through}{trust}
[cache]
bytes = {self.cache_bytes}

[limits]
profile = "none"
{bots}"""


@dataclass(frozen=True, slots=True)
class Run:
    """What some media cost a daemon."""

    cpu_us: float
    """Per media, all its processes."""
    supervisor_us: float
    wall_s: float
    """From their submit until the last was ready."""
    per_minute: float


class Daemon:
    """One at a place. A context: started in a fresh directory, stopped, and the directory
    removed."""

    def __init__(self, place: Place, directory: Path) -> None:
        directory.parent.mkdir(parents=True, exist_ok=True)
        configuration = directory.with_name(f"{directory.name}.toml")
        fd = os.open(configuration, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(fd, "w") as file:
            file.write(place.configuration())
        self._directory = directory
        self._daemon = RunningDaemon(configuration, directory)
        self._asked = 0

    async def __aenter__(self) -> "Daemon":
        async with AsyncExitStack() as undo:
            undo.push_async_callback(self.__aexit__)
            self._daemon.launch()
            await until(self._is_up, WAIT_S)
            undo.pop_all()
        return self

    async def _is_up(self) -> bool:
        """A full catalogue may take longer than other daemons are given."""
        if self._daemon.exit_code is not None:
            raise RuntimeError(f"the daemon has ended: {self._daemon.log.read_text()[-500:]}")
        try:
            status, _ = await self._daemon.answer("GET", "/readyz")
        except (aiohttp.ClientError, OSError):
            return False
        return status == 200

    async def __aexit__(self, *_: object) -> None:
        await self._daemon.stop()
        shutil.rmtree(self._directory)  # hundreds of MB, and nobody looks into it any more

    async def warm(self, objects: Sequence[Object], bots: Sequence[str] = tuple(BOTS)) -> Run:
        """Submit one job per object, for the bots in turn, and wait until all are ready."""
        jobs = [
            {"bot": bots[number % len(bots)], "key": one.key, "bytes": one.size_bytes}
            for number, one in enumerate(objects)
        ]
        tree = Tree(self._daemon.pid)
        cpu_s, alone_s, began = tree.cpu_s(), tree.own_cpu_s(), time.time()
        await self._daemon.submit(jobs)
        self._asked += len(jobs)
        await until(self._is_done, WAIT_S, LOOK_S)
        cpu_s, alone_s = tree.cpu_s() - cpu_s, tree.own_cpu_s() - alone_s
        count, wall_s = len(jobs), self._ended() - began
        return Run(
            cpu_us=cpu_s / count * 1e6,
            supervisor_us=alone_s / count * 1e6,
            wall_s=wall_s,
            per_minute=count / wall_s * 60,
        )

    def child(self) -> psutil.Process:
        """The only one of a daemon with one worker; ValueError when it has more."""
        (child,) = (
            child
            for parent in psutil.Process(self._daemon.pid).children()
            for child in parent.children()  # the forkserver is its parent
        )
        return child

    async def cache(self) -> dict[str, Any]:
        """Hits, misses and the like since its start."""
        found: dict[str, Any] = (await self._daemon.ask("GET", "/v1/status"))["cache"]
        return found

    def recorded(self, count: int) -> list[tuple[str, str]]:
        """(SHA-256, file_id) of the media that were catalogued last."""
        return self._rows(
            f"SELECT sha256, tg_file_id FROM media_cache ORDER BY id DESC LIMIT {count:d}"
        )

    async def _is_done(self) -> bool:
        counts = dict(self._rows("SELECT state, count(*) FROM jobs GROUP BY state"))
        if counts.get("failed"):
            wrong = self._rows("SELECT error_code, error_message FROM jobs WHERE state = 'failed'")
            raise RuntimeError(f"{counts['failed']} jobs failed: {wrong[0]}")
        return bool(counts.get("ready", 0) >= self._asked)

    def _ended(self) -> float:
        """When the last job became ready."""
        return float(self._rows("SELECT max(updated_at) FROM jobs")[0][0])

    def _rows(self, sql: str) -> list[Any]:
        path = str(self._directory / DATABASE)
        connection = apsw.Connection(path, flags=apsw.SQLITE_OPEN_READONLY)
        try:
            return list(connection.execute(sql))
        finally:
            connection.close()


async def work(
    place: Place, directory: Path, before: Sequence[Object], objects: Sequence[Object]
) -> Run:
    """Warm up with `before`, then measure; RuntimeError unless every object was a download."""
    async with Daemon(place, directory) as daemon:
        await daemon.warm(before)
        run = await daemon.warm(objects)
        misses = (await daemon.cache())["misses"]
        if misses != len(before) + len(objects):
            raise RuntimeError(f"{misses} downloads for {len(before) + len(objects)} media")
        return run


async def hits(
    place: Place, directory: Path, before: Sequence[Object], objects: Sequence[Object]
) -> tuple[float, float, int]:
    """CPU us of a media that is downloaded; of one that is warmed for another bot while its bytes
    are in the arena; and how many bytes were downloaded for those, nevertheless."""
    first, *others = BOTS
    async with Daemon(place, directory) as daemon:
        for bot in BOTS:  # both ways, so that neither is the first to touch the arena
            await daemon.warm(before, [bot])
        miss = await daemon.warm(objects, [first])
        came_bytes = (await daemon.cache())["bytes_downloaded"]
        hit = [await daemon.warm(objects, [bot]) for bot in others]
        again_bytes = (await daemon.cache())["bytes_downloaded"] - came_bytes
    return miss.cpu_us, statistics.fmean(run.cpu_us for run in hit), again_bytes


async def wrong_bodies(
    place: Place, directory: Path, sink: Sink, objects: Sequence[Object]
) -> tuple[Run, int]:
    """The same against a sink, and how many files did not arrive there once and whole, or were not
    catalogued under what arrived."""
    expected = {one.sha256 for one in objects}
    async with Daemon(place, directory) as daemon:
        run = await daemon.warm(objects)
        arrived = sink.report()
        once = {sha256 for sha256, times in arrived.items() if times == 1}
        catalogued = {
            sha256 for sha256, file_id in daemon.recorded(len(objects)) if sha256 == file_id
        }
    strangers = sum(times for sha256, times in arrived.items() if sha256 not in expected)
    return run, len(expected - (once & catalogued)) + strangers
