"""The demo: media in an object store become file_ids, and what that is good for, in numbers.

Everything in it is real but Telegram: an S3 server with checked signatures, files that decode, the
daemon with its children as `prewarmd run` starts it. It measures as an outsider: through the
daemon's HTTP API, and for a cold send by doing what a bot without prewarmd would do.
"""

import asyncio
import itertools
import secrets
import statistics
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from prewarmd.sandbox.daemon import RunningDaemon
from prewarmd.sandbox.media import Medium, demo_set
from prewarmd.sandbox.town import FAR, SLUGS, Resident, Town

SAMPLES = 9
"""Sends for each median; an odd number."""
RESENDS_AT_ONCE = 16

Say = Callable[[str], None]
Tick = Callable[[int, int], None]


@dataclass(slots=True)
class Figures:
    """What the demo found out; the object of `--json`."""

    media: int = 0
    ready: int = 0
    failed: int = 0
    seconds: float = 0.0
    per_minute: float = 0.0
    p50_ms: float | None = None
    p95_ms: float | None = None
    cache_hits: int = 0
    cache_misses: int = 0
    """GETs sent to the store."""
    bytes_downloaded: int = 0
    deduplicated: int = 0
    """Ready without an upload of their own."""
    cold_send_ms: float | None = None
    warm_send_ms: float | None = None
    survived_restart: int = 0
    """Media whose file_id is the same after a restart, and was accepted again."""
    kinds: dict[str, dict[str, int]] = field(default_factory=dict)
    """What was asked for -> what it is to Telegram -> how many."""

    def count(self, kind: str, actual_kind: str) -> None:
        """One more of `kinds`."""
        actual = self.kinds.setdefault(kind, {})
        actual[actual_kind] = actual.get(actual_kind, 0) + 1

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Finished:
    """A job that is ready, for "what finished first"."""

    kind: str
    size_bytes: int
    key: str
    updated_at: str


