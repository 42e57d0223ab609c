"""`make mutation`: how many small changes of `core` do its tests notice? By mutmut.

mutmut runs in an environment of its own, on a copy of core and its tests in a temporary folder:
core needs nothing but Python, so neither do they. A run of all mutants takes long; this one takes
a sample of all, or of some modules, drawn by a seed. Left out are the tests of SLOW, which would
run again for every mutant that survives: the score is that of the others.

A survivor is a line that could be otherwise and no test would say so. Not all are holes: a mutant
may mean the same, or change a figure that is a matter of taste.
"""

import argparse
import configparser
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random

from tests.conformance.__main__ import environment

HERE = Path(__file__).resolve().parents[1]
REQUIREMENTS = ("mutmut==3.8.1", "pytest", "hypothesis")
NO_TESTS = ("test_diagrams.py",)
"""Of tests/core: it looks at more than core."""
SLOW = (
    "test_engine_walk.py",
    "test_eviction.py::TestAnyOrder",
    "test_extents.py::TestAnyOrder",
    "test_cache.py::TestAnyUse",
    "test_rotation.py::TestAnyUse",
    "test_engine_fairness.py::test_a_slow_chat_is_used_though_fast_ones_fill_all_slots",
    "test_engine_deaths.py::test_an_outage_burns_nobodys_attempts",
    "test_engine_fairness.py::test_no_bot_has_a_second_upload_before_each_had_its_first",
    "test_engine_fairness.py::test_bots_come_back_in_turn_though_all_slots_are_busy",
    "test_engine_fairness.py::test_small_photos_behind_500_large_videos_go_first",
    "test_engine_floods.py::test_a_busy_server_gets_less_at_once_and_nobody_is_paused",
    "test_engine_floods.py::test_no_upload_begins_inside_a_pause_that_was_told",
    "test_engine_floods.py::test_the_model_of_telegram_sees_no_violation",
    "test_engine_memory.py::test_a_budget_holds_over_any_stretch_within_one_transfer",
)
"""Above two seconds each, with all their parameters."""
FATES = {0: "survived", 1: "killed", 5: "untested", 33: "untested", None: "untried"}
"""By mutmut's exit codes; all others are crashes and endless loops, which are noticed, too."""


class Mutmut:
    """One mutmut project in a folder."""

    def __init__(self, where: Path, modules: list[str]) -> None:
        self.where = where
        self._python = environment(where / "venv", *REQUIREMENTS)
        skip = shutil.ignore_patterns("__pycache__", *NO_TESTS)
        for name in ("prewarmd", "bench", "tests/core"):
            shutil.copytree(HERE / name, where / name, ignore=skip)
        (where / "tests" / "__init__.py").touch()
        config = configparser.ConfigParser()
        chosen = [f"prewarmd/core/{module}.py" for module in modules] or ["prewarmd/core/*.py"]
        slow = [f"--deselect=tests/core/{test}" for test in SLOW]
        config["mutmut"] = {
            "source_paths": "prewarmd",
            "only_mutate": _lines(chosen),
            "also_copy": _lines(["tests", "bench"]),
            "pytest_add_cli_args_test_selection": _lines(["tests/core"]),
            "pytest_add_cli_args": _lines(["-p", "no:cacheprovider", *slow]),
        }
        with (where / "setup.cfg").open("w") as file:
            config.write(file)

    def run(self, *arguments: str, check: bool = True) -> str:
        """What it prints; CalledProcessError when it fails and `check` wants to know."""
        done = subprocess.run(
            [self._python, "-m", "mutmut", *arguments],
            cwd=self.where, env=os.environ | {"CI": "true"}, text=True, check=check,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        return done.stdout

    def exit_codes(self) -> Iterator[tuple[str, int | None]]:
        """Every mutant with what became of it; None: it was not tried."""
        for path in sorted(self.where.glob("mutants/prewarmd/core/*.meta")):
            yield from json.loads(path.read_text())["exit_code_by_key"].items()


def _lines(words: list[str]) -> str:
    return "".join(f"\n{word}" for word in words)


def main() -> int:
    """Always 0: a score is a figure, not a verdict."""
    options = _parser().parse_args()
    with tempfile.TemporaryDirectory(prefix="prewarmd-mutation-") as directory:
        mutmut = Mutmut(Path(directory), options.modules)
        at_once = f"--max-children={options.processes}"
        # It makes mutants only on its way to some: to none, so that a sample can be drawn first.
        mutmut.run("run", "none", check=False)
        names = [name for name, _ in mutmut.exit_codes()]
        sample = names
        if options.sample < len(names):
            sample = Random(options.seed).sample(names, options.sample)
        mutmut.run("run", at_once, *sample)
        became = dict(mutmut.exit_codes())
        became = {name: became[name] for name in sample}
        for name in sorted(name for name, code in became.items() if _fate(code) == "survived"):
            print(mutmut.run("show", name))
    _tell(became, len(names))
    return 0


def _fate(code: int | None) -> str:
    return FATES.get(code, "killed")


def _tell(became: dict[str, int | None], of: int) -> None:
    """A line for each module, and one for all."""
    modules: dict[str, Counter[str]] = {}
    for name, code in became.items():
        modules.setdefault(name.split(".")[2], Counter())[_fate(code)] += 1
    for module, fates in sorted(modules.items()):
        print(f"{module:12} {fates['killed']:4} of {fates.total()} killed")
    total = sum(modules.values(), Counter[str]())
    score = 100 * total["killed"] / max(1, total.total())
    fates_told = " ".join(f"{fate}={total[fate]}" for fate in dict.fromkeys(FATES.values()))
    print(f"mutants={of} tried={total.total()} {fates_told} score={score:.1f}%")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("modules", nargs="*", help="of core, without .py; all when none is named")
    parser.add_argument("--sample", type=int, default=500, help="so many mutants")
    parser.add_argument("--seed", type=int, default=1, help="which ones")
    parser.add_argument("--processes", type=int, default=1)
    return parser


if __name__ == "__main__":
    sys.exit(main())
