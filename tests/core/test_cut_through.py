"""Uploads that follow their downloads, and objects that only pass through: no message before all is
known, and nobody worse off for it."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from prewarmd.core import events, records, verbs
from prewarmd.core.extents import PAGE
from prewarmd.core.jobs import JobId, JobState, Kind, Phase
from prewarmd.core.lanes import LimitPolicy
from prewarmd.core.policy import BotSpec, EnginePolicy
from tests.core.outside import Dies, Refused, fates_of
from tests.core.world import World, content_of

POLICY = EnginePolicy(workers=2, slots=4, limits=LimitPolicy(paced=False))
RELAYING = replace(POLICY, cache_bytes=64 * PAGE, relay_share=0.25)
TWO_CHATS = BotSpec("alpha", ((100, "private"), (101, "private")))
LARGE = 20 * PAGE
"""Above the share of `RELAYING`."""


def following(
    policy: EnginePolicy = POLICY, bots: Sequence[str | BotSpec] = ("alpha", "beta")
) -> World:
    """A world of slow downloads, all of which may be followed."""
    world = World(bots, policy)
    world.landing_from_bytes, world.get_s = 1, 4.0
    return world


def submit(world: World, bot: str = "alpha", key: str = "a.mp4", **more: object) -> JobId:
    _, size_bytes, _ = world.objects["m", key]
    return world.submit(bot, key, Kind.VIDEO, size_bytes=size_bytes, **more)  # type: ignore[arg-type]


def ready(world: World, *jobs: JobId) -> None:
    world.finish()
    assert [world.state(job) for job in jobs] == [JobState.READY] * len(jobs)
    world.check_quiet()


def sends(world: World) -> list[verbs.Upload | verbs.Relay]:
    return [verb for _, verb in world.told if isinstance(verb, verbs.Upload | verbs.Relay)]


def sealed(world: World) -> list[int]:
    return [verb.task for _, verb in world.told if isinstance(verb, verbs.Seal)]


# -- following -------------------------------------------------------------------------------


def test_an_upload_begins_while_its_bytes_come_and_ends_when_all_are_known() -> None:
    """A large object would take the time of its download and that of its upload."""
    world = following()
    sha256 = world.store_object("a.mp4")
    began, job = world.now, submit(world)
    world.run(2.0)
    (upload,) = sends(world)
    assert isinstance(upload, verbs.Upload)
    assert upload.behind > 0
    assert world.engine.desk.jobs[job].phase is Phase.TRAILING
    assert world.messages == []
    ready(world, job)
    assert sealed(world) == [upload.task]
    assert world.catalogue["alpha", sha256, "video"] is not None
    assert world.now - began < 4.0 + world.upload_s + 0.1


def test_it_begins_in_the_child_that_has_the_bytes() -> None:
    """Another child cannot know how far they are."""
    world = following()
    world.store_object("a.mp4")
    submit(world)
    world.run(2.0)
    (flight,) = world.engine.downloads.fetching.values()
    (sending,) = world.engine.uploads.sending.values()
    assert sending.child is flight.child
    assert sending.flight is flight


def test_a_bad_download_leaves_no_message() -> None:
    """Half an object, or another one than was promised, would be warm for ever."""
    world = following()
    world.store_object("a.mp4")
    job = submit(world, sha256=content_of("another"))
    world.run(2.0)
    assert len(sends(world)) == 1
    world.finish()
    assert world.rows[job].code == "Sha256Mismatch"
    assert world.messages == []
    assert sealed(world) == []
    world.check_quiet()


def test_a_download_that_breaks_is_retried_as_any_other() -> None:
    """The job would hang between its upload and its download."""
    world = following()
    world.store_object("a.mp4")
    world.fates = fates_of(Refused("ShortBody", late=True), of=verbs.Fetch)
    job = submit(world)
    ready(world, job)
    assert len(world.messages) == 1
    assert len(world.gets) == 2
    assert len(sends(world)) == 2


def test_content_that_is_ready_already_is_not_sent_again() -> None:
    """The same video under two keys would be sent twice."""
    world = following()
    world.store_object("a.mp4", "the same")
    ready(world, submit(world))
    world.store_object("b.mp4", "the same")
    job = submit(world, key="b.mp4")
    world.run(2.0)
    assert world.engine.desk.jobs[job].phase is Phase.TRAILING
    ready(world, job)
    assert len(world.messages) == 1
    assert any(isinstance(record, records.Join) for record in world.rows[job].history)


def test_of_two_that_turn_out_to_be_the_same_one_is_sent() -> None:
    """Both follow their downloads before either's content is known."""
    world = following(bots=[TWO_CHATS])
    for key in ("a.mp4", "b.mp4"):
        world.store_object(key, "the same")
    jobs = [submit(world, key=key) for key in ("a.mp4", "b.mp4")]
    world.run(2.0)
    assert len(sends(world)) == 2
    ready(world, *jobs)
    assert len(world.messages) == 1


