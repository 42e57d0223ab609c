"""The pure engine alone: jobs a second through queue, flight, lane and record, without any I/O."""

import time

from bench.calibrate import loop_s, speed
from prewarmd.core import events, reports, verbs
from prewarmd.core.commands import Recall, Spawn, Tell
from prewarmd.core.engine import Engine
from prewarmd.core.jobs import Job, JobId, Kind
from prewarmd.core.lanes import LimitPolicy
from prewarmd.core.policy import BotSpec, EnginePolicy

JOBS = 50_000
BOTS = 20


def _answer(engine: Engine, command: object, generations: dict[int, int]) -> events.Event | None:
    match command:
        case Spawn(index, generation):
            generations[index] = generation
            return events.ChildGreeted(index, generation, 1000 + index)
        case Recall(job):
            return events.Recalled(job, ready=False)
        case Tell(index, verb):
            report: reports.Report
            match verb:
                case verbs.Fetch(task=task):
                    report = reports.Fetched(task, verb.size_bytes, f"{verb.job:064x}", "etag")
                case verbs.Upload(task=task):
                    report = reports.Uploaded(task, "file_id", "unique", "photo", 1, 0.1)
                case _:
                    return None
            return events.ChildReported(index, generations[index], report)
        case _:
            return None


def main() -> None:
    policy = EnginePolicy(limits=LimitPolicy(paced=False))
    engine = Engine(policy, [BotSpec(f"bot{n}", ((-1 - n, "channel"),)) for n in range(BOTS)])
    waiting: list[events.Event] = [
        events.Admitted(
            [
                Job(JobId(n), f"bot{n % BOTS}", "media", f"{n}.jpg", Kind.PHOTO, 0.0,
                    size_bytes=100_000)
                for n in range(1, JOBS + 1)
            ]
        ),
        events.Loaded(),
    ]  # fmt: skip
    generations: dict[int, int] = {}
    before = loop_s()
    began, turns, now = time.process_time(), 0, 0.0
    while waiting or engine.desk.jobs:
        now += 0.001
        commands = engine.turn(waiting, now, 0.5)
        answers = (_answer(engine, command, generations) for command in commands)
        waiting = [answer for answer in answers if answer is not None]
        turns += 1
    taken = time.process_time() - began
    print(f"{taken / JOBS * 1e6:.1f} us a job, {JOBS / taken:,.0f} jobs/s, in {turns} turns")
    print(f"machine speed {speed(before, loop_s()):.2f}")
