"""`make sim SEEDS=N`: live many seeds, and end with one line that says what became of them."""

import argparse
import json
import os
import sys

from prewarmd.core.engine import Engine
from tests.simulation import campaign
from tests.simulation.life import STEPS, Life, Outcome
from tests.simulation.shrink import Shrinking
from tests.simulation.swarm import Swarm


def main() -> int:
    """The exit code: 1 when an invariant broke."""
    options = _parser().parse_args()
    changes = (Swarm.calm_fields() if options.calm else {}) | json.loads(options.changes)
    plan = campaign.Plan(options.steps, changes, tuple(options.rule))
    plan.apply()
    totals = campaign.run(
        range(options.first, options.first + options.seeds), plan,
        processes=options.processes, limit_s=options.seconds, failures_max=options.failures,
    )  # fmt: skip
    for outcome in totals.failures:
        _tell(outcome, shrink_s=options.shrink)
    figures = totals.figures()
    if options.json:
        print(json.dumps(figures))
    else:
        shown = ("seeds", "steps", "steps_per_s", "jobs_final", "violations")
        print(" ".join(f"{name}={figures[name]}" for name in shown))
    return 1 if totals.failures else 0


def _tell(outcome: Outcome, *, shrink_s: float) -> None:
    """Everything that it takes to see a failure again."""
    print(f"seed {outcome.seed}: {outcome.violation}: {outcome.detail}")
    print(f"  again: {_again(outcome)}")
    if shrink_s > 0:
        shrunk = Shrinking(outcome, Engine, shrink_s).run()
        last = Life(shrunk.seed, shrunk.changes, steps=shrunk.asked, traced=True).live()
        print(f"  smaller: {shrunk.steps} steps: {shrunk.violation}: {shrunk.detail}")
        print(f"  again: {_again(shrunk)}")
        for line in last.last_turns[-8:]:
            print(f"    {line[:400]}")


def _again(outcome: Outcome) -> str:
    where = f"--first {outcome.seed} --steps {outcome.asked}"
    if outcome.changes:
        unusual = Swarm.draw(outcome.seed).but(outcome.changes).unusual()
        where += f" --calm --with '{json.dumps(unusual)}'"
    return f"python -m tests.simulation --seeds 1 {where}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=100, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first one")
    parser.add_argument("--steps", type=int, default=STEPS, help="of chaos, for each seed")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after so long")
    parser.add_argument("--failures", type=int, default=5, help="stop after so many failing seeds")
    parser.add_argument("--shrink", type=float, default=30.0, help="seconds for each failure")
    parser.add_argument("--calm", action="store_true", help="in the calm world, not in the seed's")
    parser.add_argument("--with", dest="changes", default="{}", help="fields of the swarm, as JSON")
    parser.add_argument("--rule", action="append", default=[], help="a rule that is off by default")
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    return parser


if __name__ == "__main__":
    sys.exit(main())
