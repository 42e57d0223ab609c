"""From key to bytes to ready: nothing is fetched twice, nothing is uploaded twice."""

from dataclasses import replace

import pytest

from prewarmd.core import records, verbs
from prewarmd.core.extents import PAGE
from prewarmd.core.jobs import JobId, JobState, Kind
from prewarmd.core.policy import EnginePolicy
from tests.core.outside import NoMemory, Refused, fates_of
from tests.core.world import World, content_of

TTL_S = 300.0


def small(pages: int, **changes: float) -> EnginePolicy:
    policy = EnginePolicy(workers=2, slots=4, cache_bytes=pages * PAGE)
    return replace(policy, **changes)  # type: ignore[arg-type]  # numbers, all of them


def ready(world: World, *jobs: JobId) -> None:
    world.finish()
    assert [world.state(job) for job in jobs] == [JobState.READY] * len(jobs)
    world.check_quiet()


def test_one_job_is_fetched_and_uploaded_and_ready() -> None:
    """The whole purpose."""
    world = World()
    sha256 = world.store_object("a.jpg")
    job = world.submit("alpha", "a.jpg")
    ready(world, job)
    assert world.gets == ["a.jpg"]
    assert world.uploads == [job]
    row = world.catalogue["alpha", sha256, "photo"]
    assert row is not None
    assert (row.chat_id, row.size_bytes, row.duplicates) == (100, 5000, 0)
    assert world.messages[0].sha256 == sha256


def test_two_bots_ask_for_one_object() -> None:
    """Each bot's share of traffic and time would be paid again: one GET, two file_ids."""
    world = World()
    sha256 = world.store_object("a.jpg")
    jobs = [world.submit(bot, "a.jpg") for bot in ("alpha", "beta")]
    ready(world, *jobs)
    assert world.gets == ["a.jpg"]
    assert world.answered == {("alpha", sha256, "photo"): 1, ("beta", sha256, "photo"): 1}


def test_a_bot_that_asks_later_finds_it_in_the_cache() -> None:
    """The store would be asked for what lies in memory."""
    world = World()
    world.store_object("a.jpg")
    ready(world, world.submit("alpha", "a.jpg"))
    ready(world, world.submit("beta", "a.jpg"))
    assert world.gets == ["a.jpg"]
    assert len(world.uploads) == 2


def test_a_bot_that_asks_during_the_get_waits_for_it() -> None:
    """A popular object would be fetched once for each bot that is quick enough."""
    world = World()
    world.get_s = 1.0
    world.store_object("a.jpg")
    first = world.submit("alpha", "a.jpg")
    world.run(0.3)
    ready(world, first, world.submit("beta", "a.jpg"))
    assert world.gets == ["a.jpg"]


@pytest.mark.parametrize("ttl_s", [0.0, 5.0])
@pytest.mark.parametrize("wait_s", [0.0, 4.0, 6.0])
def test_a_get_is_believed_as_long_as_the_cache_is(wait_s: float, ttl_s: float) -> None:
    """Who submits an object that was overwritten during a long GET would be told that it is ready,
    and have the old one."""
    world = World(policy=EnginePolicy(workers=2, slots=4, ttl_s=ttl_s))
    world.get_s = 10.0
    old = world.store_object("a.jpg", "old")
    first = world.submit("alpha", "a.jpg")
    second = world.submit("beta", "a.jpg")
    world.run(0.01)
    world.run(wait_s)
    new = world.store_object("a.jpg", "new")
    late = world.submit("alpha", "a.jpg", Kind.DOCUMENT)
    world.run(0.01)
    later = world.submit("beta", "a.jpg", Kind.DOCUMENT)
    ready(world, first, second, late, later)
    contents = {message.job: message.sha256 for message in world.messages}
    joins = wait_s < ttl_s
    assert (contents[first], contents[second]) == (old, old)
    assert (contents[late], contents[later]) == ((old, old) if joins else (new, new))
    assert len(world.gets) == (1 if joins else 3 - (ttl_s > 0.0))


