"""Ways to a file_id without bytes: a kept message, a file_id in doubt, a URL."""

from dataclasses import replace

import pytest

from prewarmd.core import events, records, verbs
from prewarmd.core.jobs import JobId, JobState, Kind
from prewarmd.core.links import FAILURES_MAX, REST_S
from prewarmd.core.policy import BotSpec, EnginePolicy
from tests.core.outside import Dies, Refused, fates_of
from tests.core.world import World, content_of

SIZE = 5000
LINKING = BotSpec("alpha", ((100, "private"),), links=("m",))


def warmed(world: World, key: str = "a.jpg") -> str:
    """An object that is ready; its content."""
    sha256 = world.store_object(key, size=SIZE)
    job = world.submit("alpha", key, sha256=sha256, size_bytes=SIZE)
    world.finish()
    assert world.state(job) is JobState.READY
    return sha256


def renewal(world: World, sha256: str, key: str = "a.jpg") -> JobId:
    """A client says that the file_id is good no more."""
    world.stale.add(("alpha", sha256, "photo"))
    return world.submit("alpha", key, sha256=sha256, size_bytes=SIZE)


def probe(world: World, sha256: str, key: str = "a.jpg") -> JobId:
    return world.submit(
        "alpha", key, sha256=sha256, size_bytes=SIZE, is_probe=True, priority=0
    )  # fmt: skip


def sends(world: World) -> list[type[verbs.Verb]]:
    some = (verbs.Upload, verbs.Relay, verbs.Forward, verbs.Resend, verbs.Link)
    return [type(verb) for _, verb in world.told if isinstance(verb, some)]


def known(world: World, sha256: str) -> records.Complete:
    found = world.catalogue["alpha", sha256, "photo"]
    assert found is not None
    return found


def test_a_stale_file_id_is_renewed_by_forwarding() -> None:
    """Each renewal would cost a download and an upload, though the media is in the chat."""
    world = World()
    sha256 = warmed(world)
    before = known(world, sha256)
    job = renewal(world, sha256)
    world.finish()
    assert world.state(job) is JobState.READY
    assert sends(world) == [verbs.Upload, verbs.Forward]
    assert len(world.gets) == 1
    assert known(world, sha256).file_id != before.file_id
    forward = next(v for _, v in world.told if isinstance(v, verbs.Forward))
    assert (forward.from_chat_id, forward.message_id) == (before.chat_id, before.message_id)
    world.check_quiet()


@pytest.mark.parametrize("code", ["MessageGone", "MediaRefused", "UnknownRefusal"])
def test_where_the_message_is_gone_the_object_is_sent(code: str) -> None:
    """An operator who tidies up his chat would never get a file_id again."""
    world = World()
    sha256 = warmed(world)
    before = known(world, sha256)
    world.fates = fates_of(Refused(code), of=verbs.Forward)
    job = renewal(world, sha256)
    world.finish()
    assert world.state(job) is JobState.READY
    assert sends(world) == [verbs.Upload, verbs.Forward, verbs.Upload]
    assert world.gone == {(before.chat_id, before.message_id)}, "nobody asks for it again"
    assert world.rows[job].attempt == 0
    assert world.engine.readiness(world.now) == []
    world.check_quiet()


def test_a_chat_that_only_the_old_message_is_in_closes_no_other() -> None:
    """ "chat not found" may mean the chat that is forwarded from: the lane would be closed."""
    world = World([BotSpec("alpha", ((100, "private"),))])
    sha256 = warmed(world)
    complete = known(world, sha256)
    world.catalogue["alpha", sha256, "photo"] = replace(complete, chat_id=999)
    world.fates = fates_of(Refused("ChatNotFound"), of=verbs.Forward)
    job = renewal(world, sha256)
    world.finish()
    assert world.state(job) is JobState.READY
    assert world.gone == {(999, complete.message_id)}
    assert world.engine.readiness(world.now) == []