def test_a_second_copy_stays_as_long_as_it_is_read() -> None:
    """Its memory would be filled with another object while Telegram gets it."""
    world = following(replace(POLICY, cache_bytes=3 * PAGE))
    world.upload_s = 5.0
    for key in ("a.mp4", "b.mp4"):
        world.store_object(key, "the same", size=PAGE)
    jobs = [submit(world, "alpha", "a.mp4"), submit(world, "beta", "b.mp4")]
    world.run(5.0)
    assert len(sealed(world)) == 2
    world.store_object("c.jpg", size=2 * PAGE)
    jobs.append(world.submit("alpha", "c.jpg", size_bytes=2 * PAGE))
    world.run(1.0)
    assert world.gets == ["a.mp4", "b.mp4"], "there is no room for it yet"
    ready(world, *jobs)


def test_a_chat_has_one_at_a_time() -> None:
    """Downloads that end together would send as many messages at once, whatever the pace is."""
    world = following(replace(POLICY, limits=LimitPolicy(paced=True)))
    for key in ("a.mp4", "b.mp4", "c.mp4"):
        world.store_object(key)
    jobs = [submit(world, key=key) for key in ("a.mp4", "b.mp4", "c.mp4")]
    world.run(3.5)
    assert len(sends(world)) == 1
    ready(world, *jobs)


def test_a_pause_on_the_way_is_obeyed() -> None:
    """What began before a flood would be sent into its penalty."""
    world = following()
    world.store_object("a.mp4")
    job = submit(world)
    world.run(2.0)
    until = world.now + 10.0
    world.put(events.HoldsRemembered([records.Hold("alpha", 100, until, 1.0)]))
    world.run(4.0)
    assert world.messages == []
    ready(world, job)
    assert [message.at >= until for message in world.messages] == [True]
    assert world.gets == ["a.mp4"]


def test_a_pause_that_is_heard_of_in_the_same_turn_is_obeyed() -> None:
    """The catalogue's answer may lie before the flood's in one batch."""
    world = following()
    world.commit_s = 1.0
    sha256 = world.store_object("a.mp4")
    job = submit(world)
    world.run(4.5)
    assert world.engine.desk.jobs[job].phase is Phase.TRAILING
    world.put(events.Recalled(job, sha256, ready=False))
    world.put(events.HoldsRemembered([records.Hold("alpha", 100, world.now + 10.0, 1.0)]))
    world.turn()
    assert sealed(world) == []
    ready(world, job)


@pytest.mark.parametrize("code", ["TooManyRequests", "MediaRefused", "UploadCut", "NoAnswer"])
def test_telegram_may_refuse_before_the_end(code: str) -> None:
    """An early answer would leave the job with its download, or its lane with the job."""
    world = following()
    world.store_object("a.mp4")
    world.fates = fates_of(Refused(code, retry_after_s=3.0), of=verbs.Upload)
    job = submit(world)
    world.finish()
    gives_up = code == "MediaRefused"
    assert world.state(job) is (JobState.FAILED if gives_up else JobState.READY)
    assert world.gets == ["a.mp4"], "its bytes were on their way"
    world.run(5.0)
    world.check_quiet()


@pytest.mark.parametrize("after_s", [0.5, 2.0, 4.002])
def test_a_child_that_dies_on_the_way_costs_nothing_but_time(after_s: float) -> None:
    """Killed before it follows, while it does, and while the catalogue is asked."""
    world = following()
    world.store_object("a.mp4")
    job = submit(world)
    world.run(after_s)
    world.kill(next(iter(world.engine.downloads.fetching.values())).child.index
        if world.engine.downloads.fetching
        else next(iter(world.engine.uploads.sending.values())).child.index)  # fmt: skip
    ready(world, job)
    assert len(world.messages) == 1
    assert not any(getattr(record, "maybe_sent", False) for record in world.rows[job].history)


def test_what_is_here_goes_before_what_follows() -> None:
    """A lane would be held by a slow download while bytes wait in memory."""
    world = following(replace(POLICY, limits=LimitPolicy(paced=True)), ("alpha",))
    for number in range(8):
        world.store_object(f"{number}.jpg")
    world.store_object("a.mp4")
    world.get_s = 0.02
    world.landing_from_bytes = 1 << 60
    small = [world.submit("alpha", f"{number}.jpg") for number in range(8)]
    world.run(0.1)
    world.get_s, world.landing_from_bytes = 4.0, 1
    large = submit(world, priority=255)
    world.run(3.0)
    assert all(not getattr(verb, "behind", 0) for verb in sends(world))
    ready(world, *small, large)


