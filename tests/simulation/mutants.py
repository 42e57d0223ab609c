"""The simulation against a changed copy of the package: how many deliberate bugs would it find?

A mutant lives in a directory of its own that holds the package's copy and this very simulation;
Python finds both there first. It has so many seconds to be found out.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parents[2]
LIMIT_S = 60.0
GRACE_S = 30.0
"""For a mutant that does not come to an end by itself."""


@dataclass(frozen=True)
class Verdict:
    """What became of a mutant."""

    caught: bool
    by: str
    """The invariant that broke, or what was printed last."""


def run(change: Callable[[Path], None], where: Path, *, limit_s: float = LIMIT_S) -> Verdict:
    """Copy the package to `where`, `change` the copy, and see whether the simulation notices."""
    shutil.copytree(HERE / "prewarmd", where / "prewarmd")
    tests = where / "tests"
    tests.mkdir()
    (tests / "__init__.py").touch()
    (tests / "simulation").symlink_to(HERE / "tests" / "simulation")
    change(where / "prewarmd")
    command = [
        sys.executable, "-m", "tests.simulation", "--seeds", "1000000", "--steps", "6000",
        "--processes", "1", "--seconds", str(limit_s), "--failures", "1", "--shrink", "0", "--json",
    ]  # fmt: skip
    environment = os.environ | {"PYTHONPATH": str(where), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            command, cwd=where, env=environment, capture_output=True, text=True, check=False,
            timeout=limit_s + GRACE_S,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return Verdict(caught=True, by="it does not come to an end")
    if done.returncode == 0:
        return Verdict(caught=False, by="")
    last = (done.stdout or done.stderr).strip().splitlines()[-1:]
    try:
        return Verdict(caught=True, by=", ".join(json.loads(last[0])["violated"]))
    except (IndexError, KeyError, json.JSONDecodeError):
        return Verdict(caught=True, by="".join(done.stderr.strip().splitlines()[-1:]))
