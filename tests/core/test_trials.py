"""An object whose GETs kill: it is found out once, however many bots want it."""

from collections import Counter
from dataclasses import replace

import pytest

from prewarmd.core import events, records, verbs
from prewarmd.core.blame import DEATHS_MAX, KILLS_MAX, TOLLS_MAX, End, Tolls
from prewarmd.core.jobs import JobId, JobState, Phase
from tests.core.outside import Dies, fates_of
from tests.core.ward import POLICY, Ward, failed, fetching
from tests.core.world import content_of

BOTS = [f"bot{number}" for number in range(20)]
ALONE = End(sent=False, alone=True, killed=False)
SHARED = End(sent=False, alone=False, killed=False)
KILLED = End(sent=False, alone=True, killed=True)


def ward_of_20(workers: int, poison: str = "poison.jpg") -> Ward:
    """Twenty bots, and one object that kills."""
    world = Ward([poison] if poison else [], policy=replace(POLICY, workers=workers), bots=BOTS)
    world.store_object("poison.jpg")
    return world


def all_want(world: Ward, key: str = "poison.jpg") -> list[JobId]:
    """A job of each bot for one object."""
    return [world.submit(bot, key) for bot in world.engine.desk.bots]


def kill_whoever_has(world: Ward, key: str) -> int:
    """SIGKILL the children that have a GET of it in hand; how many."""
    flights = world.engine.downloads.fetching.values()
    children = {flight.child.index for flight in flights if flight.owner.key == key}
    for index in children:
        world.kill(index)
    return len(children)


@pytest.mark.parametrize("claimed", [False, True])
@pytest.mark.parametrize("workers", [1, 2, 5])
def test_a_poisonous_object_costs_three_children_whoever_wants_it(
    workers: int, claimed: bool
) -> None:
    """A broadcast of one broken media to twenty bots would kill children forty times."""
    world = ward_of_20(workers)
    innocents = world.innocents(30)
    promised = content_of("poison.jpg") if claimed else None
    poisons = [world.submit(bot, "poison.jpg", sha256=promised) for bot in BOTS]
    innocents += world.innocents(30, "later-")
    world.finish()
    assert failed(world) == dict.fromkeys(poisons, "Poison")
    assert 1 <= world.deaths <= DEATHS_MAX
    assert {world.state(job) for job in innocents} == {JobState.READY}
    world.check_quiet()


@pytest.mark.parametrize("workers", [1, 5])
def test_those_who_come_one_by_one_cost_no_more(workers: int) -> None:
    """Bots seldom want an object at the same moment: each would kill three children of its own."""
    world = ward_of_20(workers)
    poisons = []
    for bot in BOTS:
        poisons.append(world.submit(bot, "poison.jpg"))
        world.run(0.3)
    innocents = world.innocents(10)
    world.finish()
    assert failed(world) == dict.fromkeys(poisons, "Poison")
    assert world.deaths == DEATHS_MAX
    assert {world.state(job) for job in innocents} == {JobState.READY}
    world.check_quiet()


def gets_under_way(world: Ward, key: str) -> int:
    """How many children have a GET of it in hand."""
    return sum(each.owner.key == key for each in world.engine.downloads.fetching.values())


def test_promises_make_no_second_trial_of_one_object() -> None:
    """Who was promised a content does not share a GET with who was not, so the object would be
    tried several times at once."""
    world = ward_of_20(5)
    world.get_s = 1.0
    poisons = [world.submit("bot0", "poison.jpg")]
    world.run(0.9)
    assert world.deaths == 1
    contents = [None, content_of("poison.jpg"), content_of("something else")]
    poisons += [
        world.submit(bot, "poison.jpg", sha256=content) for bot in BOTS[1:4] for content in contents
    ]
    while not failed(world):
        world.run(0.05)
        assert gets_under_way(world, "poison.jpg") <= 1
    world.finish()
    assert failed(world) == dict.fromkeys(poisons, "Poison")
    assert world.deaths == DEATHS_MAX
    world.check_quiet()


def test_whoever_wants_a_suspect_object_has_it_tried_at_once() -> None:
    """Nothing may happen for seconds after a job was set aside, in a daemon that has no other."""
    world = ward_of_20(2, poison="")
    world.fates = fates_of(Dies(), of=verbs.Fetch)
    first = world.submit("bot0", "poison.jpg")
    while not world.deaths:
        world.run(0.001)
    world.forget(first)
    world.run(0.5)
    gets = len(world.gets)
    world.submit("bot1", "poison.jpg")
    world.turn()
    assert len(world.gets) == gets + 1
    assert len(world.engine.downloads.trials.open) == 1
    world.finish()
    assert world.deaths == 1


