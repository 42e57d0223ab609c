"""The ready queue beside others: CPU an operation from 500 to a million queued, and bytes a job.

The mix: 40 % push, 30 % pop, 10 % remove, 10 % re-prioritise (a size became known: any other level
of the table), 10 % ageing (who has been young for longest goes 15 levels down), at a steady length.
Levels are the default policy's, victims are drawn from all that wait, jobs are real ones, and all
queues do exactly the same: the operations are planned beforehand, against a model, and only
replayed in the timed loop. Rounds are interleaved, the caches are emptied before each, and the
median counts.

What the loop itself costs is subtracted: the same loop over the same jobs without a queue. So an
operation on a job has that job in hand, as whoever asks for it has (it looked the job up by its
id); a pop finds its own. "With its look" counts the first look at the victim, too.
"""

import argparse
import gc
import json
import os
import statistics
import subprocess
import sys
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import psutil

from bench.calibrate import loop_s, speed
from bench.engine import us_per_job
from bench.rivals import MOVE, POP, PUSH, REMOVE, RIVALS, Nothing, Queue, Round
from prewarmd.core import events
from prewarmd.core.engine import Engine
from prewarmd.core.jobs import Job, JobId, Kind
from prewarmd.core.policy import BotSpec, EnginePolicy
from prewarmd.core.scoring import ScorePolicy

SIZES = (500, 1_000, 10_000, 50_000, 100_000, 1_000_000)
ROUNDS = 9
OPERATIONS = 50_000
"""A round."""
SEED_MAX = 50_000
"""The longest queue of the seed's algorithm, which takes milliseconds there."""
SEED_COMPARISONS = 5_000_000
"""A round: operations times length."""
SPARE = 4_000
"""Jobs outside of the queue, at most half of which come in or go out in a row."""
SCORE = ScorePolicy()
KINDS = {Kind.PHOTO: 60, Kind.VIDEO: 25, Kind.DOCUMENT: 10, Kind.AUDIO: 5}
"""How many of a hundred."""
MIX = ("push",) * 40 + ("pop",) * 30 + ("remove",) * 10 + ("move",) * 10 + ("age",) * 10


# -- what is done ----------------------------------------------------------------------------------


def jobs_of(length: int, random: Random) -> list[Job]:
    """Photos, videos and other things of all sizes."""
    kinds = random.choices(list(KINDS), weights=list(KINDS.values()), k=length)
    sizes = [int(random.lognormvariate(13.0, 2.0)) for _ in range(length)]
    return [
        Job(JobId(n), "bot", "media", f"{n}.bin", kind, 0.0, size_bytes=size)
        for n, (kind, size) in enumerate(zip(kinds, sizes, strict=True))
    ]


class Waiting:
    """Who waits, in no order: add, take out and draw in O(1)."""

    def __init__(self) -> None:
        self.all: list[int] = []
        self._at: dict[int, int] = {}

    def add(self, job: int) -> None:
        self._at[job] = len(self.all)
        self.all.append(job)

    def discard(self, job: int) -> None:
        at = self._at.pop(job, None)
        if at is not None:
            last = self.all.pop()
            if last != job:
                self.all[at] = last
                self._at[last] = at