def test_an_old_gets_answer_does_not_hide_what_a_newer_one_told() -> None:
    """For a while all would be given an object's old content, although the new one is known."""
    world = World(policy=EnginePolicy(workers=2, slots=4, ttl_s=5.0))
    world.get_s = 10.0
    world.store_object("a.jpg", "old")
    first = world.submit("alpha", "a.jpg")
    world.run(6.0)
    new = world.store_object("a.jpg", "new")
    world.get_s = 1.0
    second = world.submit("beta", "a.jpg")
    world.run(4.5)
    third = world.submit("alpha", "a.jpg", Kind.DOCUMENT)
    ready(world, first, second, third)
    contents = {message.job: message.sha256 for message in world.messages}
    assert (contents[second], contents[third]) == (new, new)


@pytest.mark.parametrize("wait_s", [0.0, 0.01, 0.03, 0.06, 1.0])
def test_the_same_content_under_two_keys_is_uploaded_once(wait_s: float) -> None:
    """A chat would get the picture twice; the second job shares the first one's upload."""
    world = World()
    for key in ("a.jpg", "copy.jpg"):
        sha256 = world.store_object(key, "the same")
    first = world.submit("alpha", "a.jpg")
    world.run(wait_s)
    second = world.submit("alpha", "copy.jpg")
    ready(world, first, second)
    assert world.uploads == [first]
    (last,) = [r for r in world.rows[second].history if isinstance(r, records.Join)]
    assert (last.bot, last.sha256, last.size_bytes) == ("alpha", sha256, 5000)


def test_another_kind_of_the_same_content_is_another_upload() -> None:
    """A file_id is bound to its kind: a photo's cannot be sent as a document."""
    world = World()
    world.store_object("a.jpg")
    jobs = [world.submit("alpha", "a.jpg", kind) for kind in (Kind.PHOTO, Kind.DOCUMENT)]
    ready(world, *jobs)
    assert world.gets == ["a.jpg"]
    assert sorted(m.kind for m in world.messages) == ["document", "photo"]


@pytest.mark.parametrize("wait_s", [0.0, 0.01, 10.0])
def test_a_key_that_carries_its_content_needs_no_get_for_the_second_bot(wait_s: float) -> None:
    """With the seed's layout the same picture lies under each bot's prefix."""
    world = World()
    sha256 = content_of("x")
    world.store_object(f"alpha/photo/{sha256}.jpg", "x")
    first = world.submit("alpha", f"alpha/photo/{sha256}.jpg")
    world.run(wait_s)
    second = world.submit("beta", f"beta/photo/{sha256}.jpg")
    ready(world, first, second)
    assert world.gets == [f"alpha/photo/{sha256}.jpg"]


def test_what_the_catalogue_knows_is_ready_without_a_byte() -> None:
    """A restart would upload everything again."""
    world = World()
    sha256 = content_of("x")
    world.catalogue["alpha", sha256, "photo"] = None
    ready(world, world.submit("alpha", "x.jpg", sha256=sha256))
    assert world.gets == []
    assert world.uploads == []


def test_content_that_turns_out_to_be_ready_is_not_uploaded() -> None:
    """A copy under a new key would be one more message."""
    world = World()
    world.catalogue["alpha", world.store_object("x.jpg"), "photo"] = None
    ready(world, world.submit("alpha", "x.jpg"))
    assert world.gets == ["x.jpg"]
    assert world.uploads == []


def test_an_unchanged_object_is_ready_after_a_question() -> None:
    """Each re-run of a backfill would download everything."""
    world = World()
    world.store_object("a.jpg")
    ready(world, world.submit("alpha", "a.jpg"))
    world.run(TTL_S + 1)
    ready(world, world.submit("alpha", "a.jpg"))
    asked = world.all_of(verbs.Fetch)[1]
    assert isinstance(asked, verbs.Fetch)
    assert asked.etag == world.objects["m", "a.jpg"][2]
    assert len(world.all_of(verbs.Into)) == 1
    assert len(world.uploads) == 1


def test_an_unchanged_object_that_is_new_to_a_bot_is_fetched() -> None:
    """The bytes left the cache long ago: 304 is no answer to a bot that needs an upload."""
    world = World()
    world.store_object("a.jpg")
    ready(world, world.submit("alpha", "a.jpg"))
    world.run(TTL_S + 1)
    ready(world, world.submit("beta", "a.jpg"))
    assert len(world.all_of(verbs.Into)) == 2
    assert len(world.uploads) == 2