def test_a_conviction_gives_up_what_else_is_under_way() -> None:
    """A GET that began before anybody knew would take its child, and what else that has in hand."""
    world = ward_of_20(5)
    world.get_s = 100.0
    slow = world.submit("bot1", "poison.jpg", sha256=content_of("poison.jpg"))
    world.run(0.1)
    world.get_s = 1.0
    poisons = [slow, world.submit("bot0", "poison.jpg")]
    innocents = world.innocents(8)
    world.run(40.0)
    assert failed(world) == dict.fromkeys(poisons, "Poison")
    assert world.deaths == DEATHS_MAX
    world.finish()
    assert {world.state(job) for job in innocents} == {JobState.READY}


def test_who_sleeps_or_waits_far_behind_fails_with_the_others() -> None:
    """A job that comes to its turn after hours would kill three children more."""
    world = ward_of_20(2)
    world.fates = fates_of(*[Dies()] * 3, of=verbs.Fetch, key="poison.jpg")
    world.put(events.HoldsRemembered([records.Hold("bot1", 101, world.now + 5000.0, 1.0)]))
    far = world.submit("bot1", "poison.jpg")
    world.run(0.1)
    assert world.engine.desk.jobs[far].phase is Phase.QUEUED
    first = world.submit("bot0", "poison.jpg")
    world.run(60.0)
    assert failed(world) == {first: "Poison", far: "Poison"}
    assert world.deaths == 3


def test_who_has_its_bytes_is_spared() -> None:
    """An object that was overwritten by a poisonous one would fail uploads of what it was."""
    world = ward_of_20(5, poison="")
    world.upload_s = 400.0
    early = world.submit("bot0", "poison.jpg")
    world.run(1.0)
    assert world.engine.desk.jobs[early].phase is Phase.UPLOADING
    world.store_object("poison.jpg", "another")
    world.run(300.0)  # what the store said of the key is not believed any more
    world.fates = fates_of(*[Dies()] * 3, of=verbs.Fetch)
    late = [world.submit(bot, "poison.jpg") for bot in BOTS[1:]]
    world.run(90.0)
    assert failed(world) == dict.fromkeys(late, "Poison")
    world.finish()
    assert world.state(early) is JobState.READY


def test_an_overwritten_object_gets_its_chance() -> None:
    """A broken media that was replaced would be refused until the daemon is restarted."""
    world = ward_of_20(2)
    poisons = all_want(world)
    world.finish()
    assert failed(world) == dict.fromkeys(poisons, "Poison")
    assert world.deaths == 3
    world.poison.clear()
    world.store_object("poison.jpg", "mended")
    too_soon = world.submit("bot0", "poison.jpg")
    world.run(10.0)
    assert world.rows[too_soon].code == "Poison"
    world.run(world.policy.ttl_s)
    mended = all_want(world)
    world.finish()
    assert {world.state(job) for job in mended} == {JobState.READY}
    assert world.deaths == 3


def test_a_get_that_lands_clears_the_object() -> None:
    """An object that met two bad days would be one death from its end, with all who want it."""
    world = Ward(policy=replace(POLICY, cache_items=1), bots=BOTS)
    world.store_object("unlucky.jpg")
    world.fates = fates_of(*[Dies()] * 2, of=verbs.Fetch, key="unlucky.jpg")
    jobs = [world.submit(bot, "unlucky.jpg") for bot in BOTS[:10]]
    world.finish()
    assert len(world.gets) == 3
    jobs += world.innocents(1)  # of which the cache holds only one
    world.finish()
    world.fates = fates_of(*[Dies()] * 2, of=verbs.Fetch, key="unlucky.jpg")
    jobs += [world.submit(bot, "unlucky.jpg") for bot in BOTS[10:]]
    world.finish()
    assert {world.state(job) for job in jobs} == {JobState.READY}
    assert world.deaths == 4
    assert world.now < 1000.0 + world.policy.ttl_s


def test_all_join_one_trial_and_others_have_theirs() -> None:
    """Nineteen jobs that wait for one object would hide the suspects behind them."""
    world = ward_of_20(3)
    world.fates = fates_of(Dies(), of=verbs.Fetch, key="poison.jpg")
    world.get_s = 100.0
    jobs = all_want(world)
    world.run(55.0)
    assert world.deaths == 1
    (trial,) = world.engine.downloads.trials.open.values()
    assert sorted(job.id for job in trial.waiters) == jobs
    assert len(world.gets) == 2
    world.store_object("other.jpg")
    other = world.submit("bot3", "other.jpg")
    world.run(1.0)
    world.kill(fetching(world, other), "killed by SIGSEGV")
    world.run(5.0)
    assert world.alone == [trial.owner.id, other]
    world.get_s = 0.02
    world.finish()
    assert {world.state(job) for job in (*jobs, other)} == {JobState.READY}
    assert len(world.gets) == 4
    world.check_quiet()


