"""What slows a job down and what it must not slow down: limits, refusals, order."""

from collections.abc import Callable
from itertools import pairwise

import pytest

from prewarmd.core import records, verbs
from prewarmd.core.backoff import RetryPolicy
from prewarmd.core.jobs import JobId, JobState, Kind
from prewarmd.core.lanes import LimitPolicy
from prewarmd.core.policy import BotSpec, EnginePolicy
from tests.core.outside import Fate, Refused, fates_of
from tests.core.world import World

UNPACED = LimitPolicy(paced=False)
ONE_AT_A_TIME = EnginePolicy(workers=1, slots=1, limits=UNPACED)


def many(world: World, bot: str, count: int, prefix: str = "", bucket: str = "m") -> list[JobId]:
    keys = [f"{bot}-{prefix}{number}.jpg" for number in range(count)]
    for key in keys:
        world.store_object(key, bucket=bucket)
    return [world.submit(bot, key, bucket=bucket) for key in keys]


def ready(world: World, *jobs: JobId) -> None:
    world.finish()
    assert {world.state(job) for job in jobs} == {JobState.READY}
    world.check_quiet()


def sent_at(world: World, chat_id: int) -> list[float]:
    """When uploads to a chat began."""
    return [at for at, v in world.told if isinstance(v, verbs.Upload) and v.chat_id == chat_id]


def most_within(times: list[float], window_s: float) -> int:
    return max(sum(first <= at < first + window_s - 1e-9 for at in times) for first in times)


def refusing(code: str, **of: str) -> Callable[[verbs.Verb], Fate | None]:
    """Every verb whose attributes are those meets a refusal."""

    def decide(verb: verbs.Verb) -> Fate | None:
        mine = all(getattr(verb, name, None) == value for name, value in of.items())
        return Refused(code) if mine else None

    return decide


# -- Telegram's limits -----------------------------------------------------------------------


def test_a_private_chat_is_sent_to_at_its_pace() -> None:
    """The bot would earn a 429 and stand still."""
    world = World(["alpha"])
    ready(world, *many(world, "alpha", 40))
    times = sent_at(world, 100)
    assert most_within(times, 1.0) <= 3
    assert most_within(times, 10.0) <= 12
    assert times[-1] - times[0] == pytest.approx(37, abs=1)


def test_many_chats_of_one_bot_share_its_rate() -> None:
    """Forty chats would break the limit of thirty a second."""
    chats = tuple((chat, "private") for chat in range(40))
    policy = EnginePolicy(workers=4, slots=64)
    world = World([BotSpec("alpha", chats)], policy)
    ready(world, *many(world, "alpha", 90))
    times = [at for at, verb in world.told if isinstance(verb, verbs.Upload)]
    assert most_within(times, 1.0) <= 30
    assert times[-1] - times[0] < 4


def test_the_profile_none_is_bounded_by_slots_only() -> None:
    """A local Bot API server would stand idle."""
    world = World(["alpha"], EnginePolicy(workers=2, slots=8, limits=UNPACED))
    jobs = many(world, "alpha", 200)
    start = world.now
    ready(world, *jobs)
    assert world.now - start < 200 / 16 * (0.02 * 2 + 0.05) + 1


def test_a_429_pauses_one_chat_only() -> None:
    """One punished chat would stop its bot, and the other bots."""
    world = World([BotSpec("alpha", ((1, "private"), (2, "private"))), "beta"])
    world.fates = fates_of(Refused("TooManyRequests", retry_after_s=30.0), of=verbs.Upload)
    jobs = many(world, "alpha", 20) + many(world, "beta", 10)
    start = world.now
    ready(world, *jobs)
    punished = world.all_of(verbs.Upload)[0]
    assert isinstance(punished, verbs.Upload)
    other = 3 - punished.chat_id if punished.bot == "alpha" else 1
    assert world.now - start < 25, "what could go on has waited"
    assert len(sent_at(world, other)) > 15
    assert [at for at in sent_at(world, punished.chat_id) if start + 1 < at < start + 30] == []


def test_a_429_is_not_the_jobs_fault() -> None:
    """Waiting would burn attempts, and good jobs fail after a busy hour."""
    world = World(["alpha"], EnginePolicy(workers=1, slots=2))
    flood = [Refused("TooManyRequests", retry_after_s=3.0)] * 20
    world.fates = fates_of(*flood, of=verbs.Upload)
    (job,) = many(world, "alpha", 1)
    ready(world, job)
    assert not any(isinstance(r, records.Snooze) for r in world.rows[job].history)
    times = sent_at(world, 100)
    assert len(times) == 21
    assert min(b - a for a, b in pairwise(times)) >= 3.0
    assert world.gets == ["alpha-0.jpg"]


