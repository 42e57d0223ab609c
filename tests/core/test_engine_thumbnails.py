"""Uploads whose child fetches a thumbnail first: what a job says reaches its child, and what goes
wrong at the store is the store's, or the thumbnail's, never Telegram's."""

from dataclasses import replace

import pytest

from prewarmd.core import verbs
from prewarmd.core.about import About
from prewarmd.core.extents import PAGE
from prewarmd.core.jobs import JobId, JobState, Kind
from prewarmd.core.lanes import LimitPolicy
from prewarmd.core.policy import EnginePolicy
from tests.core.outside import Refused, fates_of
from tests.core.world import World

POLICY = EnginePolicy(workers=1, slots=8, limits=LimitPolicy(paced=False))
RELAYING = replace(POLICY, cache_bytes=64 * PAGE, relay_share=0.25)
FILM = About(640, 360, 12.5, "thumbs/a.jpg")


def submit(world: World, key: str = "a.mp4", about: About | None = FILM, **more: str) -> JobId:
    """A film in the bucket, or one that is there."""
    size_bytes = 20 * PAGE if world.policy is RELAYING else 5000
    world.store_object(key, more.get("text", ""), size=size_bytes)
    return world.submit("alpha", key, Kind.VIDEO, size_bytes=size_bytes, about=about)


def sends(world: World) -> list[verbs.Upload | verbs.Relay]:
    return [verb for _, verb in world.told if isinstance(verb, verbs.Upload | verbs.Relay)]


def assert_nobody_is_blamed(world: World) -> None:
    """Neither the bot nor its chat."""
    bot = world.engine.desk.bots["alpha"]
    assert bot.gate.is_open
    assert bot.lanes[0].gate.is_open
    assert bot.lanes[0].paused_until == 0.0


@pytest.mark.parametrize("policy", [POLICY, RELAYING])
def test_what_a_job_says_goes_to_its_child(policy: EnginePolicy) -> None:
    """It would be lost between queue and Telegram, and nobody could add it later."""
    world = World(policy=policy)
    jobs = [submit(world), submit(world, "b.mp4", None), submit(world, "c.mp4", About(1, 1))]
    world.finish()
    assert [world.state(job) for job in jobs] == [JobState.READY] * 3
    told = {verb.job: (verb.about, verb.bucket) for verb in sends(world)}
    nowhere = "m" if policy is RELAYING else ""
    assert told[jobs[0]] == (FILM, "m")
    assert told[jobs[1]] == (None, nowhere)
    assert told[jobs[2]] == (About(1, 1), nowhere)
    world.check_quiet()


@pytest.mark.parametrize("policy", [POLICY, RELAYING])
@pytest.mark.parametrize("code", ["NoThumbnail", "UnfitThumbnail"])
def test_a_bad_thumbnail_fails_its_job_alone(policy: EnginePolicy, code: str) -> None:
    """Its object, its bucket and its bot are as good as before."""
    world = World(policy=policy)
    kind = verbs.Relay if policy is RELAYING else verbs.Upload
    world.fates = fates_of(Refused(code), of=kind)
    bad, good = submit(world), submit(world, "b.mp4")
    world.finish()
    assert (world.state(bad), world.rows[bad].code) == (JobState.FAILED, code)
    assert world.state(good) is JobState.READY
    assert_nobody_is_blamed(world)
    assert world.engine.desk.buckets.gate("m").is_open
    world.check_quiet()


def test_who_shared_its_upload_goes_on_without_its_thumbnail() -> None:
    """The same content under another key: it followed, and now leads with what it says itself."""
    world = World(policy=POLICY)
    world.fates = fates_of(Refused("NoThumbnail"), of=verbs.Upload)
    bad, other = submit(world, text="same"), submit(world, "b.mp4", None, text="same")
    world.finish()
    assert [world.state(job) for job in (bad, other)] == [JobState.FAILED, JobState.READY]
    assert len(world.messages) == 1
    world.check_quiet()


@pytest.mark.parametrize(
    "code", ["StoreError", "StoreTimeout", "StoreUnreachable", "ObjectChanged"]
)
def test_a_store_that_fails_is_asked_again(code: str) -> None:
    """As for any object; Telegram is not held for down because a bucket is."""
    world = World(policy=POLICY)
    world.fates = fates_of(*[Refused(code)] * 3, of=verbs.Upload)
    job = submit(world)
    world.run(0.5)
    assert_nobody_is_blamed(world)
    assert world.engine.desk.buckets.gate("m").is_open == (code != "StoreUnreachable")
    world.finish()
    assert world.state(job) is JobState.READY
    assert world.rows[job].attempt == 0
    world.check_quiet()


def test_it_waits_for_its_bucket() -> None:
    """Those whose bytes are here already would each find out anew that the store is away, and spend
    their chat's pace on that."""
    world = World(policy=EnginePolicy(workers=1, slots=16))
    jobs = [submit(world, f"{number}.mp4") for number in range(12)]
    world.fates = fates_of(*[Refused("StoreUnreachable")] * 20, of=verbs.Upload)
    world.run(6.5)
    assert len(sends(world)) <= 6, "a volley, and probes after 1, 2 and 4 seconds"
    world.finish()
    assert {world.state(job) for job in jobs} == {JobState.READY}
    world.check_quiet()


@pytest.mark.parametrize("code", ["NoThumbnail", "StoreError"])
def test_a_download_that_is_followed_goes_on_without(code: str) -> None:
    """Its bytes are wanted by others, or again."""
    world = World(policy=POLICY)
    world.landing_from_bytes, world.get_s = 1, 4.0
    world.fates = fates_of(Refused(code), of=verbs.Upload)
    job = submit(world)
    world.finish()
    first, *_ = sends(world)
    assert isinstance(first, verbs.Upload)
    assert first.behind
    failed = code == "NoThumbnail"
    assert world.state(job) is (JobState.FAILED if failed else JobState.READY)
    assert sum(isinstance(verb, verbs.Fetch) for _, verb in world.told) == 1
    assert_nobody_is_blamed(world)
    world.check_quiet()