def test_kills_from_outside_convict_late_however_many_want_it() -> None:
    """Whoever kills children, an operator or the system, would fail twenty good jobs within
    seconds, where one alone had ten tries with longer and longer waits between."""
    world = ward_of_20(3, poison="")
    world.get_s = 5.0
    began, jobs, kills = world.now, all_want(world), 0
    innocents = world.innocents(10)
    while kills < KILLS_MAX - 1:
        world.run(0.5)
        kills += kill_whoever_has(world, "poison.jpg")
    world.run(0.5)
    assert failed(world) == {}
    assert world.now - began > 30.0
    world.get_s = 0.02
    world.finish()
    assert {world.state(job) for job in (*jobs, *innocents)} == {JobState.READY}
    world.check_quiet()


def test_at_the_tenth_kill_all_who_want_it_fail() -> None:
    """An object that makes the system run out of memory would be asked for again for each bot."""
    world = ward_of_20(3, poison="")
    world.get_s = 5.0
    jobs, kills = all_want(world), 0
    while not failed(world) and kills < 40:
        world.run(0.5)
        kills += kill_whoever_has(world, "poison.jpg")
    world.finish()
    assert Counter(failed(world).values()) == {"Poison": len(jobs)}
    assert kills <= 2 * KILLS_MAX


def test_without_belief_each_job_counts_for_itself() -> None:
    """Who sets `cache.ttl_s` to 0 wants every job to ask the store: then nothing may be held
    against an object, and the jobs must be found out all the same."""
    world = Ward(["poison.jpg"], policy=replace(POLICY, ttl_s=0.0), bots=BOTS[:3])
    (poison,) = world.poisonous("bot0")
    innocents = world.innocents(10)
    world.finish()
    assert failed(world) == {poison: "Poison"}
    assert {world.state(job) for job in innocents} == {JobState.READY}


# -- tolls -----------------------------------------------------------------------------------------


def test_a_toll_convicts_at_the_third_death_of_which_two_were_alone() -> None:
    """What shares a child with a poisonous object, time and again, would be taken for it."""
    tolls = Tolls(ttl_s=300.0)
    for at in range(5):
        toll = tolls.count("m", "k", at, SHARED, "died", at)
        assert toll is not None
        assert (toll.deaths, toll.is_full) == (1, False)
    for at, full in ((6, False), (7, True)):
        toll = tolls.count("m", "k", at, ALONE, "died", at)
        assert toll is not None
        assert toll.is_full is full


def test_a_toll_is_believed_for_a_time_from_the_last_death_on() -> None:
    """Deaths that lie days apart would add up, or a slow GET would outlive what it is to add to."""
    tolls = Tolls(ttl_s=300.0)
    tolls.count("m", "k", 0.0, ALONE, "died", 100.0)
    assert tolls.find("m", "k", 399.0) is not None
    assert tolls.find("m", "k", 400.0) is None
    toll = tolls.count("m", "k", 399.0, ALONE, "died", 800.0)
    assert toll is not None
    assert toll.deaths == 2
    toll = tolls.count("m", "k", 1100.0, ALONE, "died", 1101.0)
    assert toll is not None
    assert toll.deaths == 1


@pytest.mark.parametrize("end", [replace(ALONE, heard=False), replace(KILLED, alone=False)])
def test_what_says_nothing_is_not_counted(end: End) -> None:
    """Each kill of a busy child would put all its objects on trial."""
    tolls = Tolls(ttl_s=300.0)
    assert tolls.count("m", "k", 0.0, end, "died", 0.0) is None
    assert len(tolls) == 0


def test_tolls_are_bounded_and_the_oldest_goes() -> None:
    """A machine that kills children for days would fill our memory with names."""
    tolls = Tolls(ttl_s=1e9)
    for number in range(TOLLS_MAX):
        tolls.count("m", f"{number}", 0.0, SHARED, "died", number)
    tolls.count("m", "0", 0.0, ALONE, "died", 1e6)
    tolls.count("m", "new", 0.0, ALONE, "died", 1e6)
    assert len(tolls) == TOLLS_MAX
    assert tolls.find("m", "1", 1e6) is None
    toll = tolls.find("m", "0", 1e6)
    assert toll is not None
    assert toll.deaths == 2