def test_bytes_are_not_held_through_a_long_pause() -> None:
    """A paused bot would keep the memory from those who could use it."""
    world = World(["alpha", "beta"], EnginePolicy(workers=2, slots=4, cache_bytes=8 * 4096))
    world.fates = fates_of(
        *[Refused("TooManyRequests", retry_after_s=600.0)] * 3, of=verbs.Upload, bot="alpha"
    )
    paused = many(world, "alpha", 4)
    world.run(2.0)
    ready_first = many(world, "beta", 10)
    world.run(30.0)
    assert {world.state(job) for job in ready_first} == {JobState.READY}
    assert {world.state(job) for job in paused} == {JobState.QUEUED}
    ready(world, *paused)


def test_a_lane_with_all_it_may_have_in_flight_waits_quietly() -> None:
    """Slow uploads: all that is loaded would be put back and loaded again at every turn."""
    world = World(["alpha"], EnginePolicy(workers=2, slots=32))
    world.upload_s = 40.0
    jobs = many(world, "alpha", 30)
    world.run(30.0)
    assert len(world.uploads) == 10
    released = [c for _, c in world.out if isinstance(c, records.Release)]
    assert released == []
    ready(world, *jobs)


def test_a_chat_that_moved_is_followed() -> None:
    """A group that became a supergroup would end the warming of its bot."""
    world = World(["alpha"])
    world.fates = fates_of(Refused("ChatMigrated", migrated_to=-777), of=verbs.Upload)
    ready(world, *many(world, "alpha", 3))
    assert {message.chat_id for message in world.messages} <= {-777, 100}
    assert world.messages[-1].chat_id == -777


def test_what_was_sent_before_a_chat_moved_is_known_where_it_was_sent() -> None:
    """The catalogue would name a message of the new chat that is not there."""
    world = World(["alpha"])
    world.fates = fates_of(Refused("ChatMigrated", migrated_to=-777), of=verbs.Upload)
    ready(world, *many(world, "alpha", 3))
    known = {record.job: record.chat_id for record in world.catalogue.values() if record}
    assert known == {message.job: message.chat_id for message in world.messages}
    assert set(known.values()) == {100, -777}


def test_an_unknown_chat_is_asked_about_and_then_paced() -> None:
    """A private chat would be used at a third of its rate for ever."""
    world = World([BotSpec("alpha", ((5, None),))])
    jobs = many(world, "alpha", 20)
    start = world.now
    ready(world, *jobs)
    assert len(world.all_of(verbs.AskChat)) == 1
    assert world.now - start < 20


# -- refusals --------------------------------------------------------------------------------


def test_wrong_credentials_close_the_bucket_and_keep_the_jobs() -> None:
    """A typing error in a secret would fail a million jobs, or ask a million times."""
    world = World()
    world.fates = refusing("BadCredentials", bucket="m")
    jobs = many(world, "alpha", 30) + many(world, "beta", 30)
    world.run(60.0)
    assert {world.state(job) for job in jobs} == {JobState.QUEUED}
    assert not any(isinstance(r, records.Snooze) for job in jobs for r in world.rows[job].history)
    assert len(world.gets) <= 8 + 7  # a volley of all slots, then one probe at a time
    reasons = world.engine.readiness(world.now)
    assert [code for code, _ in reasons] == ["BadCredentials"]
    assert reasons[0][1].startswith("bucket m: ")
    world.fates = lambda verb: None
    ready(world, *jobs)
    assert world.engine.readiness(world.now) == []


def test_a_refusing_bucket_leaves_the_others_alone() -> None:
    """One bot's jobs of a second bucket would wait for the first one's credentials."""
    world = World(["alpha"])
    world.fates = refusing("BadCredentials", bucket="locked")
    locked = many(world, "alpha", 5, "locked-", bucket="locked")
    world.run(1.0)
    free = many(world, "alpha", 5)
    world.run(30.0)
    assert {world.state(job) for job in free} == {JobState.READY}
    assert {world.state(job) for job in locked} == {JobState.QUEUED}


def test_a_refused_token_closes_its_bot_only() -> None:
    """One revoked token would stop a platform of thousands."""
    world = World()
    world.fates = refusing("Unauthorized", bot="alpha")
    closed, others = many(world, "alpha", 10), many(world, "beta", 10)
    world.run(30.0)
    assert {world.state(job) for job in others} == {JobState.READY}
    assert {world.state(job) for job in closed} == {JobState.QUEUED}
    assert len(sent_at(world, 100)) <= 3 + 3
    assert [code for code, _ in world.engine.readiness(world.now)] == ["Unauthorized"]
    world.fates = lambda verb: None
    ready(world, *closed)
    assert world.engine.readiness(world.now) == []


def test_a_chat_that_refuses_us_is_left_for_another() -> None:
    """A bot that was thrown out of one of its chats would stop."""
    world = World([BotSpec("alpha", ((1, "private"), (2, "private")))])
    jobs = many(world, "alpha", 10)
    refuse = Refused("ChatRefused")
    world.fates = lambda v: refuse if isinstance(v, verbs.Upload) and v.chat_id == 1 else None
    ready(world, *jobs)
    assert {message.chat_id for message in world.messages} == {2}
    (reason,) = world.engine.readiness(world.now)
    assert reason == ("ChatRefused", "bot alpha, chat 1: as the test wants")


