"""A job that kills whoever takes it: it is found, it fails alone, and it takes three at most."""

from dataclasses import replace

import pytest

from prewarmd.core import commands, events, records, verbs
from prewarmd.core.jobs import JobState, Phase
from tests.core.outside import Dies, fates_of
from tests.core.ward import POLICY, WAYS, Ward, failed, fetching
from tests.core.world import content_of


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("workers", [1, 2, 5])
def test_a_poisonous_job_fails_after_three_deaths_at_most_and_nobody_else_does(
    workers: int, way: str
) -> None:
    """One broken object would keep all children dying, and good jobs fail for it."""
    world = Ward(["poison.jpg"], way, replace(POLICY, workers=workers))
    innocents = world.innocents(40)
    (poison,) = world.poisonous()
    innocents += world.innocents(40, "later-")
    world.finish()
    assert failed(world) == {poison: "Poison"}
    assert 1 <= world.deaths <= 3
    assert {world.state(job) for job in innocents} == {JobState.READY}
    world.check_quiet()


@pytest.mark.parametrize("way", ["at its GET", "at its upload"])
def test_it_is_found_while_others_wait(way: str) -> None:
    """A busy platform never has an idle child: the suspects would wait for one for ever."""
    world = Ward(["poison.jpg"], way, replace(POLICY, workers=1, slots=4))
    world.is_uneven = True
    (poison,) = world.poisonous()
    innocents = world.innocents(200)
    while not failed(world) and world.now < 1100.0:
        world.run(0.1)
    assert failed(world) == {poison: "Poison"}
    assert sum(world.state(job) is JobState.QUEUED for job in innocents) > 100
    world.finish()
    assert failed(world) == {poison: "Poison"}


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_several_poisonous_jobs_are_told_apart(workers: int) -> None:
    """Two of them would be each other's alibi, or take the good ones with them."""
    world = Ward(["a.bin", "b.bin", "c.bin"], policy=replace(POLICY, workers=workers))
    world.innocents(20)
    poisons = world.poisonous()
    world.innocents(20, "later-")
    world.finish()
    assert failed(world) == dict.fromkeys(poisons, "Poison")
    assert world.deaths <= 3 * len(poisons)
    world.check_quiet()


def test_a_poisonous_job_alone_has_three_tries() -> None:
    """One kill by the system, out of memory, would cost a job that has done nothing."""
    world = Ward(["unlucky.jpg"])
    world.fates = fates_of(Dies(), Dies(), of=verbs.Fetch)
    (job,) = world.poisonous()
    world.finish()
    assert world.deaths == 2
    assert world.state(job) is JobState.READY
    assert failed(world) == {}


def test_an_innocent_suspect_is_cleared() -> None:
    """Who was there when a child died would be suspected for the rest of its life, or fail."""
    world = Ward(policy=replace(POLICY, workers=1))
    world.get_s = 1.0
    jobs = world.innocents(5)
    world.run(0.5)
    world.kill(0)
    world.run(0.1)
    suspects = [job for job in jobs if world.engine.desk.jobs[job].suspect]
    assert suspects == jobs
    world.get_s = 0.02
    world.finish()
    assert {world.state(job) for job in jobs} == {JobState.READY}
    assert set(world.alone) == set(suspects)
    assert len(world.alone) == 2 * len(suspects), "a GET and an upload each"
    assert world.deaths == 1
    world.check_quiet()


def test_the_others_go_on_beside_a_suspect() -> None:
    """One suspect whose upload takes minutes would stop the whole daemon."""
    world = Ward(policy=replace(POLICY, workers=2, slots=4))
    world.get_s = 100.0
    world.store_object("slow.jpg")
    slow = world.submit("alpha", "slow.jpg")
    world.run(0.01)
    world.kill(fetching(world, slow))
    world.run(0.5)
    assert world.alone == [slow]
    world.get_s = 0.02
    others = world.innocents(30)
    world.run(5.0)
    assert world.engine.desk.jobs[slow].phase is Phase.FETCHING
    assert {world.state(job) for job in others} == {JobState.READY}


def test_a_suspect_does_not_keep_its_bots_other_jobs_waiting() -> None:
    """A bot with one poisonous object would warm nothing until that is found."""
    world = Ward(["poison.jpg"], policy=replace(POLICY, workers=5), bots=["alpha"])
    world.poisonous()
    world.run(0.02)
    others = world.innocents(20)
    world.run(2.0)
    assert {world.state(job) for job in others} == {JobState.READY}