class Demo:
    """One run. `say` gets a line for the reader, `tick` how many of how many are done."""

    def __init__(self, directory: Path, *, media: int, latency: bool, say: Say, tick: Tick) -> None:
        self.directory = directory
        self.figures = Figures()
        self.first: list[Finished] = []
        self.configuration = directory / "prewarmd.toml"
        self._plan = demo_set(media, SLUGS)
        self._latency = latency
        self._say = say
        self._tick = tick

    async def run(self, present: Callable[[Path], Awaitable[None]]) -> Figures:
        """Do all of it; `present` gets the daemon's socket at the end, while all is still up."""
        async with AsyncExitStack() as stack:
            self._say("starting an S3 server (SeaweedFS) and a Bot API server on loopback")
            town = await stack.enter_async_context(
                Town(self.directory, **(FAR if self._latency else {}))
            )
            await self._fill(town)
            town.write_configuration(self.configuration)
            daemon = RunningDaemon(self.configuration, self.directory / "state")
            stack.push_async_callback(daemon.stop)
            self._say("starting prewarmd with five children")
            await daemon.start()
            await self._warm(daemon)
            before = await self._catalogue(daemon)
            if before:
                await self._compare(town, before)
            self._say("restarting prewarmd, and sending every file_id once more")
            await daemon.stop()
            await daemon.start()
            await self._survivors(town, daemon, before)
            await present(daemon.socket)
        return self.figures

    async def _fill(self, town: Town) -> None:
        contents = {medium.key: medium for medium in self._plan}
        files = await asyncio.to_thread(lambda: [(k, m.data()) for k, m in contents.items()])
        size_bytes = sum(len(data) for _, data in files)
        self._say(
            f"storing {len(files)} media, {size_bytes / 1e6:.1f} MB, for {len(SLUGS)} bots: "
            "every kind that Telegram knows"
        )
        await town.store.put_all(files)

    async def _warm(self, daemon: RunningDaemon) -> None:
        wanted = len(self._plan)
        jobs = [{"bot": m.bot, "key": m.key, "kind": m.kind} for m in self._plan]
        began = time.monotonic()
        await daemon.submit(jobs)
        async for counts in daemon.progress():
            done = counts["ready"] + counts["failed"] + counts["cancelled"]
            self._tick(done, wanted)
            if done >= wanted:
                break
        seconds = time.monotonic() - began
        status = await daemon.ask("GET", "/v1/status")
        counts, cache = status["jobs"], status["cache"]
        figures = self.figures
        figures.ready, figures.failed = counts["ready"], counts["failed"]
        figures.media = figures.ready + figures.failed
        figures.seconds = round(seconds, 3)
        figures.per_minute = round(figures.ready / seconds * 60, 1)
        figures.p50_ms, figures.p95_ms = status["latency"]["p50_ms"], status["latency"]["p95_ms"]
        figures.cache_hits, figures.cache_misses = cache["hits"], cache["misses"]
        figures.bytes_downloaded = cache["bytes_downloaded"]
        figures.deduplicated = status["catalogue"]["deduplicated"]

    async def _catalogue(self, daemon: RunningDaemon) -> dict[tuple[str, str], dict[str, Any]]:
        """(bot, key) -> job, of all that are ready."""
        jobs = await daemon.jobs(state="ready")
        by_end = sorted(jobs, key=lambda job: str(job["updated_at"]))
        self.first = [
            Finished(job["kind"], job["bytes"], job["key"], job["updated_at"]) for job in by_end[:5]
        ]
        return {(job["bot"], job["key"]): job for job in jobs}

    # -- the point of it all -----------------------------------------------------------------------

    async def _compare(self, town: Town, ready: dict[tuple[str, str], dict[str, Any]]) -> None:
        """A bot that needs a photo now: without prewarmd, and with it."""
        self._say("sending photos cold (download, then upload) and warm (by file_id)")
        photos = [m for m in self._plan if m.kind == "photo" and (m.bot, m.key) in ready]
        sample = list(itertools.islice(itertools.cycle(photos), SAMPLES)) if photos else []
        bots = {bot.slug: bot for bot in town.telegram.bots}
        cold: list[float] = []
        warm: list[float] = []
        async with aiohttp.ClientSession() as session, town.store.client(town.endpoint) as s3:
            for medium in sample:
                bot = bots[medium.bot]
                began = time.perf_counter()
                got = await s3.get_object(Bucket=town.store.bucket, Key=medium.key)
                await _send(session, town, bot, medium, await got["Body"].read())
                cold.append(time.perf_counter() - began)
                began = time.perf_counter()
                await _send(session, town, bot, medium, ready[medium.bot, medium.key]["file_id"])
                warm.append(time.perf_counter() - began)
        if cold:
            self.figures.cold_send_ms = round(statistics.median(cold) * 1000, 1)
            self.figures.warm_send_ms = round(statistics.median(warm) * 1000, 1)

    async def _survivors(
        self,
        town: Town,
        daemon: RunningDaemon,
        before: dict[tuple[str, str], dict[str, Any]],
    ) -> None:
        bots = {bot.slug: bot for bot in town.telegram.bots}
        waiting = iter(self._plan)

        async with aiohttp.ClientSession() as session:

            async def some() -> None:
                for medium in waiting:
                    known = before.get((medium.bot, medium.key))
                    if known is None:
                        continue
                    found = await daemon.ask("GET", "/v1/media", bot=medium.bot, key=medium.key)
                    self.figures.count(found["kind"], found["actual_kind"])
                    same = found["file_id"] == known["file_id"]
                    sent = await _send(session, town, bots[medium.bot], medium, found["file_id"])
                    self.figures.survived_restart += same and sent

            async with asyncio.TaskGroup() as group:
                for _ in range(RESENDS_AT_ONCE):
                    group.create_task(some())


async def _send(
    session: aiohttp.ClientSession, town: Town, bot: Resident, medium: Medium, what: bytes | str
) -> bool:
    """Send a file or a file_id to the bot's first chat; whether it was accepted."""
    form = aiohttp.FormData()
    form.add_field("chat_id", str(bot.chats[0][0]))
    if isinstance(what, str):
        form.add_field(medium.kind, what)
    else:
        form.add_field(
            medium.kind, what, filename=f"{secrets.token_hex(4)}.{medium.format.extension}"
        )
    url = f"{town.telegram.base}/bot{bot.token}/send{medium.kind.replace('_', '')}"
    async with session.post(url, data=form) as answer:
        return bool((await answer.json())["ok"])
