"""Many seeds, on several processes, and the sum of what became of them."""

import gc
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from tests.simulation.invariants import RULES
from tests.simulation.life import STEPS, Life, Outcome

BUNDLE = 4
"""Seeds that a process lives in one go."""


@dataclass
class Totals:
    """Of all seeds that were lived."""

    seeds: int = 0
    steps: int = 0
    turns: int = 0
    crashes: int = 0
    jobs_final: int = 0
    simulated_s: float = 0.0
    elapsed_s: float = 0.0
    cpu_s: float = 0.0
    failures: list[Outcome] = field(default_factory=list)

    def add(self, outcome: Outcome, cpu_s: float) -> None:
        """One more seed."""
        self.seeds += 1
        self.steps += outcome.steps
        self.turns += outcome.turns
        self.crashes += outcome.crashes
        self.jobs_final += outcome.jobs_final
        self.simulated_s += outcome.simulated_s
        self.cpu_s += cpu_s
        if outcome.violation:
            self.failures.append(outcome)

    def figures(self) -> dict[str, Any]:
        """What is printed; `steps_per_s` is over the time that passed, `steps_per_cpu_s` over the
        time of one core."""
        return {
            "seeds": self.seeds,
            "steps": self.steps,
            "steps_per_s": round(self.steps / self.elapsed_s) if self.elapsed_s else 0,
            "steps_per_cpu_s": round(self.steps / self.cpu_s) if self.cpu_s else 0,
            "simulated_hours": round(self.simulated_s / 3600, 1),
            "crashes": self.crashes,
            "jobs_final": self.jobs_final,
            "violations": len(self.failures),
            "violated": [outcome.violation for outcome in self.failures],
        }


@dataclass(frozen=True)
class Plan:
    """What every seed is to go through."""

    steps: int = STEPS
    changes: dict[str, Any] = field(default_factory=dict)
    """Fields of the swarm that the seeds do not draw."""
    rules: tuple[str, ...] = ()
    """Rules that are off by default."""

    def apply(self) -> None:
        """Switch the rules on, for this process; AttributeError names one that does not exist."""
        for rule in self.rules:
            getattr(RULES, rule)
            setattr(RULES, rule, True)


def live_some(seeds: list[int], plan: Plan) -> list[tuple[Outcome, float]]:
    """Live some seeds in this process: each outcome, and the CPU seconds it took."""
    plan.apply()
    done = []
    gc.disable()  # a life makes few cycles and ends with itself: collecting in it costs a tenth
    for seed in seeds:
        began = time.process_time()
        outcome = Life(seed, plan.changes, steps=plan.steps).live()
        done.append((outcome, time.process_time() - began))
        gc.collect()
        if outcome.violation:
            break
    return done


def run(
    seeds: range,
    plan: Plan,
    *,
    processes: int,
    limit_s: float = float("inf"),
    failures_max: int = 1,
) -> Totals:
    """Live all seeds, until the time is over or there are failures enough."""
    totals = Totals()
    began = time.monotonic()
    for outcome, cpu_s in _outcomes(seeds, plan, processes):
        totals.add(outcome, cpu_s)
        if len(totals.failures) >= failures_max or time.monotonic() - began > limit_s:
            break
    totals.elapsed_s = time.monotonic() - began
    return totals


def _outcomes(seeds: range, plan: Plan, processes: int) -> Iterator[tuple[Outcome, float]]:
    if processes <= 1:
        for seed in seeds:
            yield from live_some([seed], plan)
        return
    bundles = (list(seeds[at : at + BUNDLE]) for at in range(0, len(seeds), BUNDLE))
    executor = ProcessPoolExecutor(processes)
    under_way: set[Future[list[tuple[Outcome, float]]]] = set()
    try:
        while True:
            while len(under_way) < 2 * processes and (bundle := next(bundles, None)):
                under_way.add(executor.submit(live_some, bundle, plan))
            if not under_way:
                return
            done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
            for future in done:
                yield from future.result()
    finally:
        with suppress(Exception):
            executor.shutdown(wait=False, cancel_futures=True)