def test_an_overwritten_key_is_a_new_upload() -> None:
    """Users would see the old picture for ever."""
    world = World()
    old = world.store_object("a.jpg", "old")
    ready(world, world.submit("alpha", "a.jpg"))
    world.run(TTL_S + 1)
    new = world.store_object("a.jpg", "new", size=9000)
    ready(world, world.submit("alpha", "a.jpg", size_bytes=5000))
    assert [message.sha256 for message in world.messages] == [old, new]


def test_bytes_that_are_not_the_promised_ones_are_never_sent() -> None:
    """A corrupt object would be cached at Telegram under the right name."""
    world = World()
    world.store_object("a.jpg", "corrupt")
    job = world.submit("alpha", "a.jpg", sha256=content_of("whole"))
    world.finish()
    assert world.state(job) is JobState.FAILED
    assert world.rows[job].code == "Sha256Mismatch"
    assert world.uploads == []
    world.check_quiet()


def test_a_whole_copy_under_another_key_is_not_dragged_down() -> None:
    """One corrupt object would fail every job that promised the same content."""
    world = World()
    world.store_object("bad.jpg", "corrupt")
    sha256 = world.store_object("good.jpg", "whole")
    bad = world.submit("alpha", "bad.jpg", sha256=sha256)
    good = [world.submit(bot, "good.jpg", sha256=sha256) for bot in ("alpha", "beta")]
    world.finish()
    assert world.rows[bad].code == "Sha256Mismatch"
    assert [world.state(job) for job in good] == [JobState.READY] * 2
    world.check_quiet()


@pytest.mark.parametrize("owner", [Kind.PHOTO, Kind.DOCUMENT])
def test_another_keys_size_says_nothing_of_ones_own(owner: Kind) -> None:
    """One key that holds something large would fail every job that promised the same content."""
    world = World()
    sha256 = world.store_object("good.jpg", "whole")
    world.store_object("bad.jpg", "another", size=20 << 20)
    bad = world.submit("alpha", "bad.jpg", owner, sha256=sha256)
    world.run(0.005)
    good = [world.submit(bot, "good.jpg", sha256=sha256) for bot in ("alpha", "beta")]
    world.finish()
    code = "TooLarge" if owner is Kind.PHOTO else "Sha256Mismatch"
    assert world.rows[bad].code == code
    assert [world.state(job) for job in good] == [JobState.READY] * 2
    world.check_quiet()


@pytest.mark.parametrize(
    ("kind", "size_bytes"), [(Kind.PHOTO, (10 << 20) + 1), (Kind.VIDEO, 50_000_001)]
)
def test_what_is_too_large_fails_before_its_download(kind: Kind, size_bytes: int) -> None:
    """Megabytes would be moved for a refusal."""
    world = World()
    world.store_object("big", size=size_bytes)
    listed = world.submit("alpha", "big", kind, size_bytes=size_bytes)
    world.finish()
    assert world.gets == []
    unknown = world.submit("beta", "big", kind)
    world.finish()
    assert world.gets == ["big"]
    assert world.all_of(verbs.Into) == []
    assert {world.rows[job].code for job in (listed, unknown)} == {"TooLarge"}
    world.run(1.0)
    world.check_quiet()


@pytest.mark.parametrize("wait_s", [0.0, 0.025, 10.0])
def test_what_another_kind_may_send_can_be_too_large_all_the_same(wait_s: float) -> None:
    """A document's 20 MB are in the cache: sent as a photo they only earn a refusal."""
    world = World()
    world.store_object("big", size=20 << 20)
    document = world.submit("alpha", "big", Kind.DOCUMENT)
    world.run(wait_s)
    photo = world.submit("alpha", "big", Kind.PHOTO)
    world.finish()
    assert world.uploads == [document]
    assert world.rows[photo].code == "TooLarge"
    world.check_quiet()


@pytest.mark.parametrize("known", [True, False])
def test_a_full_arena_makes_jobs_wait_and_then_go_on(known: bool) -> None:
    """More media than memory would fail, or stop for ever."""
    world = World(policy=small(pages=4))
    jobs = []
    for number in range(12):
        world.store_object(f"{number}.jpg", size=2 * PAGE)
        size_bytes = 2 * PAGE if known else None
        jobs.append(world.submit("alpha", f"{number}.jpg", size_bytes=size_bytes))
    ready(world, *jobs)
    assert len(world.uploads) == 12


