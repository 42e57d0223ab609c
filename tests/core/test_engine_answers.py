"""Answers and ends that say no: the reason is written down, and what was asked is asked again."""

import pytest

from prewarmd.core import commands, events, records, reports, verbs
from prewarmd.core.blame import KILLS_MAX
from prewarmd.core.engine import Engine
from prewarmd.core.jobs import JobId, JobState
from prewarmd.core.listings import Listing, Listings
from prewarmd.core.policy import BotSpec, EnginePolicy
from prewarmd.core.scope import Scope
from tests.core.outside import Dies, Refused, fates_of
from tests.core.world import World

TOLD = records.Fail | records.Snooze | records.Release
ONE_SLOT = EnginePolicy(workers=1, slots=1)


def submit(world: World, count: int = 1) -> list[JobId]:
    keys = [f"{number}.jpg" for number in range(count)]
    for key in keys:
        world.store_object(key)
    return [world.submit("alpha", key) for key in keys]


def reasons(world: World, job: JobId) -> list[tuple[str, str]]:
    """The code and detail of every record that has some."""
    history = [r for r in world.rows[job].history if isinstance(r, TOLD) and r.code]
    return [(record.code, record.detail) for record in history]


@pytest.mark.parametrize(
    ("code", "verb"),
    [
        ("Sha256Mismatch", verbs.Fetch),
        ("ObjectChanged", verbs.Fetch),
        ("StoreError", verbs.Fetch),
        ("MediaRefused", verbs.Upload),
        ("NoAnswer", verbs.Upload),
        ("ChatRefused", verbs.Upload),
    ],
)
def test_what_a_child_says_is_written_down(code: str, verb: type[verbs.Verb]) -> None:
    """`prewarmd jobs` would show a code, and nobody could tell which of ten reasons it was."""
    world = World()
    world.fates = fates_of(Refused(code), of=verb)
    (job,) = submit(world)
    world.finish()
    assert reasons(world, job) == [(code, "as the test wants")]


def test_how_a_child_ended_is_written_down() -> None:
    """Out of memory or a crash: nobody could tell why a job failed."""
    world = World()
    world.fates = fates_of(Dies(), Dies(sent=True), Dies(), of=verbs.Upload)
    (job,) = submit(world)
    world.finish()
    assert reasons(world, job) == [("ChildDied", "died"), ("MaybeSent", "died"), ("Poison", "died")]
    assert "died" in {child.last_exit for child in world.engine.children.all}


def test_who_is_killed_with_its_child_again_and_again_waits_longer() -> None:
    """Whoever kills for memory would be fed the same large object without a pause."""
    world = World(policy=ONE_SLOT)
    (job,) = submit(world)
    for _ in range(3):
        while not world.engine.downloads.fetching:
            world.run(0.01)
        world.kill(0)
        world.run(0.001)
    words = [type(record) for record in world.rows[job].history]
    assert words[:4] == [records.Start, records.Release, records.Start, records.Snooze]
    assert world.engine.desk.jobs[job].in_trouble().kills == 3 < KILLS_MAX


def test_a_kill_is_nobodys_fault_who_was_not_alone() -> None:
    """Two bots want one object, its child is killed, and each comes nearer to a conviction."""
    world = World(policy=EnginePolicy(workers=1, slots=2))
    world.store_object("a.jpg")
    jobs = [world.submit("alpha", "a.jpg"), world.submit("beta", "a.jpg")]
    world.run(0.005)
    (flight,) = world.engine.downloads.fetching.values()
    assert len(flight.waiters) == 2
    world.kill(0)
    world.run(0.001)
    assert [world.engine.desk.jobs[job].in_trouble().kills for job in jobs] == [0, 0]


def asking() -> tuple[Engine, verbs.AskChat]:
    """An engine with one child, which is asked about a chat."""
    engine = Engine(ONE_SLOT, [BotSpec("alpha", ((5, None),))])
    engine.turn([events.Loaded()], 0.0, 0.5)
    return engine, question(engine.turn([events.ChildGreeted(0, 1, 1000)], 0.1, 0.5))


def question(out: list[commands.Command]) -> verbs.AskChat:
    (verb,) = [c.verb for c in out if isinstance(c, commands.Tell)]
    assert isinstance(verb, verbs.AskChat)
    return verb


