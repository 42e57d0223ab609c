"""Refusals of one kind of media, and refusals that are not believed at once."""

import pytest

from prewarmd.core import records, verbs
from prewarmd.core.jobs import JobId, JobState, Kind
from prewarmd.core.policy import BotSpec
from prewarmd.core.refusals import FIRST_S
from tests.core.outside import Fate, Fates, Refused, fates_of
from tests.core.world import World

TWO = BotSpec("alpha", ((1, "private"), (2, "private")))


def voices(world: World, count: int) -> list[JobId]:
    keys = [f"{number}.ogg" for number in range(count)]
    for key in keys:
        world.store_object(key)
    return [world.submit("alpha", key, kind=Kind.VOICE) for key in keys]


def photos(world: World, count: int) -> list[JobId]:
    keys = [f"{number}.jpg" for number in range(count)]
    for key in keys:
        world.store_object(key)
    return [world.submit("alpha", key) for key in keys]


def no_voice_in(*chats: int) -> Fates:
    def decide(verb: verbs.Verb) -> Fate | None:
        refused = isinstance(verb, verbs.Upload) and verb.kind == "voice" and verb.chat_id in chats
        return Refused("KindRefused") if refused else None

    return decide


def sent(world: World, kind: str) -> list[tuple[float, int]]:
    """When uploads of that kind began, and where."""
    told = [(at, verb) for at, verb in world.told if isinstance(verb, verbs.Upload)]
    return [(at, verb.chat_id) for at, verb in told if verb.kind == kind]


def test_a_kind_that_one_chat_refuses_goes_by_another() -> None:
    """VOICE_MESSAGES_FORBIDDEN of one person would close her chat for photos, too, or fail every
    voice message although a channel takes them."""
    world = World([TWO])
    world.fates = no_voice_in(1)
    wanted = [*voices(world, 10), *photos(world, 30)]
    world.finish()
    assert {world.state(job) for job in wanted} == {JobState.READY}
    assert {row.attempt for row in world.rows.values()} == {0}, "nobody is charged"
    voice_in_1 = [at for at, chat in sent(world, "voice") if chat == 1]
    assert len(voice_in_1) <= 3, "no more than were on their way, a burst"
    assert sum(chat == 1 for _, chat in sent(world, "photo")) > 10, "the chat still takes photos"
    assert world.engine.readiness(world.now) == [], "another chat takes them: nothing to do"


def test_a_kind_that_no_chat_takes_waits_and_says_why() -> None:
    """Its jobs would hold memory and slots, or fail, and nobody knew that a setting of the chat
    does it; once that is put right they go."""
    world = World([TWO])
    world.fates = no_voice_in(1, 2)
    waiting, others = voices(world, 10), photos(world, 10)
    world.run(40.0)
    assert {world.state(job) for job in others} == {JobState.READY}
    assert {world.state(job) for job in waiting} == {JobState.WAITING}
    assert {world.rows[job].code for job in waiting} == {"KindRefused"}
    assert not world.engine.desk.pinned, "no memory is kept for them"
    assert world.engine.readiness(world.now) == [
        ("KindRefused", "bot alpha, every voice: as the test wants")
    ]
    tries = len(sent(world, "voice"))
    world.run(2 * FIRST_S)
    assert tries < len(sent(world, "voice")) <= tries + 4, "one asks again, in each chat"

    world.fates = lambda _: None
    world.finish()
    assert {world.state(job) for job in waiting} == {JobState.READY}
    assert world.engine.readiness(world.now) == []
    world.check_quiet()


def test_what_is_not_sent_tells_nothing_of_the_kind() -> None:
    """The one that asks again is lost with its child: nobody would ask ever again."""
    world = World([BotSpec("alpha", ((1, "private"),))])
    fates = [Refused("KindRefused"), Refused("UploadCut")]
    world.fates = fates_of(*fates, of=verbs.Upload)
    (job,) = voices(world, 1)
    world.finish()
    assert world.state(job) is JobState.READY
    assert len(sent(world, "voice")) == 3


@pytest.mark.parametrize(
    ("code", "maybe_sent"),
    [("PhotoNotProcessed", True), ("UnknownRefusal", False), ("RequestRefused", False)],
)
def test_what_is_often_wrong_is_asked_twice(code: str, *, maybe_sent: bool) -> None:
    """IMAGE_PROCESS_FAILED of a good photo would lose it, and words that nobody has heard of would
    be sent eight times."""
    world = World(["alpha"])
    world.fates = fates_of(Refused(code), of=verbs.Upload, key="0.jpg")
    once, never = photos(world, 2)
    world.finish()
    assert (world.state(once), world.state(never)) == (JobState.READY, JobState.READY)
    (snooze,) = [r for r in world.rows[once].history if isinstance(r, records.Snooze)]
    assert (snooze.code, snooze.attempt, snooze.maybe_sent) == (code, 1, maybe_sent)

    world = World(["alpha"])
    world.fates = fates_of(*[Refused(code)] * 9, of=verbs.Upload, key="0.jpg")
    bad, good = photos(world, 2)
    world.finish()
    assert (world.state(bad), world.state(good)) == (JobState.FAILED, JobState.READY)
    assert world.uploads.count(bad) == 2
    assert world.engine.readiness(world.now) == []


def test_two_different_troubles_are_no_verdict() -> None:
    """A refusal, a cut and the same refusal again: it was not told twice in a row."""
    world = World(["alpha"])
    troubles = [Refused("UnknownRefusal"), Refused("UploadCut"), Refused("UnknownRefusal")]
    world.fates = fates_of(*troubles, of=verbs.Upload)
    (job,) = photos(world, 1)
    world.finish()
    assert world.state(job) is JobState.READY


def test_a_request_that_telegram_refuses_each_time_stops_the_bot_and_not_its_queue() -> None:
    """After an update of a server, or of prewarmd, a night's queue would have failed for good."""
    world = World(["alpha", "beta"])
    world.fates = lambda verb: (
        Refused("RequestRefused") if getattr(verb, "bot", "") == "alpha" else None
    )
    jobs = photos(world, 60)
    world.store_object("b.jpg")
    other = world.submit("beta", "b.jpg")
    world.run(300.0)
    failed = [job for job in jobs if world.state(job) is JobState.FAILED]
    assert len(failed) <= 10, "one asks again, now and then"
    assert world.state(other) is JobState.READY
    assert [code for code, _ in world.engine.readiness(world.now)] == ["RequestRefused"]
    world.fates = lambda _: None
    world.finish()
    assert {world.state(job) for job in jobs if job not in failed} == {JobState.READY}
    assert world.engine.readiness(world.now) == []