def test_an_answer_without_a_body_lets_those_go_on_that_wait_for_memory() -> None:
    """The memory that was kept for a 304 would be free, and nobody would ever look."""
    world = World(policy=small(pages=2))
    world.store_object("a.jpg", size=2 * PAGE)
    world.store_object("b.jpg", size=2 * PAGE)
    ready(world, world.submit("alpha", "a.jpg"))
    world.run(TTL_S + 1)
    again = world.submit("alpha", "a.jpg", size_bytes=2 * PAGE)
    ready(world, again, world.submit("beta", "b.jpg", size_bytes=2 * PAGE))


@pytest.mark.parametrize("refused", [verbs.Fetch, verbs.Into])
def test_memory_that_the_system_refuses_is_tried_again(refused: type[verbs.Verb]) -> None:
    """One moment of memory pressure would stop the daemon, or leak an extent."""
    world = World(policy=small(pages=2))
    jobs = []
    for key in ("a.jpg", "b.jpg"):
        world.store_object(key, size=2 * PAGE)
        size_bytes = 2 * PAGE if refused is verbs.Fetch else None
        jobs.append(world.submit("alpha", key, size_bytes=size_bytes))
    world.fates = fates_of(NoMemory(), of=refused)
    ready(world, *jobs)
    snoozes = [r for row in world.rows.values() for r in row.history]
    assert [r.code for r in snoozes if isinstance(r, records.Snooze)] == ["NoMemory"]


def test_who_was_overtaken_while_it_waited_is_not_uploaded_again() -> None:
    """The leader's upload fails, a follower's succeeds, and the leader sends it once more."""
    world = World()
    for key in ("a.jpg", "copy.jpg"):
        world.store_object(key, "the same")
    world.fates = fates_of(Refused("UploadCut"), of=verbs.Upload)
    first = world.submit("alpha", "a.jpg")
    second = world.submit("alpha", "copy.jpg")
    ready(world, first, second)
    assert len(world.messages) == 1
    assert world.uploads == [first, second]


def test_who_learns_that_its_content_is_another_leads_nobody_astray() -> None:
    """A later job of the old content would wait for ever behind a job that is finished."""
    world = World(policy=EnginePolicy(workers=2, slots=4, ttl_s=1.0))
    world.store_object("k.jpg", "one")
    world.store_object("other.jpg", "one")
    world.fates = fates_of(Refused("NoAnswer"), of=verbs.Upload)
    first = world.submit("alpha", "k.jpg")
    world.run(2.0)
    assert world.state(first) is JobState.WAITING
    world.store_object("k.jpg", "two")
    second = world.submit("alpha", "k.jpg")
    world.run(world.rows[first].not_before - world.now - 0.5)
    world.get_s = 2.0  # the first job wakes up while this conditional GET is under way
    third = world.submit("alpha", "k.jpg")
    world.run(4.0)
    fourth = world.submit("alpha", "other.jpg")
    ready(world, first, second, third, fourth)


def test_what_is_told_of_a_job_is_its_own() -> None:
    """A document would arrive under the name of a folder, and the times to ready mean nothing."""
    world = World()
    world.store_object("alpha/2026/a.pdf", "same")
    world.store_object("b.pdf", "same")
    jobs = [world.submit("alpha", key, Kind.DOCUMENT) for key in ("alpha/2026/a.pdf", "b.pdf")]
    began = world.now
    world.finish()
    (upload,) = world.all_of(verbs.Upload)
    assert isinstance(upload, verbs.Upload)
    assert upload.file_name in ("a.pdf", "b.pdf")
    ends = [world.rows[job].history[-1] for job in jobs]
    assert {type(end) for end in ends} == {records.Complete, records.Join}
    for end in ends:
        assert isinstance(end, records.Complete | records.Join)
        assert 0.05 < end.waited_s <= world.now - began


def test_what_the_cache_spared_is_counted_once() -> None:
    """The share of hits is what the cache's size is chosen by."""
    world = World()
    world.store_object("a.jpg")
    for bot in ("alpha", "beta"):
        world.submit(bot, "a.jpg")
    world.finish()
    assert (world.engine.desk.cache.hits, world.engine.desk.cache.misses) == (1, 1)