def test_nobody_joins_the_get_of_a_suspect_nor_does_it_join_another() -> None:
    """Bots that want the same object would become suspects with it, one after the other."""
    world = Ward(policy=replace(POLICY, workers=3))
    world.store_object("shared.jpg")
    world.get_s = 10.0
    first = world.submit("alpha", "shared.jpg")
    fillers = world.innocents(2)
    world.run(0.1)
    world.kill(fetching(world, first))
    second = world.submit("beta", "shared.jpg")
    world.run(0.1)
    third = world.submit("beta", "shared.jpg")
    world.run(0.1)
    assert world.alone == [first]
    waiting = [[j.id for j in f.waiters] for f in world.engine.downloads.fetching.values()]
    assert [first] in waiting
    assert [second, third] in waiting
    world.get_s = 0.02
    world.finish()
    assert {world.state(job) for job in (first, second, third, *fillers)} == {JobState.READY}


@pytest.mark.parametrize("every_s", [3.0, 10.0])
@pytest.mark.parametrize("workers", [1, 2, 5])
def test_kills_at_random_fail_nobody(workers: int, every_s: float) -> None:
    """An operator, or the system's own killer, would turn good jobs into failed ones."""
    world = Ward(policy=replace(POLICY, workers=workers))
    world.upload_s = 0.15
    jobs = world.innocents(150)
    number = 0
    while any(world.state(job) is not JobState.READY for job in jobs) and number < 400:
        world.run(every_s * (0.5 + (number * 0.618) % 1.0))
        world.kill(number * 7 % workers)
        number += 1
        assert failed(world) == {}
    world.finish()
    assert failed(world) == {}
    assert {world.state(job) for job in jobs} == {JobState.READY}
    assert world.deaths > 0
    world.check_quiet()


def test_a_listing_that_kills_makes_no_suspects_of_its_page() -> None:
    """A prefix whose page cannot be read would be taken for a job's doing."""
    world = Ward()
    world.fates = lambda verb: Dies() if isinstance(verb, verbs.List) else None
    world.put(events.BatchOpened(1, "m", "", ""))
    world.run(0.05)
    assert world.deaths > 0
    world.fates = lambda verb: None
    jobs = world.innocents(3)
    world.finish()
    pages = [c for _, c in world.out if isinstance(c, commands.SubmitPage)]
    assert len(pages) == 1
    assert world.alone == []
    assert {world.state(job) for job in jobs} == {JobState.READY}


@pytest.mark.parametrize("company", [False, True])
def test_what_a_child_is_told_when_its_exit_is_known_is_not_to_blame(company: bool) -> None:
    """Three jobs' worth of bad luck would fail an innocent one, and be a poisonous one's alibi."""
    world = Ward(policy=replace(POLICY, workers=1))
    culprit = world.innocents(1)[0] if company else None
    world.get_s = 10.0
    world.run(0.005)
    world.store_object("late.jpg")
    late = world.submit("beta", "late.jpg", sha256=content_of("late.jpg"))
    world.turn()
    jobs = world.engine.desk.jobs
    assert jobs[late].phase is Phase.RECALLING
    world.put(events.Recalled(late, content_of("late.jpg"), ready=False))
    world.kill(0, "killed by SIGSEGV")
    world.turn()
    assert (jobs[late].suspect, jobs[late].trouble, jobs[late].phase) == (False, None, Phase.QUEUED)
    if culprit is not None:
        assert (jobs[culprit].suspect, jobs[culprit].in_trouble().deaths) == (True, 1)
    world.get_s = 0.02
    world.finish()
    assert failed(world) == {}


@pytest.mark.parametrize("free", range(0, 21, 5))
def test_suspects_that_cannot_go_hide_nobody_behind_them(free: int) -> None:
    """One chat's long pause would keep every suspect of every bot waiting as long."""
    bots = [f"bot{number}" for number in range(21)]
    world = Ward(policy=replace(POLICY, workers=3), bots=bots)
    world.get_s = 100.0
    jobs = world.innocents(21)
    world.run(0.5)
    holds = [records.Hold(bot, 100 + number, 5000.0, 1.0) for number, bot in enumerate(bots)]
    world.put(events.HoldsRemembered(holds[:free] + holds[free + 1 :]))
    paused = jobs[:free] + jobs[free + 1 :]
    for child in range(3):
        world.kill(child)
    world.get_s = 0.02
    world.run(2.0)
    assert all(world.engine.desk.jobs[job].suspect for job in paused)
    assert {world.state(job) for job in paused} == {JobState.QUEUED}
    assert world.state(jobs[free]) is JobState.READY
    turns = world.turns
    world.run(600.0)
    assert world.turns - turns < 600.0 * 5, "those that wait would be looked at all the time"
    world.finish(limit_s=5000.0)
    assert {world.state(job) for job in jobs} == {JobState.READY}
    world.check_quiet()