def test_a_media_that_telegram_refuses_fails_alone() -> None:
    """One broken photo would close the chat, or be sent again and again."""
    world = World(["alpha"])
    world.fates = fates_of(Refused("MediaRefused"), of=verbs.Upload, key="alpha-3.jpg")
    jobs = many(world, "alpha", 8)
    world.finish()
    assert [world.state(job) for job in jobs].count(JobState.READY) == 7
    assert world.rows[jobs[3]].code == "MediaRefused"
    assert world.uploads.count(jobs[3]) == 1
    world.check_quiet()


def test_a_photo_that_was_not_sent_opens_no_chat() -> None:
    """It fails without Telegram being asked: a chat that had thrown the bot out would count as good
    again, and others would be sent there to be refused."""
    world = World(["alpha"])
    unfit = [Refused("ChatRefused"), Refused("UnfitPhoto")]
    world.fates = fates_of(*unfit, of=verbs.Upload)
    jobs = many(world, "alpha", 3)
    while not any(world.state(job) is JobState.FAILED for job in jobs):
        world.run(0.001)
    assert [code for code, _ in world.engine.readiness(world.now)] == ["ChatRefused"]
    world.finish()
    assert [world.state(job) for job in jobs].count(JobState.READY) == 2
    world.check_quiet()


def test_the_daemon_says_that_it_is_not_ready_before_its_children_are() -> None:
    """A load balancer would send to a daemon that can do nothing."""
    world = World()
    world.kill(0)
    world.kill(1)
    world.boot_s = 5.0
    world.run(1.0)
    assert world.engine.readiness(world.now) == [("NoChildren", "no child is up")]
    world.run(10.0)
    assert world.engine.readiness(world.now) == []


# -- order -----------------------------------------------------------------------------------


def test_jobs_start_in_the_order_of_their_score() -> None:
    """A small photo would wait behind all the videos."""
    world = World(["alpha"], ONE_AT_A_TIME)
    wanted = {
        "urgent": (Kind.VIDEO, 30_000_000, 255),
        "tiny photo": (Kind.PHOTO, 50_000, None),
        "tiny document": (Kind.DOCUMENT, 50_000, None),
        "small photo": (Kind.PHOTO, 500_000, None),
        "photo": (Kind.PHOTO, 5_000_000, None),
        "first audio": (Kind.AUDIO, 5_000_000, None),
        "second audio": (Kind.AUDIO, 5_000_000, None),
        "video": (Kind.VIDEO, 5_000_000, None),
        "large video": (Kind.VIDEO, 30_000_000, None),
        "last": (Kind.PHOTO, 50_000, 0),
    }
    for key in [*list(wanted)[5:], *list(wanted)[:5]]:
        kind, size_bytes, priority = wanted[key]
        world.store_object(key, size=size_bytes)
        world.submit("alpha", key, kind, size_bytes=size_bytes, priority=priority)
    world.finish()
    assert world.gets == list(wanted)


def test_a_job_that_is_not_young_any_more_loses_its_bonus() -> None:
    """Who came first would wait for all that come after, or never lose a bonus it once had."""
    world = World(["alpha"], ONE_AT_A_TIME)
    world.get_s = 70.0
    for key in ("slow", "old", "less old", "new"):
        world.store_object(key)
    world.submit("alpha", "slow", Kind.DOCUMENT, size_bytes=5000)
    world.run(1.0)
    world.submit("alpha", "old", Kind.DOCUMENT, size_bytes=5000)
    world.run(55.0)
    world.submit("alpha", "less old", Kind.DOCUMENT, size_bytes=5000)
    world.run(6.0)
    world.submit("alpha", "new", Kind.DOCUMENT, size_bytes=5000)
    world.get_s = 1.0
    world.finish()
    assert world.gets == ["slow", "less old", "new", "old"]


def test_bots_take_turns() -> None:
    """A bot with a backfill of a million would keep all others waiting."""
    world = World(["alpha", "beta", "gamma"], ONE_AT_A_TIME)
    many(world, "alpha", 20)
    many(world, "beta", 3)
    many(world, "gamma", 3)
    world.finish()
    first = [key.partition("-")[0] for key in world.gets[:9]]
    assert sorted(first) == ["alpha"] * 3 + ["beta"] * 3 + ["gamma"] * 3


def test_a_job_that_must_wait_makes_room_for_the_next() -> None:
    """Two objects fail, and everything else of their bot stands still until they are tried
    again."""
    world = World(
        ["alpha"],
        EnginePolicy(
            workers=1, slots=8, prefetch_horizon_s=0.0, retry=RetryPolicy(base_s=1e3, cap_s=1e3)
        ),
    )
    world.fates = fates_of(*[Refused("StoreError")] * 2, of=verbs.Fetch)
    bad, good = many(world, "alpha", 2, "bad"), many(world, "alpha", 5, "good")
    world.run(10.0)
    assert [world.state(job) for job in bad] == [JobState.WAITING] * 2
    assert {world.state(job) for job in good} == {JobState.READY}