class Model:
    """What the plan is made against: an ordered dict per level."""

    def __init__(self, jobs: Sequence[Job], random: Random) -> None:
        self._jobs, self._random = jobs, random
        self._table = sorted({SCORE.level(job, 1000.0) for job in jobs})
        self._levels: dict[int, OrderedDict[int, None]] = {}
        self._where: dict[int, int] = {}
        self._waiting = Waiting()
        self._young: OrderedDict[int, None] = OrderedDict()
        self._outside: deque[int] = deque()

    def fill(self, length: int) -> list[int]:
        """So many wait, half of them young; their levels."""
        for job in range(length):
            young = self._random.random() < 0.5
            self._enter(job, SCORE.level(self._jobs[job], 1000.0), young=young)
        self._outside.extend(range(length, len(self._jobs)))
        return [self._where[job] for job in range(length)]

    def waiting(self) -> dict[int, int]:
        """Who waits, and at which level."""
        return dict(self._where)

    def _enter(self, job: int, level: int, *, young: bool) -> None:
        if young:
            level += SCORE.young
            self._young[job] = None
        self._where[job] = level
        self._levels.setdefault(level, OrderedDict())[job] = None
        self._waiting.add(job)

    def _leave(self, job: int) -> None:
        del self._levels[self._where.pop(job)][job]
        self._waiting.discard(job)
        self._young.pop(job, None)
        self._outside.append(job)  # memory that was given back last is taken first

    def _move(self, job: int, level: int) -> None:
        del self._levels[self._where[job]][job]
        self._where[job] = level
        self._levels.setdefault(level, OrderedDict())[job] = None

    def plan(self, operations: int, length: int) -> Round:
        """So many operations of the mix."""
        found = Round([], [], [])
        while len(found.verbs) < operations:
            verb, job, level = self._draw(length)
            if verb >= 0:
                found.verbs.append(verb)
                found.jobs.append(job)
                found.levels.append(level)
        return found

    def _draw(self, length: int) -> tuple[int, int, int]:
        verb, waiting = self._random.choice(MIX), len(self._where)
        slack = min(SPARE, length) // 2
        if verb == "push" and waiting >= length + slack:
            verb = "pop"
        elif verb in ("pop", "remove") and waiting <= length - slack:
            verb = "push"
        match verb:
            case "push":
                job = self._outside.pop()
                self._enter(job, SCORE.level(self._jobs[job], 1000.0), young=True)
                return PUSH, job, self._where[job]
            case "pop":
                highest = max(level for level, jobs in self._levels.items() if jobs)
                job = next(iter(self._levels[highest]))
                self._leave(job)
                return POP, job, 0
            case "remove":
                job = self._random.choice(self._waiting.all)
                self._leave(job)
                return REMOVE, job, 0
            case "move":
                job = self._random.choice(self._waiting.all)
                young = SCORE.young if job in self._young else 0
                level = self._random.choice(self._table) + young
                if level == self._where[job]:
                    return -1, job, level
                self._move(job, level)
                return MOVE, job, level
            case _ if self._young:
                job, _ = self._young.popitem(last=False)
                self._move(job, self._where[job] - SCORE.young)
                return MOVE, job, self._where[job]
        return -1, 0, 0


# -- time ------------------------------------------------------------------------------------------

_DUST = bytearray(96 << 20)
"""More than the processor's caches hold."""


def _sweep() -> None:
    """Let what was measured last help nobody."""
    _DUST.count(1)


@dataclass(slots=True, eq=False)
class Runner:
    """A queue with jobs of its own."""

    name: str
    queue: Queue
    jobs: list[Job]
    us: list[float]

    def run(self, plan: Round) -> None:
        at = [self.jobs[number] for number in plan.jobs]
        given = [None if v == POP else job for v, job in zip(plan.verbs, at, strict=True)]
        _sweep()
        self.us.append(self.queue.replay(plan, given) / len(plan.verbs) * 1e6)


def measure(length: int, rounds: int) -> dict[str, float]:
    """Microseconds an operation, by name. "look": what the first look at the victims costs us."""
    random = Random(length)
    jobs = jobs_of(length + SPARE, random)
    model = Model(jobs, random)
    levels = model.fill(length)
    names = [name for name in RIVALS if name != "seed" or length <= SEED_MAX]
    runners = []
    for name in names:
        queue = RIVALS[name]()
        mine = jobs if name == "ours" else jobs_of(length + SPARE, Random(length))
        queue.fill(mine[:length], levels)
        runners.append(Runner(name, queue, mine, []))
    cold = Runner("cold", Nothing(), jobs, [])
    warm: list[float] = []
    few = min(1000, SEED_COMPARISONS // length)
    gc.collect()
    gc.freeze()
    for number in range(rounds):
        before = model.waiting() if length <= SEED_MAX else {}
        plan = model.plan(OPERATIONS, length)
        some = Round(plan.verbs[:few], plan.jobs[:few], plan.levels[:few])
        cold.run(plan)
        warm.append(Nothing().replay(plan, [None] * OPERATIONS) / OPERATIONS * 1e6)
        for offset in range(len(runners)):
            runner = runners[(number + offset) % len(runners)]
            if runner.name == "seed":  # its order is not exact: it would drift away
                runner.queue.fill([runner.jobs[job] for job in before], list(before.values()))
            runner.run(some if runner.name == "seed" else plan)
    gc.unfreeze()
    loop = statistics.median(cold.us)
    found = {runner.name: statistics.median(runner.us) - loop for runner in runners}
    found["look"] = loop - statistics.median(warm)
    return found


# -- memory ----------------------------------------------------------------------------------------

MEMORY_JOBS = 1_000_000
PAGE = 1000


def bytes_per_job(bots: int) -> tuple[float, dict[str, float]]:
    """Growth of a real engine's resident memory per queued job, beyond the keys' own strings, and
    the parts it is made of. For a fresh process."""
    keys = [f"media/2024/{n % 1000:03}/{n:032x}.jpg" for n in range(MEMORY_JOBS)]
    names = [f"bot{n}" for n in range(bots)]
    engine = Engine(EnginePolicy(), [BotSpec(name, ((-1, "channel"),)) for name in names])
    engine.turn([events.Loaded()], 0.0, 0.5)
    gc.collect()
    gc.freeze()
    before = psutil.Process().memory_info().rss
    for first in range(0, MEMORY_JOBS, PAGE):
        now = 1.0 + first / MEMORY_JOBS
        page = [
            Job(
                JobId(10_000 + n), names[n % bots], "media", keys[n], Kind.PHOTO,
                now + n * 1e-9, size_bytes=20_000 + n,
            )
            for n in range(first, first + PAGE)
        ]  # fmt: skip
        engine.turn([events.Admitted(page)], now + 0.001, 0.5)
    page.clear()
    gc.collect()
    grown = psutil.Process().memory_info().rss - before
    desk = engine.desk
    assert len(desk.jobs) == MEMORY_JOBS
    job = desk.jobs[JobId(MEMORY_JOBS)]
    parts: dict[str, float] = {
        "the job, its links in the queue included": sys.getsizeof(job),
        "its id": sys.getsizeof(job.id),
        "its size": sys.getsizeof(job.size_bytes),
        "its time of creation": sys.getsizeof(job.created),
        "its place in the table of jobs": sys.getsizeof(desk.jobs) / MEMORY_JOBS,
        "its place among the young": sys.getsizeof(desk._young) / MEMORY_JOBS,
    }
    return grown / MEMORY_JOBS, parts


def _in_a_process(bots: int) -> tuple[float, dict[str, float]]:
    command = [sys.executable, "-m", "bench.queue", "--memory", str(bots)]
    told = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=os.environ)
    total, parts = json.loads(told.stdout)
    return total, parts