def test_a_suspect_does_not_follow() -> None:
    """With two tasks in one hand nobody could tell which of them killed the child."""
    world = following()
    world.store_object("a.mp4")
    world.fates = fates_of(Dies(), of=verbs.Fetch)
    job = submit(world)
    ready(world, job)
    assert [bool(getattr(verb, "behind", 0)) for verb in sends(world)] == [True, False]


def test_a_lane_that_opens_during_a_download_is_used() -> None:
    """Who may send only two seconds later would wait for the end of the download."""
    world = following()
    world.store_object("a.mp4")
    world.put(events.HoldsRemembered([records.Hold("alpha", 100, world.now + 2.0, 1.0)]))
    began, job = world.now, submit(world)
    world.run(1.9)
    assert sends(world) == []
    world.run(0.2)
    assert len(sends(world)) == 1
    ready(world, job)
    assert world.now - began < 4.2


def test_several_bots_follow_one_download() -> None:
    """One GET for all of them, and each is sent as early."""
    world = following(bots=("alpha", "beta", "gamma"))
    world.store_object("a.mp4")
    jobs = [submit(world, bot) for bot in ("alpha", "beta", "gamma")]
    world.run(2.0)
    assert len(sends(world)) == 3
    ready(world, *jobs)
    assert world.gets == ["a.mp4"]
    assert len(world.messages) == 3


def test_a_slot_is_left_for_whom_it_belongs_to() -> None:
    """A child's slots are its memory of what it does: one too many would be written over."""
    bots = tuple(f"bot{number}" for number in range(6))
    world = following(replace(POLICY, workers=1, slots=3), bots)
    world.store_object("a.mp4")
    jobs = [submit(world, bot) for bot in bots]
    world.run(2.0)
    assert len(sends(world)) == 2
    ready(world, *jobs)


def test_it_can_be_turned_off() -> None:
    """An operator whose Bot API server takes slow uploads for dead ones could do nothing."""
    world = following(replace(POLICY, cut_through=False))
    world.store_object("a.mp4")
    ready(world, submit(world))
    assert [getattr(verb, "behind", 0) for verb in sends(world)] == [0]


# -- relaying --------------------------------------------------------------------------------


@pytest.mark.parametrize("known", [True, False])
def test_a_large_object_passes_through(known: bool) -> None:
    """What does not fit into the cache could not be warmed at all."""
    world = World(policy=RELAYING)
    sha256 = world.store_object("a.mp4", size=LARGE)
    job = submit(world) if known else world.submit("alpha", "a.mp4", Kind.VIDEO)
    ready(world, job)
    (relay,) = sends(world)
    assert isinstance(relay, verbs.Relay)
    assert sealed(world) == [relay.task]
    row = world.catalogue["alpha", sha256, "video"]
    assert row is not None
    assert row.size_bytes == LARGE
    assert world.gets == ([] if known else ["a.mp4"])


def test_it_needs_no_memory() -> None:
    """Twenty of them would push each other out of the cache, or wait for it."""
    world = World(policy=RELAYING)
    jobs = []
    for number in range(20):
        world.store_object(f"{number}.mp4", size=LARGE)
        jobs.append(submit(world, key=f"{number}.mp4"))
    world.run(0.03)
    assert len(sends(world)) == RELAYING.workers * RELAYING.slots
    assert world.engine.desk.bytes_under_way == 0
    ready(world, *jobs)
    assert world.engine.desk.cache.misses == 0


def test_a_relay_of_what_is_ready_leaves_no_message() -> None:
    """Two gigabytes would be sent to find out that they had been."""
    world = World(policy=RELAYING)
    for key in ("a.mp4", "b.mp4"):
        world.store_object(key, "the same", size=LARGE)
    ready(world, submit(world))
    ready(world, submit(world, key="b.mp4"))
    assert len(world.messages) == 1


def test_an_object_that_has_not_changed_is_not_read_again() -> None:
    """After a restart two gigabytes would be read for each job that wants them."""
    world = World(policy=RELAYING)
    world.store_object("a.mp4", size=LARGE)
    ready(world, submit(world))
    world.run(RELAYING.ttl_s + 1)
    ready(world, submit(world))
    assert len(sends(world)) == 1
    assert len(world.gets) == 1


@pytest.mark.parametrize("size_bytes", [LARGE + PAGE, PAGE])
def test_an_object_of_another_size_than_was_said(size_bytes: int) -> None:
    """The request names its length beforehand: it would be cut, or never end."""
    world = World(policy=RELAYING)
    sha256 = world.store_object("a.mp4", size=size_bytes)
    job = world.submit("alpha", "a.mp4", Kind.VIDEO, size_bytes=LARGE)
    ready(world, job)
    row = world.catalogue["alpha", sha256, "video"]
    assert row is not None
    assert row.size_bytes == size_bytes
    assert len(world.messages) == 1


