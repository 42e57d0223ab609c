"""`make sim-teeth`: does the simulation bite? Each slip of `slips` has so long to be found out.

A line for each, as it is done: its name, the invariant that noticed it, and after how long. A
survivor is named at the end, and is a hole in the simulation, not in the engine.
"""

import argparse
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.simulation import mutants
from tests.simulation.slips import SLIPS, Slip


@dataclass(frozen=True)
class Bite:
    """What became of one slip."""

    slip: Slip
    verdict: mutants.Verdict
    took_s: float


def bite(slip: Slip, limit_s: float) -> Bite:
    """Let the simulation live in a core with the bug."""

    def change(package: Path) -> None:
        path = package / "core" / slip.file
        path.write_text(slip.made(path.read_text()))

    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="prewarmd-teeth-") as where:
        verdict = mutants.run(change, Path(where), limit_s=limit_s)
    return Bite(slip, verdict, time.monotonic() - began)


def main() -> int:
    """The exit code: 1 when a bug survives."""
    options = _parser().parse_args()
    slips = [slip for slip in SLIPS if options.only in slip.name]
    survivors = []
    with ThreadPoolExecutor(options.processes) as executor:
        for bitten in executor.map(lambda slip: bite(slip, options.seconds), slips):
            slip, verdict = bitten.slip, bitten.verdict
            by = verdict.by if verdict.caught else "SURVIVES"
            where = slip.file.removesuffix(".py")
            print(f"{where:12} {slip.name:62} {by:28} {bitten.took_s:5.1f} s", flush=True)
            if not verdict.caught:
                survivors.append(slip.name)
    named = "; ".join(survivors) or "none"
    print(f"bugs={len(slips)} caught={len(slips) - len(survivors)} survivors={named}")
    return 1 if survivors else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.teeth", description=__doc__)
    parser.add_argument("--seconds", type=float, default=mutants.LIMIT_S, help="for each bug")
    parser.add_argument("--processes", type=int, default=2, help="bugs at a time")
    parser.add_argument("--only", default="", help="bugs whose name has this in it")
    return parser


if __name__ == "__main__":
    sys.exit(main())
