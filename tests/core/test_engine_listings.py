"""Prefixes: listed page by page, no faster than the queue takes them, through the same gates."""

from prewarmd.core import commands, events, verbs
from prewarmd.core.jobs import JobState
from prewarmd.core.policy import EnginePolicy
from tests.core.outside import Dies, Fates, Refused, fates_of
from tests.core.world import World


def opened(world: World, *batches: int, bucket: str = "m") -> None:
    for batch in batches:
        world.put(events.BatchOpened(batch, bucket, "", ""))


def pages(world: World) -> list[int]:
    """The batches of which a page was submitted."""
    return [c.batch for _, c in world.out if isinstance(c, commands.SubmitPage)]


def refused_once(world: World, then: Fates) -> None:
    """A GET closes the bucket; what comes after it is up to `then`."""
    world.store_object("a.jpg")
    world.fates = fates_of(Refused("BadCredentials"), of=verbs.Fetch)
    job = world.submit("alpha", "a.jpg")
    world.run(0.5)
    assert world.engine.readiness(world.now)
    world.ask(events.CancelAsked, job)
    world.fates = then


def test_a_prefix_is_listed_and_submitted() -> None:
    """A backfill would not begin."""
    world = World()
    world.store_object("a.jpg")
    world.store_object("b.jpg")
    opened(world, 7)
    world.run(1.0)
    (page,) = [c for _, c in world.out if isinstance(c, commands.SubmitPage)]
    assert [key for key, _, _ in page.objects] == ["a.jpg", "b.jpg"]
    assert (page.batch, page.done) == (7, True)
    assert len(world.engine.listings) == 0


def test_a_listing_goes_on_after_trouble() -> None:
    """One lost answer would end a backfill half-way."""
    world = World()
    world.fates = fates_of(Refused("StoreTimeout"), Dies(), Refused("StoreError"), of=verbs.List)
    opened(world, 7)
    world.run(60.0)
    assert pages(world) == [7]
    assert len(world.all_of(verbs.List)) == 4


def test_a_listing_that_fails_for_good_says_so() -> None:
    """A backfill would be under way for ever."""
    world = World()
    world.fates = fates_of(*[Refused("StoreError")] * 99, of=verbs.List)
    opened(world, 7)
    world.run(3600.0)
    failed = [c for _, c in world.out if isinstance(c, commands.FailBatch)]
    assert [(c.batch, c.code) for c in failed] == [(7, "StoreError")]


def test_listings_never_run_ahead_of_the_queue() -> None:
    """A thousand prefixes would put a million jobs more into memory than there may be."""
    world = World(policy=EnginePolicy(workers=2, slots=4, capacity=1500))
    world.commit_s = 1.0
    opened(world, *range(5))
    world.run(0.5)
    assert len(world.all_of(verbs.List)) == 1


def test_a_listing_that_opens_a_bucket_wakes_its_jobs() -> None:
    """The bucket is well again, and jobs would wait until something else happens to their bot."""
    world = World()
    refused_once(world, then=lambda verb: None)
    opened(world, 7)
    world.get_s = 0.5
    world.run(0.7)
    job = world.submit("alpha", "a.jpg")  # while the listing is the one probe
    world.finish(limit_s=60.0)
    assert world.state(job) is JobState.READY


def test_a_listing_that_finds_a_bucket_closed_still_lets_others_probe() -> None:
    """Jobs that waited for its answer would never ask again."""
    world = World()
    refused_once(world, then=fates_of(Refused("BadCredentials"), of=verbs.List))
    opened(world, 7)
    world.get_s = 0.5
    world.run(0.7)
    job = world.submit("alpha", "a.jpg")
    world.finish(limit_s=60.0)
    assert world.state(job) is JobState.READY


def test_a_bucket_does_not_stay_closed_because_its_probe_died() -> None:
    """A child that dies at the wrong moment would stop the bucket until a restart."""
    world = World()
    refused_once(world, then=fates_of(Dies(), of=verbs.List))
    opened(world, 7)
    world.run(60.0)
    assert pages(world) == [7]
    assert world.engine.readiness(world.now) == []


def test_a_bucket_does_not_stay_closed_because_its_probe_was_given_up() -> None:
    """A listing that had failed often would take the bucket with it."""
    world = World()
    refused_once(world, then=fates_of(*[Refused("StoreError")] * 8, of=verbs.List))
    opened(world, 7)
    world.run(3600.0)
    assert [c.batch for _, c in world.out if isinstance(c, commands.FailBatch)] == [7]
    job = world.submit("alpha", "a.jpg")
    world.finish(limit_s=60.0)
    assert world.state(job) is JobState.READY