@pytest.mark.parametrize(
    ("code", "state"),
    [
        ("NoSuchKey", JobState.FAILED), ("StoreError", JobState.READY),
        ("BadCredentials", JobState.READY), ("TooManyRequests", JobState.READY),
    ],
)  # fmt: skip
def test_what_goes_wrong_at_either_end(code: str, state: JobState) -> None:
    """A relay's store is not its Telegram: the wrong one would be closed."""
    world = World(policy=RELAYING)
    world.store_object("a.mp4", size=LARGE)
    world.fates = fates_of(Refused(code, retry_after_s=3.0), of=verbs.Relay)
    job = submit(world)
    world.run(0.5)
    bot, gate = world.engine.desk.bots["alpha"], world.engine.desk.buckets.gate("m")
    assert bot.gate.is_open
    assert gate.is_open == (code != "BadCredentials")
    assert (bot.lanes[0].paused_until > world.now) == (code == "TooManyRequests")
    world.finish()
    assert world.state(job) is state
    world.check_quiet()


def test_a_relay_waits_for_its_bucket() -> None:
    """Each would find out anew that the store is away, and hold its lane meanwhile."""
    world = World(policy=RELAYING)
    jobs = []
    for number in range(12):
        world.store_object(f"{number}.mp4", size=LARGE)
        jobs.append(submit(world, key=f"{number}.mp4"))
    world.fates = fates_of(*[Refused("StoreUnreachable")] * 8, of=verbs.Relay)
    world.run(0.5)
    assert len(sends(world)) <= 9
    ready(world, *jobs)


def test_a_poisonous_large_object_is_convicted() -> None:
    """It would kill children for ever, because no GET of it is counted."""
    world = World(policy=RELAYING)
    world.store_object("a.mp4", size=LARGE)
    world.fates = lambda verb: Dies() if isinstance(verb, verbs.Relay) else None
    job = submit(world)
    world.finish()
    assert world.rows[job].code == "Poison"
    assert len(sends(world)) == 3
    world.check_quiet()


def test_the_largest_is_what_telegram_takes_not_what_fits() -> None:
    """With a local server 2000 MB are allowed."""
    sizes = dict.fromkeys(Kind, 2000 << 20)
    world = World(policy=replace(RELAYING, size_max=sizes))
    for key, size_bytes in (("a.mp4", 2000 << 20), ("b.mp4", (2000 << 20) + 1)):
        world.store_object(key, size=size_bytes)
    fits, not_ = submit(world), submit(world, key="b.mp4")
    world.finish()
    assert world.state(fits) is JobState.READY
    assert world.rows[not_].code == "TooLarge"


def test_an_old_address_tells_nothing_of_a_chat_that_has_moved_on() -> None:
    """A relay takes minutes, and its answer may name a chat that has moved once more since: all
    later ones would be sent there, and a pause of the new one be forgotten."""
    world = World(["alpha"], replace(RELAYING, slots=8))
    world.upload_s = 3.0
    world.store_object("slow.mp4", size=LARGE)
    world.fates = fates_of(Refused("ChatMigrated", migrated_to=-200), of=verbs.Relay)
    slow = submit(world, key="slow.mp4")
    world.run(1.0)
    assert len(sends(world)) == 1
    lane = world.engine.desk.bots["alpha"].lanes[0]
    lane.chat_id = -300  # as others were told meanwhile
    world.finish()
    assert world.state(slow) is JobState.READY
    assert lane.chat_id == -300
    assert {message.chat_id for message in world.messages} == {-300}


def test_who_joins_a_download_that_is_landing_follows_at_once() -> None:
    """It would wait for whatever turn comes next, a second or more on a quiet day."""
    world = following()
    world.store_object("a.mp4")
    first = submit(world)
    world.run(2.0)
    second = submit(world, "beta")
    world.turn()
    assert [verb.bot for verb in sends(world)] == ["alpha", "beta"]
    ready(world, first, second)


def test_another_chat_follows_once_it_may() -> None:
    """The chat that follows already would be looked at again and again, and the other forgotten."""
    world = following(bots=[TWO_CHATS])
    for key in ("a.mp4", "b.mp4"):
        world.store_object(key)
    world.put(events.HoldsRemembered([records.Hold("alpha", 101, world.now + 2.0, 1.0)]))
    jobs = [submit(world, key=key) for key in ("a.mp4", "b.mp4")]
    world.run(1.9)
    assert [verb.chat_id for verb in sends(world)] == [100]
    world.run(0.2)
    assert [verb.chat_id for verb in sends(world)] == [100, 101]
    ready(world, *jobs)
