"""Do the oracles bite? Each engine of `broken` has one bug, and must be found out by its name."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from prewarmd.core.blame import Tolls
from prewarmd.core.engine import Engine
from prewarmd.core.policy import BotSpec, EnginePolicy
from tests.simulation import mutants
from tests.simulation.broken import BUGS, Bug
from tests.simulation.life import Life
from tests.simulation.shrink import CALM, Shrinking
from tests.simulation.slips import SLIPS, Slip

STEPS = 3000


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_broken_engine_is_found_out(bug: Bug) -> None:
    """A million steps without a violation would mean nothing: nobody was looking."""
    outcome = Life(1, {**CALM, **bug.changes}, steps=STEPS, make=bug.make).live()
    assert outcome.violation in bug.noticed_as, outcome.detail


def test_the_same_world_without_a_bug_is_calm() -> None:
    """An oracle that cries at everything would pass for one that bites."""
    outcome = Life(1, CALM, steps=STEPS).live()
    assert outcome.violation == "", outcome.detail


def test_an_engine_that_keeps_no_tolls_is_found_out() -> None:
    """Each bot that wants a poisonous object would cost its own children, and all of them no more
    than is allowed."""

    def forgetful(policy: EnginePolicy, bots: Sequence[BotSpec]) -> Engine:
        engine = Engine(policy, bots)
        engine.downloads.trials.tolls = Tolls(ttl_s=0.0)
        return engine

    world = {**CALM, "poison": 0.03, "bots": 12, "duplicates": 0.3}
    outcome = Life(1, world, steps=STEPS, make=forgetful).live()
    assert outcome.violation == "poison_dies_soon"
    assert outcome.detail.startswith("object")
    assert Life(1, world, steps=STEPS).live().violation == ""


def test_a_failure_is_made_small() -> None:
    """Whoever is to find a bug would have to read through twenty troubles that have no part in
    it."""
    bug = next(bug for bug in BUGS if bug.name == "takes delivered for unsent")
    stormy = {"outages": 1.0, "kills": 1.0, "claims": 0.3, "overwrites": 5.0, "cancels": 0.1}
    failed = Life(3, stormy, steps=STEPS, make=bug.make).live()
    assert failed.violation == "duplicate_is_explained"
    small = Shrinking(failed, bug.make, limit_s=20.0).run()
    assert small.violation == failed.violation
    again = Life(small.seed, small.changes, steps=small.asked, make=bug.make).live()
    assert (again.violation, again.steps) == (small.violation, small.steps)
    assert all(small.changes[name] == 0 for name in ("outages", "kills", "cancels"))


def test_a_changed_core_is_found_out(tmp_path: Path) -> None:
    """`make sim-teeth` would run the core as it is, and call every bug a survivor."""

    def deaf(package: Path) -> None:
        with (package / "core" / "uploads.py").open("a") as uploads:
            uploads.write("\n\nUploads.failed = lambda self, report, now: None\n")

    verdict = mutants.run(deaf, tmp_path, limit_s=40.0)
    assert verdict.caught
    assert verdict.by


@pytest.mark.parametrize("slip", SLIPS, ids=lambda slip: slip.name)
def test_a_slip_can_still_be_made(slip: Slip) -> None:
    """The code moves on, a bug of `make sim-teeth` is no bug any more, and counts as survived or,
    worse, as caught."""
    source = (mutants.HERE / "prewarmd" / "core" / slip.file).read_text()
    made = slip.made(source)
    assert made != source
    compile(made, slip.file, "exec")


def test_a_slip_that_does_not_apply_says_so() -> None:
    """The run would go on with the core as it is."""
    slip = Slip("does nothing", "nothing", "desk.py", "stands twice", "stands")
    with pytest.raises(ValueError, match=r"desk\.py has `stands twice` 2 times, not once"):
        slip.made("stands twice, stands twice")
