"""`make kill-stack KILLS=200`: SIGKILL to a daemon at work, its supervisor included.

Media keep being enqueued while a process of the stack dies again and again, each time when a job is
at a stage drawn at random, so that rare moments are met as often as long ones. In the end every
job that was acknowledged must be ready with a file_id that its bot can send, the database must be
whole, and no process of a dead supervisor may be left. Deliveries beyond one per content and bot
are counted: SIGKILL between a delivery and its commit makes them possible, nothing else may.
"""

import argparse
import asyncio
import hashlib
import os
import random
import signal
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import apsw
import psutil

from prewarmd.core.stage import Stage
from prewarmd.errors import BootError
from prewarmd.sandbox.daemon import AnswerError, RunningDaemon, until
from prewarmd.sandbox.media import bench_photo
from prewarmd.sandbox.town import SLUGS, Town

SUPERVISOR_SHARE = 0.25
JOBS_PER_KILL = 12
AWAY: dict[str, Any] = {"store_latency_s": 0.03, "telegram_latency_s": 0.15}
"""Far enough that a kill meets transfers in flight."""
STAGES = (Stage.IDLE, Stage.FETCHING, Stage.VERIFIED, Stage.UPLOADING, Stage.BODY_SENT)
"""What is aimed at; IDLE stands for a kill at once, whatever is under way."""
NAMES = [stage.name.lower() for stage in Stage]
AIM_WAIT_S = 0.25
AIM_EVERY_S = 0.005
AT_ONCE, NOTHING = "at once", "nothing"
END_WAIT_S = 120.0
PROCESS_WAIT_S = 5.0


@dataclass
class Outcome:
    """What a run found."""

    kills: Counter[str] = field(default_factory=Counter)
    stages: Counter[str] = field(default_factory=Counter)
    """Kills by the furthest stage at which a job was seen just before, and how many were aimed."""
    aimed: int = 0
    acknowledged: int = 0
    ready: int = 0
    others: list[dict[str, Any]] = field(default_factory=list)
    deliveries: int = 0
    contents: int = 0
    seconds: float = 0.0

    @property
    def whole(self) -> bool:
        """Whether nothing that was acknowledged is lost."""
        return self.acknowledged > 0 and self.ready == self.acknowledged and not self.others


