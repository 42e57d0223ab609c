"""The pure engine alone, from submit to ready: CPU a job, with one lane and with ten thousand.

Nothing is paced and every answer comes at once, so this is what the engine costs and nothing else:
jobs of 100 KB with sizes known, contents all different, admitted in pages of a thousand while there
is room for them, events in batches as the shell would gather them, the collector set as it is in
a supervisor.
"""

import argparse
import gc
import json
import statistics
import time

from bench.calibrate import loop_s, speed
from prewarmd.core import events, reports, verbs
from prewarmd.core.commands import Recall, Spawn, Tell
from prewarmd.core.engine import Engine
from prewarmd.core.jobs import Job, JobId, Kind
from prewarmd.core.lanes import LimitPolicy
from prewarmd.core.policy import BotSpec, EnginePolicy
from prewarmd.supervisor import garbage

JOBS = 50_000
PAGE = 1000
REPEATS = 3


def _answer(command: object, generations: dict[int, int]) -> events.Event | None:
    match command:
        case Tell(index, verbs.Fetch(task=task, size_bytes=size_bytes, job=job)):
            fetched = reports.Fetched(task, size_bytes, f"{job:064x}", "etag")
            return events.ChildReported(index, generations[index], fetched)
        case Tell(index, verbs.Upload(task=task)):
            uploaded = reports.Uploaded(task, "file_id", "unique", "photo", 1, 0.1)
            return events.ChildReported(index, generations[index], uploaded)
        case Recall(job, _, sha256):
            return events.Recalled(job, sha256, ready=False)
        case Spawn(index, generation):
            generations[index] = generation
            return events.ChildGreeted(index, generation, 1000 + index)
        case _:
            return None


def _pages(lanes: int) -> list[list[Job]]:
    jobs = [
        Job(JobId(n), f"bot{n % lanes}", "media", f"{n}.jpg", Kind.PHOTO, 0.0, size_bytes=100_000)
        for n in range(1, JOBS + 1)
    ]
    return [jobs[at : at + PAGE] for at in range(0, JOBS, PAGE)]


def us_per_job(lanes: int) -> float:
    """CPU microseconds of the engine per job; `lanes` bots with one lane each."""
    policy = EnginePolicy(limits=LimitPolicy(paced=False))
    engine = Engine(policy, [BotSpec(f"bot{n}", ((-1 - n, "channel"),)) for n in range(lanes)])
    pages, generations = _pages(lanes), dict[int, int]()
    waiting: list[events.Event] = [events.Loaded()]
    now = taken = 0.0
    garbage.collect_seldom()
    garbage.keep_what_is_here()
    while waiting or pages or engine.desk.jobs:
        if pages:
            waiting.append(events.Admitted(pages.pop()))
        now += 0.001
        began = time.process_time()
        commands = engine.turn(waiting, now, 0.5)
        taken += time.process_time() - began
        answers = (_answer(command, generations) for command in commands)
        waiting = [answer for answer in answers if answer is not None]
    gc.unfreeze()
    return taken / JOBS * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.engine")
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    as_json = parser.parse_args().json
    figures: dict[int, list[float]] = {1: [], 10_000: []}
    loops = [loop_s()]
    for _ in range(REPEATS):
        for lanes, found in figures.items():
            found.append(us_per_job(lanes))
        loops.append(loop_s())
    machine = speed(*loops)
    for lanes, found in figures.items():
        us = statistics.median(found)
        print(f"{lanes:>6} lanes: {us:.1f} us a job, {us * machine:.1f} at reference speed")
    print(f"machine speed {machine:.2f}")
    if as_json:
        names = {1: "engine_us_per_job_1_lane", 10_000: "engine_us_per_job_10k_lanes"}
        print(json.dumps({names[n]: round(statistics.median(f), 2) for n, f in figures.items()}))


if __name__ == "__main__":
    main()