# -- all of it -------------------------------------------------------------------------------------


def _print_times(times: dict[int, dict[str, float]]) -> None:
    names = list(RIVALS)
    print(f"{'queued':>9} " + " ".join(f"{name:>8}" for name in names) + "  with its look")
    for length, found in times.items():
        row = " ".join(f"{found[n]:8.2f}" if n in found else f"{'-':>8}" for n in names)
        print(f"{length:>9,} {row} {found['ours'] + found['look']:14.2f}")
    print("us of CPU an operation")


def _print_memory(memory: dict[int, tuple[float, dict[str, float]]]) -> None:
    for bots, (total, parts) in memory.items():
        print(f"{total:.0f} bytes a queued job at {MEMORY_JOBS:,}, {bots} bots, made of")
        for name, size in (*parts.items(), ("all else", total - sum(parts.values()))):
            print(f"{size:8.1f} {name}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.queue", description=__doc__)
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--sizes", type=int, nargs="*", default=SIZES)
    parser.add_argument("--memory", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.memory:
        print(json.dumps(bytes_per_job(asked.memory)))
        return
    loops, times = [loop_s()], {}
    for length in asked.sizes:
        times[length] = measure(length, asked.rounds)
        loops.append(loop_s())
    _print_times(times)
    machine = speed(*loops)
    print(f"machine speed {machine:.2f}")
    if not {1_000, 50_000, 1_000_000} <= times.keys():
        return
    small, large = times[1_000], times[1_000_000]
    growth = large["ours"] / small["ours"]
    looks = (large["ours"] + large["look"]) / (small["ours"] + small["look"])
    print(f"growth from 1,000 to 1,000,000: {growth:.2f} times, with its look {looks:.2f} times")
    memory = {bots: _in_a_process(bots) for bots in (1, 50)}
    _print_memory(memory)
    if asked.json:
        engine: dict[int, list[float]] = {1: [], 10_000: []}
        for _ in range(3):
            for lanes, found in engine.items():
                found.append(us_per_job(lanes))
        print(
            json.dumps({
                "push_pop_us_1k": round(small["ours"], 3),
                "push_pop_us_1m": round(large["ours"], 3),
                "growth": round(growth, 3),
                "growth_with_look": round(looks, 3),
                "bytes_per_job": round(max(total for total, _ in memory.values())),
                "engine_us_per_job_1_lane": round(statistics.median(engine[1]), 2),
                "engine_us_per_job_10k_lanes": round(statistics.median(engine[10_000]), 2),
                "heapq_us_1m": round(large["heapq"], 3),
                "seed_us_50k": round(times[50_000]["seed"], 1),
                "machine_speed": round(machine, 2),
            })
        )  # fmt: skip


if __name__ == "__main__":
    main()