def test_a_lane_does_not_follow_the_chat_that_a_message_is_in() -> None:
    """All that was to go to one warm-up chat would go to another, at the pace of both."""
    world = World([BotSpec("alpha", ((100, "private"),))])
    sha256 = warmed(world)
    world.catalogue["alpha", sha256, "photo"] = replace(known(world, sha256), chat_id=-999)
    world.fates = fates_of(Refused("ChatMigrated", migrated_to=-1999), of=verbs.Forward)
    job = renewal(world, sha256)
    world.finish()
    assert world.state(job) is JobState.READY
    assert known(world, sha256).chat_id == 100
    assert sends(world) == [verbs.Upload, verbs.Forward, verbs.Upload]


@pytest.mark.parametrize(
    "fate",
    [Refused("TooManyRequests", 3.0), Refused("ChatRefused"), Refused("Unauthorized"),
     Refused("TelegramUnreachable"), Refused("NoAnswer"), Dies(), Refused("KindRefused")],
    ids=str,
)  # fmt: skip
def test_what_stops_everybody_leaves_the_way_open(fate: Refused | Dies) -> None:
    """A pause, and the media would be downloaded for nothing."""
    world = World()
    sha256 = warmed(world)
    world.fates = fates_of(fate, of=verbs.Forward)
    job = renewal(world, sha256)
    world.finish()
    assert world.state(job) is JobState.READY
    assert sends(world) == [verbs.Upload, verbs.Forward, verbs.Forward]
    world.check_quiet()


def test_a_good_file_id_that_is_probed_stays_ready() -> None:
    """A probe that is accepted has a newer file_id, and costs no bytes."""
    world = World()
    sha256 = warmed(world)
    job = probe(world, sha256)
    world.finish()
    assert world.state(job) is JobState.READY
    assert sends(world) == [verbs.Upload, verbs.Resend]
    assert len(world.gets) == 1
    world.check_quiet()


def test_a_file_id_that_a_probe_finds_stale_is_renewed() -> None:
    """It would be found out by a user. First the message is tried, then the object."""
    world = World()
    sha256 = warmed(world)
    old = known(world, sha256).file_id
    world.fates = fates_of(Refused("MediaRefused"), of=verbs.Resend)
    job = probe(world, sha256)
    world.finish()
    assert sends(world) == [verbs.Upload, verbs.Resend, verbs.Forward]
    (stale,) = [c for _, c in world.out if isinstance(c, records.FileIdStale)]
    assert stale.file_id == old
    assert world.state(job) is JobState.READY
    assert world.stale == set()
    world.check_quiet()


def test_a_probe_is_not_ready_by_what_it_is_to_prove() -> None:
    """A media that is asked for all the time would never be proven."""
    world = World()
    sha256 = warmed(world)
    other = world.submit("alpha", "b.jpg", sha256=sha256, size_bytes=SIZE)
    first = probe(world, sha256)
    world.finish()
    assert {world.state(job) for job in (other, first)} == {JobState.READY}
    assert sends(world) == [verbs.Upload, verbs.Resend]
    world.check_quiet()


def test_the_others_go_before_a_probe() -> None:
    """It is nobody's wish, and may take nobody's turn."""
    world = World()
    sha256 = warmed(world)
    first = probe(world, sha256)
    keys = [f"{number}.jpg" for number in range(20)]
    for key in keys:
        world.store_object(key)
    jobs = [world.submit("alpha", key) for key in keys]
    world.finish()
    assert {world.state(job) for job in (first, *jobs)} == {JobState.READY}
    assert sends(world)[-1] is verbs.Resend


def test_who_wants_the_same_as_a_renewal_shares_it() -> None:
    """Two sends for one content."""
    world = World()
    sha256 = warmed(world)
    jobs = [renewal(world, sha256), world.submit("alpha", "b.jpg", sha256=sha256)]
    world.finish()
    assert {world.state(job) for job in jobs} == {JobState.READY}
    assert sends(world) == [verbs.Upload, verbs.Forward]


# -- by URL ----------------------------------------------------------------------------------


def promised(world: World, key: str, kind: Kind = Kind.PHOTO, size: int = SIZE) -> JobId:
    sha256 = world.store_object(key, size=size)
    return world.submit("alpha", key, kind, sha256=sha256, size_bytes=size)