def test_a_chat_is_asked_about_again_when_its_child_died() -> None:
    """A private chat would be used at a third of its rate for ever."""
    engine, asked = asking()
    engine.turn([events.ChildExited(0, 1, "died", frozenset())], 0.2, 0.5)
    again = question(engine.turn([events.ChildGreeted(0, 2, 1001)], 0.4, 0.5))
    assert (again.bot, again.chat_id) == (asked.bot, asked.chat_id)
    known = reports.ChatKnown(again.task, "private")
    engine.turn([events.ChildReported(0, 2, known)], 0.5, 0.5)
    assert engine.desk.bots["alpha"].lanes[0].chat_kind == "private"
    assert not engine.chats.asking


@pytest.mark.parametrize(
    ("code", "closed"), [("ChatNotFound", ("ChatNotFound", "no chat")), ("NoAnswer", ("", ""))]
)
def test_a_chat_that_refuses_a_question_is_closed(code: str, closed: tuple[str, str]) -> None:
    """Its first media would be fetched and sent for nothing; and a silence is no refusal."""
    engine, asked = asking()
    told = reports.ChatUnknown(asked.task, code, "no chat")
    engine.turn([events.ChildReported(0, 1, told)], 1.0, 0.5)
    gate = engine.desk.bots["alpha"].lanes[0].gate
    assert (gate.code, gate.detail) == closed
    assert gate.may_pass(1.0) is not bool(closed[0])
    assert not engine.chats.asking


@pytest.mark.parametrize("fate", [Dies(), Refused("StoreError"), Refused("BadCredentials")])
def test_jobs_go_on_when_nobody_tells_their_sizes(fate: Dies | Refused) -> None:
    """A question is a help; without an answer nothing may be left waiting for it."""
    world = World(policy=ONE_SLOT)
    world.fates = fates_of(fate, of=verbs.Head)
    jobs = submit(world, 20)
    world.run(0.5)
    assert world.all_of(verbs.Head)
    is_refused = fate == Refused("BadCredentials")
    assert (world.engine.desk.buckets.gate("m").refusals > 0) is is_refused
    world.finish()
    assert {world.state(job) for job in jobs} == {JobState.READY}
    assert not world.engine.sizes.asking


def test_a_listing_that_is_refused_waits_for_its_own_bucket() -> None:
    """It would ask again at once, for as long as the bucket refuses."""
    world = World()
    world.fates = fates_of(Refused("BadCredentials"), of=verbs.List)
    world.put(events.BatchOpened(7, "other", "wanted/", ""))
    world.run(0.5)
    assert [verb.prefix for verb in world.all_of(verbs.List) if isinstance(verb, verbs.List)] == [
        "wanted/"
    ]
    gates, (listing,) = world.engine.desk.buckets.gates, world.engine.listings._due
    assert list(gates) == ["other"]
    assert listing.not_before == gates["other"].until > world.now


def test_a_page_that_came_forgives_the_failures_before_it() -> None:
    """A listing of a thousand pages would be given up for some failures that lie far apart."""
    listings = Listings()
    listings.open(Listing(1, "m", "", ""))
    for task in (1, 3):
        listings.ask(task, 0.0)
        listing = listings.failed(task)
        assert listing.failures == 1
        listings.open(listing)
        listings.ask(task + 1, 0.0)
        listings.listed(task + 1)
        listings.committed(1, f"after {task}", done=False)


def scope(world: World) -> Scope:
    return world.engine.desk.bots["alpha"].scope


@pytest.mark.parametrize("fate", [Refused("TelegramUnreachable"), Dies()])
def test_a_probe_that_tells_nothing_leaves_the_doubt(fate: Dies | Refused) -> None:
    """After a flood a broken connection would count as proof that only one chat was meant, and the
    bot runs into its own ban."""
    world = World([BotSpec("alpha", ((1, "private"), (2, "private")))])
    world.fates = fates_of(Refused("TooManyRequests", 30.0), fate, of=verbs.Upload)
    (job,) = submit(world)
    while len(world.uploads) < 2:
        world.run(0.001)
    assert scope(world).probing
    while scope(world).probing:
        world.run(0.001)
    assert scope(world).in_doubt
    world.finish()
    assert world.state(job) is JobState.READY
    assert not scope(world).in_doubt


def test_nobody_asks_for_a_size_that_is_known_or_does_not_matter() -> None:
    """A question for each job of a backlog: the store is asked twice for everything."""
    world = World(policy=ONE_SLOT)
    for number in range(10):
        world.store_object(f"{number}.jpg")
        if number % 2:
            world.submit("alpha", f"{number}.jpg", size_bytes=5000)
        else:
            world.submit("alpha", f"{number}.jpg", priority=9)
    world.finish()
    assert world.all_of(verbs.Head) == []