class KillStack:
    """One run."""

    def __init__(self, directory: Path, town: Town, kills: int, seed: int) -> None:
        self._town = town
        self._kills = kills
        self._chance = random.Random(seed)
        self._seed = seed
        self._daemon = RunningDaemon(directory / "prewarmd.toml", directory / "state")
        self._acknowledged: dict[str, tuple[str, str]] = {}
        self._contents: dict[str, str] = {}
        self._family: set[int] = set()
        self.outcome = Outcome()

    async def run(self) -> Outcome:
        """Fill the bucket, kill, wait for the end, judge."""
        began = time.monotonic()
        photos = []
        for number in range(self._kills * JOBS_PER_KILL // len(SLUGS) + 1):
            data = bench_photo(self._chance.randint(20_000, 400_000), number)
            key = f"kills-{self._seed}/{number}.jpg"
            self._contents[key] = hashlib.sha256(data).hexdigest()
            photos.append((key, data))
        await self._town.store.put_all(photos)
        extra = "workers = 3\n[queue]\nretry_base_s = 0.2\nretry_cap_s = 2\n"
        self._town.write_configuration(self._daemon.configuration, extra=extra)
        await self._daemon.start()
        try:
            jobs = [{"bot": bot, "key": key} for key, _ in photos for bot in SLUGS]
            self._chance.shuffle(jobs)
            for kill in range(self._kills):
                await self._enqueue(jobs[kill * JOBS_PER_KILL : (kill + 1) * JOBS_PER_KILL])
                await self._kill_one(await self._aim())
            await self._end()
            await self._judge()
        finally:
            await self._daemon.stop()
        self._check_database()
        await self._check_processes()
        self.outcome.seconds = time.monotonic() - began
        return self.outcome

    async def _enqueue(self, jobs: list[dict[str, Any]]) -> None:
        try:
            admitted = await self._daemon.submit(jobs)
        except (aiohttp.ClientError, OSError, AnswerError):
            return  # not acknowledged: nothing was promised
        for job, answer in zip(jobs, admitted, strict=True):
            self._acknowledged[answer["id"]] = (job["bot"], job["key"])

    async def _aim(self) -> int:
        """Wait until a job is at a stage, for a moment at most: the pid of the child that has it, 0
        for any."""
        outcome, stage = self.outcome, self._chance.choice(STAGES)
        if stage is Stage.IDLE:
            outcome.stages[AT_ONCE] += 1
            return 0
        furthest = NOTHING

        async def seen() -> int:
            nonlocal furthest
            try:
                status = await self._daemon.ask("GET", "/v1/status")
            except (aiohttp.ClientError, OSError, AnswerError):
                return 0
            pids = {child["index"]: child["pid"] for child in status["children"]}
            at = {row["stage"]: pids[row["child"]] for row in status["inflight"]}
            furthest = max(at, key=NAMES.index, default=NOTHING)
            return at.get(NAMES[stage]) or 0

        try:
            pid: int = await until(seen, AIM_WAIT_S, AIM_EVERY_S)
        except TimeoutError:
            outcome.stages[furthest] += 1
            return 0
        outcome.stages[NAMES[stage]] += 1
        outcome.aimed += 1
        return pid

    async def _kill_one(self, aimed_at: int) -> None:
        """Kill the supervisor, or the child with that pid, or any where there is no such child."""
        supervisor = psutil.Process(self._daemon.pid)
        children = [
            process
            for process in supervisor.children(recursive=True)
            if "prewarmd: child" in process.name()
        ]
        self._family |= {process.pid for process in supervisor.children(recursive=True)}
        if not children or self._chance.random() < SUPERVISOR_SHARE:
            self.outcome.kills["supervisor"] += 1
            await self._daemon.kill()
            await self._daemon.start(ready=False)
            return
        self.outcome.kills["child"] += 1
        aimed = [child for child in children if child.pid == aimed_at]
        victim = self._chance.choice(aimed or children)
        try:
            os.kill(victim.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # died of an earlier kill meanwhile

    async def _end(self) -> None:
        async def nothing_left() -> bool:
            counts = (await self._daemon.ask("GET", "/v1/status"))["jobs"]
            return not counts["queued"] + counts["running"] + counts["waiting"]

        try:
            await until(nothing_left, END_WAIT_S)
        except TimeoutError:
            pass  # the verdict names the jobs

    async def _judge(self) -> None:
        outcome = self.outcome
        found = {job["id"]: job for job in await self._daemon.jobs()}
        outcome.acknowledged = len(self._acknowledged)
        for job, (bot, key) in self._acknowledged.items():
            row = found.get(job, {"id": job, "state": "lost"})
            good = row["state"] == "ready" and row["file_id"] and row["bot"] == bot
            if good and row["sha256"] == self._contents[key]:
                outcome.ready += 1
            else:
                outcome.others.append(row)
        contents = set(self._contents.values())
        seen = await self._town.telegram.control("GET", "deliveries")
        mine = [(one["bot"], one["sha256"]) for one in seen if one["sha256"] in contents]
        outcome.deliveries, outcome.contents = len(mine), len(set(mine))

    def _check_database(self) -> None:
        connection = apsw.Connection(str(self._daemon.directory / "prewarmd.db"))
        verdict = connection.pragma("integrity_check")
        connection.close()
        if verdict != "ok":
            raise BootError(f"the database is damaged: {verdict}")

    async def _check_processes(self) -> None:
        async def gone() -> bool:
            return not any(_runs(pid) for pid in self._family)

        try:
            await until(gone, PROCESS_WAIT_S)
        except TimeoutError:
            alive = [pid for pid in self._family if _runs(pid)]
            raise BootError(f"processes of dead supervisors are left: {alive}") from None


def _runs(pid: int) -> bool:
    """Whether it is still one of ours, and no zombie that init has yet to fetch."""
    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and "python" in process.exe()
    except psutil.NoSuchProcess:
        return False


async def run(kills: int, seed: int) -> Outcome:
    """A run in a town of its own."""
    with tempfile.TemporaryDirectory(prefix="prewarmd-kills-") as directory:
        async with Town(Path(directory), **AWAY) as town:
            return await KillStack(Path(directory), town, kills, seed).run()


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="make kill-stack")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 30))
    given = parser.parse_args()
    print(f"seed {given.seed}")
    outcome = asyncio.run(run(given.kills, given.seed))
    killed = ", ".join(f"{number} x {who}" for who, number in outcome.kills.items())
    print(f"killed {killed} in {outcome.seconds:.0f} s, {outcome.aimed} aimed; a job was then")
    for stage in (AT_ONCE, NOTHING, *NAMES[1:]):
        number = outcome.stages[stage]
        print(f"  {stage:10} {number:4} {'#' * round(60 * number / given.kills)}")
    print(
        f"acknowledged {outcome.acknowledged}, ready {outcome.ready}\n"
        f"deliveries {outcome.deliveries} for {outcome.contents} contents "
        f"({outcome.deliveries - outcome.contents} sent twice)"
    )
    for job in outcome.others[:20]:
        print("NOT READY:", job)
    return 0 if outcome.whole else 1


if __name__ == "__main__":
    raise SystemExit(main())