def test_telegram_fetches_what_may_go_by_url() -> None:
    """Our line would carry each media twice, though the bucket is public."""
    world = World([LINKING])
    job = promised(world, "a.jpg")
    world.finish()
    assert world.state(job) is JobState.READY
    assert sends(world) == [verbs.Link]
    assert world.gets == []
    world.check_quiet()


@pytest.mark.parametrize(
    ("key", "kind", "size", "goes"),
    [
        ("a.jpg", Kind.PHOTO, 5_000_000, True),
        ("a.jpg", Kind.PHOTO, 5_000_001, False),
        ("a.mp4", Kind.VIDEO, 20_000_000, True),
        ("a.mp4", Kind.VIDEO, 20_000_001, False),
        ("a.PDF", Kind.DOCUMENT, SIZE, True),
        ("a.txt", Kind.DOCUMENT, SIZE, False),
        ("a.ogg", Kind.VOICE, 1_000_001, False),
        ("a.mp3", Kind.VOICE, SIZE, False),
        ("a.mp4", Kind.VIDEO_NOTE, SIZE, False),
        ("a.webp", Kind.STICKER, SIZE, True),
        ("a.tgs", Kind.STICKER, SIZE, False),
    ],
)
def test_only_what_telegram_takes_by_url_goes_so(
    key: str, kind: Kind, size: int, *, goes: bool
) -> None:
    """Each that does not would cost a send to be told."""
    world = World([LINKING])
    job = promised(world, key, kind, size)
    world.finish()
    assert world.state(job) is JobState.READY
    assert sends(world) == [verbs.Link if goes else verbs.Upload]


def test_what_nobody_promised_is_hashed_here() -> None:
    """Its content is not known, so there is nothing to remember the file_id for."""
    world = World([LINKING])
    world.store_object("a.jpg", size=SIZE)
    job = world.submit("alpha", "a.jpg", size_bytes=SIZE)
    world.finish()
    assert world.state(job) is JobState.READY
    assert sends(world) == [verbs.Upload]


def test_a_url_that_telegram_cannot_fetch_falls_back_and_is_remembered() -> None:
    """The job would fail; and the next kind or bot would try the same URL, which Telegram has in
    its memory as a failure for days."""
    world = World([LINKING])
    world.fates = fates_of(Refused("UrlRefused"), of=verbs.Link)
    first = promised(world, "a.jpg")
    world.finish()
    again = world.submit(
        "alpha", "a.jpg", Kind.VIDEO, sha256=content_of("a.jpg"), size_bytes=SIZE
    )  # fmt: skip
    other = promised(world, "b.jpg")
    world.finish()
    assert {world.state(job) for job in (first, again, other)} == {JobState.READY}
    assert sends(world).count(verbs.Link) == 2
    assert [world.uploads.count(job) for job in (first, again, other)] == [1, 1, 0]
    assert world.rows[first].attempt == 0
    world.check_quiet()


def test_a_bot_whose_urls_all_fail_makes_no_more_for_a_while() -> None:
    """A firewall before the bucket would cost each media of a night two sends."""
    world = World([LINKING])
    world.fates = fates_of(*[Refused("UrlRefused")] * 99, of=verbs.Link)
    jobs = [promised(world, f"{number}.jpg") for number in range(30)]
    world.finish()
    assert {world.state(job) for job in jobs} == {JobState.READY}
    tried = sends(world).count(verbs.Link)
    assert FAILURES_MAX <= tried <= FAILURES_MAX + 10, "and those that were on their way"
    world.fates = lambda _: None
    world.run(REST_S)
    later = promised(world, "later.jpg")
    world.finish()
    assert world.state(later) is JobState.READY
    assert sends(world)[-1] is verbs.Link


def test_a_stop_starts_no_shortcut() -> None:
    """`systemctl stop` would wait for sends that began after it."""
    world = World(policy=EnginePolicy(workers=1, slots=1))
    sha256 = warmed(world)
    job = renewal(world, sha256)
    world.put(events.DrainAsked(world.now + 5.0))
    world.run(6.0)
    assert world.finished is not None
    assert world.state(job) is JobState.QUEUED
    assert sends(world) == [verbs.Upload]
