"""Whose turn it is: bots take turns, the best job goes first, and nobody waits for ever."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest

from prewarmd.core import events, records, verbs
from prewarmd.core.engine import Engine
from prewarmd.core.jobs import Job, JobId, JobState, Kind
from prewarmd.core.lanes import LimitPolicy
from prewarmd.core.policy import BotSpec, EnginePolicy
from tests.core.world import World

UNPACED = LimitPolicy(paced=False)
ONE_AT_A_TIME = EnginePolicy(workers=1, slots=1, limits=UNPACED)
FEW_SLOTS = EnginePolicy(workers=2, slots=2, limits=UNPACED)


def submit(
    world: World, bot: str, key: str, kind: Kind = Kind.DOCUMENT, *, size: int = 5000,
    priority: int | None = None, bucket: str = "m", told: bool = True,
) -> JobId:  # fmt: skip
    """A job whose object is there; `told`: its size comes along."""
    world.store_object(key, size=size, bucket=bucket)
    size_bytes = size if told else None
    return world.submit(bot, key, kind, bucket=bucket, size_bytes=size_bytes, priority=priority)


def ready(world: World, *jobs: JobId) -> None:
    world.finish()
    assert {world.state(job) for job in jobs} == {JobState.READY}
    world.check_quiet()


def senders(world: World, since: float = 0.0) -> list[str]:
    """The bots that uploaded, in order."""
    return [v.bot for at, v in world.told if isinstance(v, verbs.Upload) and at >= since]


def unfairness(order: Sequence[str], bots: Sequence[str]) -> int:
    """By how many uploads any of these bots was ever ahead of any other."""
    counts, most = Counter(dict.fromkeys(bots, 0)), 0
    for bot in order:
        counts[bot] += 1
        most = max(most, max(counts.values()) - min(counts.values()))
    return most


def occupy(world: World, bot: str, seconds: float) -> JobId:
    """A job that keeps a slot busy from now on; what comes meanwhile waits."""
    world.get_s = seconds
    job = submit(world, bot, "occupies", priority=255)
    world.run(0.001)
    assert world.gets[-1] == "occupies"
    world.get_s = 0.02
    return job


# -- bots take turns -------------------------------------------------------------------------


@pytest.mark.parametrize("slots", [1, 8])
@pytest.mark.parametrize("limits", [LimitPolicy(), UNPACED], ids=["paced", "unpaced"])
@pytest.mark.parametrize("buckets", [1, 3])
@pytest.mark.parametrize("count", [2, 7, 50])
def test_no_bot_has_a_second_upload_before_each_had_its_first(
    count: int, buckets: int, limits: LimitPolicy, slots: int
) -> None:
    """On a platform of many bots the first ones would have their media warm, the last ones none."""
    bots = [f"bot{number}" for number in range(count)]
    world = World(bots, EnginePolicy(workers=1, slots=slots, limits=limits))
    jobs = [
        submit(world, bot, f"{bot}-{number}.jpg", bucket=f"m{number % buckets}")
        for bot in bots
        for number in range(4)
    ]
    ready(world, *jobs)
    assert unfairness(senders(world), bots) == 1


def test_who_has_the_longest_backfill_does_not_go_first() -> None:
    """A bot with a backfill of a million would keep all others waiting."""
    world = World(["many", "few", "one"], ONE_AT_A_TIME)
    jobs = [submit(world, "many", f"many-{number}") for number in range(40)]
    world.run(1.0)
    since = world.now
    jobs += [submit(world, "few", f"few-{number}") for number in range(3)]
    jobs.append(submit(world, "one", "one"))
    ready(world, *jobs)
    first = senders(world, since)[:8]
    assert Counter(first) >= Counter({"few": 3, "one": 1})


@pytest.mark.parametrize("count", [4, 20])
def test_bots_that_are_paused_cost_the_others_nothing_and_come_back_in_turn(count: int) -> None:
    """A flooded bot would hold up the round, or have lost its turn when its pause is over."""
    bots = [f"bot{number}" for number in range(count)]
    paused, free = bots[::2], bots[1::2]
    world = World(bots, EnginePolicy(workers=2, slots=32))
    until = world.now + 6.0
    holds = [records.Hold(bot, 100 + 2 * n, until, 1.0) for n, bot in enumerate(paused)]
    world.put(events.HoldsRemembered(holds))
    jobs = [submit(world, bot, f"{bot}-{n}") for bot in bots for n in range(30)]
    world.run(until - world.now - 0.001)
    assert set(senders(world)) == set(free)
    assert unfairness(senders(world), free) == 1
    world.run(0.1)
    back = [bot for bot in senders(world, until) if bot in paused]
    assert back[: len(paused)] == paused
    assert len(back) == 3 * len(paused), "their bytes were to be here, for a burst of three"
    ready(world, *jobs)


@pytest.mark.parametrize("count", [4, 20])
def test_bots_come_back_in_turn_though_all_slots_are_busy(count: int) -> None:
    """A bot whose pause is over would wait until no other bot has anything to send."""
    bots = [f"bot{number}" for number in range(count)]
    paused, free = bots[::2], bots[1::2]
    world = World(bots, FEW_SLOTS)
    until = world.now + 6.0
    holds = [records.Hold(bot, 100 + 2 * n, until, 1.0) for n, bot in enumerate(paused)]
    world.put(events.HoldsRemembered(holds))
    jobs = [submit(world, bot, f"{bot}-{n}") for bot in paused for n in range(5)]
    jobs += [submit(world, bot, f"{bot}-{n}") for bot in free for n in range(2000 // count)]
    world.run(until - world.now - 0.001)
    assert set(senders(world)) == set(free)
    assert unfairness(senders(world), free) == 1
    told = len(world.gets)
    ready(world, *jobs)
    fetched = [key.partition("-")[0] for key in world.gets[told:]]
    assert fetched[: len(paused)] == paused
    assert unfairness(fetched[: 4 * count], bots) <= 2
    assert unfairness(senders(world, until)[: 4 * count], bots) <= 2


def test_a_slow_chat_is_used_though_fast_ones_fill_all_slots() -> None:
    """A bot that warms into a channel would send once, and then not again for hours."""
    private = [BotSpec(f"bot{n}", ((n + 1, "private"),)) for n in range(6)]
    bots = [BotSpec("slow", ((-5, "channel"),)), *private]
    world = World(bots, EnginePolicy(workers=1, slots=1))
    world.upload_s = 0.2  # four and a half a second, where six might go
    for bot in bots:
        for number in range(60):
            submit(world, bot.slug, f"{bot.slug}-{number}", priority=100)
    world.run(60.0)
    assert len(senders(world)) > 250, "all slots were filled"
    assert senders(world).count("slow") >= 15


def test_the_buckets_of_a_bot_take_turns() -> None:
    """What a bot keeps in its second bucket would wait for all that it has in the first."""
    world = World(["alpha"], ONE_AT_A_TIME)
    jobs = [
        submit(world, "alpha", f"{bucket}-{number}", bucket=bucket)
        for number in range(6)
        for bucket in ("one", "two", "three")
    ]
    ready(world, *jobs)
    assert unfairness([key.partition("-")[0] for key in world.gets], ["one", "two", "three"]) == 1


def test_a_bot_of_several_chats_has_no_more_turns_than_one_of_one() -> None:
    """Whoever adds warm-up chats would get a larger share of the slots."""
    chats = tuple((chat, "private") for chat in range(1, 6))
    world = World([BotSpec("many", chats), "one"], FEW_SLOTS)
    jobs = [submit(world, bot, f"{bot}-{n}") for bot in ("many", "one") for n in range(30)]
    ready(world, *jobs)
    assert unfairness(senders(world), ["many", "one"]) == 1


def test_the_better_job_goes_first_whichever_bot_has_it() -> None:
    """Photos of one bot would take turns with the backfill of another."""
    world = World(["videos", "photos"], ONE_AT_A_TIME)
    occupy(world, "videos", 1.0)
    videos = [submit(world, "videos", f"v{n}", Kind.VIDEO, size=30_000_000) for n in range(5)]
    photos = [submit(world, "photos", f"p{n}", Kind.PHOTO) for n in range(5)]
    ready(world, *videos, *photos)
    assert world.gets[1:6] == [f"p{n}" for n in range(5)]


# -- the best job first ----------------------------------------------------------------------


@pytest.mark.parametrize("limits", [LimitPolicy(), UNPACED], ids=["paced", "unpaced"])
def test_small_photos_behind_500_large_videos_go_first(limits: LimitPolicy) -> None:
    """What people look at now would wait an hour behind what nobody asked for yet."""
    world = World(["alpha"], EnginePolicy(workers=2, slots=4, limits=limits))
    videos = [
        submit(world, "alpha", f"v{n}.mp4", Kind.VIDEO, size=21_000_000 + n) for n in range(500)
    ]
    world.run(1.0)
    under_way = len(world.gets)
    photos = [submit(world, "alpha", f"p{n}.jpg", Kind.PHOTO, size=50_000 + n) for n in range(20)]
    world.run(0.001)
    ready(world, *videos, *photos)
    assert under_way < 200
    assert set(world.gets[under_way : under_way + 20]) == {f"p{n}.jpg" for n in range(20)}
    last = max(world.uploads.index(photo) for photo in photos)
    assert last < under_way + 20, "loaded videos went first"


@pytest.mark.parametrize(
    ("kind", "size"), [(Kind.PHOTO, 50_000), (Kind.DOCUMENT, 5_000_000), (Kind.VIDEO, 30_000_000)]
)
def test_a_priority_replaces_the_score(kind: Kind, size: int) -> None:
    """0 would not mean last, nor 255 first, nor would a client's order hold between them."""
    world = World(["alpha"], ONE_AT_A_TIME)
    score = world.policy.score
    occupy(world, "alpha", 1.0)
    wanted = [0, 1, 99, 127, 200, 254, 255]
    jobs = [
        submit(world, "alpha", str(p), kind, size=size + p, priority=p)
        for p in (127, 0, 255, 99, 254, 1, 200)
    ]
    jobs.append(submit(world, "alpha", "scored", kind, size=size))
    world.run(0.001)
    level = score.level(world.engine.desk.jobs[jobs[-1]], world.now)
    ready(world, *jobs)
    order = [*[str(p) for p in wanted if p <= level], "scored"]
    order += [str(p) for p in wanted if p > level]
    assert world.gets[:0:-1] == order


@pytest.mark.parametrize(
    ("early_s", "first"), [(2**-10, "young"), (0.0, "other"), (-(2**-10), "other")]
)
def test_youth_ends_exactly_when_its_minute_does(early_s: float, first: str) -> None:
    """The order would depend on when somebody happens to sort: photos wait behind what is older
    than they, or lose their bonus early."""
    world = World(["alpha"], ONE_AT_A_TIME)
    world.run(1024.0 - world.now)  # from here on sums are exact
    world.commit_s = world.upload_s = 2**-8
    world.get_s = 60.0 - early_s - 2**-7
    young = submit(world, "alpha", "young", size=5_000_000)  # 115, and 100 after its minute
    busy = submit(world, "alpha", "occupies", priority=255)
    other = submit(world, "alpha", "other", priority=107)
    ready(world, young, busy, other)
    told = [(at, v.key) for at, v in world.told if isinstance(v, verbs.Fetch)]
    assert told[:2] == [(1024.0, "occupies"), (1084.0 - early_s, first)]


def test_who_comes_in_as_his_youth_ends_stands_behind_who_came_before_him() -> None:
    """After a restart jobs come back page by page: the first of a page would pass the last of the
    page before, whose youth ended in the same moment."""
    engine = Engine(ONE_AT_A_TIME, [BotSpec("alpha", ((100, "private"),))])
    one, other = (
        Job(JobId(number), "alpha", "m", f"{number}.jpg", Kind.PHOTO, 1024.0) for number in (1, 2)
    )
    engine.turn([events.Admitted([one])], 1083.5, 0.0)
    engine.turn([events.Admitted([other])], 1084.0, 0.0)
    assert list(engine.desk.bots["alpha"].backlog("m")) == [one, other]


def test_who_grows_older_waits_behind_those_who_were_older_before() -> None:
    """The order within a level would not be the order of waiting."""
    world = World(["alpha"], ONE_AT_A_TIME)
    first = submit(world, "alpha", "first")
    world.run(0.2)
    occupy(world, "alpha", 100.0)
    jobs = [submit(world, "alpha", "a")]
    world.run(30.0)
    jobs.append(submit(world, "alpha", "b"))
    world.run(35.0)
    jobs.append(submit(world, "alpha", "c"))
    world.run(26.0)  # a and b are old now, c is not
    ready(world, first, *jobs)
    assert world.gets[2:] == ["c", "a", "b"]


def test_a_size_that_becomes_known_moves_a_job() -> None:
    """A client that tells no sizes would have its small photos behind everybody's videos."""
    world = World(["alpha"], ONE_AT_A_TIME)
    occupy(world, "alpha", 1.0)
    sizes = {"large": 30_000_000, "middle": 5_000_000, "small": 500_000, "tiny": 50_000}
    jobs = [submit(world, "alpha", key, size=size, told=False) for key, size in sizes.items()]
    world.run(0.5)
    desk = world.engine.desk
    for job, size in zip(jobs, sizes.values(), strict=True):
        desk.learn_size(desk.jobs[job], size)
        desk.relevel(desk.jobs[job], world.now)
    ready(world, *jobs)
    assert world.gets[1:] == ["tiny", "small", "middle", "large"]


def test_sizes_are_asked_for_while_jobs_wait() -> None:
    """Without sizes from the client every order would be the order of coming."""
    world = World(["alpha"], EnginePolicy(workers=1, slots=32))
    large = [submit(world, "alpha", f"l{n}", size=9_000_000 + n, told=False) for n in range(60)]
    tiny = [submit(world, "alpha", f"t{n}", size=9_000 + n, told=False) for n in range(5)]
    world.run(0.005)
    under_way = len(world.gets)
    ready(world, *large, *tiny)
    assert 0 < under_way < 20
    assert world.gets[under_way : under_way + 5] == [f"t{n}" for n in range(5)]
    asked = [key for verb in world.all_of(verbs.Head) for key in getattr(verb, "keys", ())]
    assert len(asked) == len(set(asked)) <= 65


@pytest.mark.parametrize("slots", [2, 4])
def test_sizes_are_asked_for_when_large_downloads_fill_all_slots(slots: int) -> None:
    """Small photos would wait behind every video that came before them: there never is a slot left
    to find out that they are small."""
    world = World(["alpha"], EnginePolicy(workers=1, slots=slots, limits=UNPACED))
    large: list[JobId] = []
    for number in range(slots):
        world.get_s = 5.0 + 0.5 * number  # never two slots free at once
        large.append(submit(world, "alpha", f"l{number}", size=9_000_000 + number))
        world.run(0.01)
    assert len(world.gets) == slots
    large += [submit(world, "alpha", f"m{n}", size=9_000_000 + n, told=False) for n in range(60)]
    tiny = [submit(world, "alpha", f"t{n}", size=9_000 + n, told=False) for n in range(4)]
    world.run(1.0)
    world.get_s = 0.02
    ready(world, *large, *tiny)
    begun = [verb for _, verb in world.told if isinstance(verb, verbs.Fetch | verbs.Head)][slots:]
    assert isinstance(begun[0], verbs.Head)
    last = max(world.gets.index(f"t{n}") for n in range(4))
    assert last < 4 * slots + 4, "the sizes came late"
    heads = [verb for verb in begun if isinstance(verb, verbs.Head)]
    assert len(heads) <= 3


# -- nobody waits for ever -------------------------------------------------------------------

STARVE_S = 5.0
STARVING = replace(ONE_AT_A_TIME, starve_after_s=STARVE_S)
TURN_S = 0.02 + 0.001 + 0.05 + 0.01
"""What a job keeps the only slot busy for, at most: a GET, or an upload beside a commit."""


def flood(world: World, bot: str, seconds: float, every_s: float, count: int = 1) -> None:
    """Urgent work that keeps coming."""
    end, number = world.now + seconds, len(world.rows)
    while world.now < end:
        for _ in range(count):
            number += 1
            submit(world, bot, f"urgent-{number}", priority=255)
        world.run(every_s)


def fetched_at(world: World, key: str) -> float:
    """When a key was first fetched."""
    return next(at for at, v in world.told if isinstance(v, verbs.Fetch) and v.key == key)


@pytest.mark.parametrize("count", [1, 3], ids=["a little too much", "far too much"])
@pytest.mark.parametrize("older", [0, 5])
def test_a_job_behind_a_stream_of_better_ones_has_its_turn(older: int, count: int) -> None:
    """A large video would never be warmed on a busy platform. Its turn comes at the latest 2 n + 2
    turns after it starved, n being those that came before it."""
    world = World(["alpha"], STARVING)
    flood(world, "alpha", 1.0, 0.03)
    before = sum(row.state in (JobState.QUEUED, JobState.RUNNING) for row in world.rows.values())
    came = world.now
    for number in range(older):
        submit(world, "alpha", f"low-{number}", Kind.VIDEO, priority=1)
    job = submit(world, "alpha", "low", Kind.VIDEO, priority=0)
    bound_s = STARVE_S + (2 * (before + older) + 2) * 2 * TURN_S
    flood(world, "alpha", bound_s + 1.0, 0.05, count)
    assert came + STARVE_S <= fetched_at(world, "low") <= came + bound_s
    world.run(2 * TURN_S)
    assert world.state(job) is JobState.READY, "it was fetched, and then not sent"


def test_an_urgent_job_behind_a_thousand_that_starve_is_among_the_next_two() -> None:
    """After an hour of trouble everything starves: what people look at now would wait for all."""
    world = World(["alpha"], STARVING)
    occupy(world, "alpha", 20.0)
    for number in range(1000):
        submit(world, "alpha", f"low-{number}", Kind.VIDEO, priority=1)
    world.run(10.0)
    urgent = submit(world, "alpha", "urgent", priority=255)
    world.run(12.0)
    assert "urgent" in world.gets[1:3]
    assert world.state(urgent) is JobState.READY


def test_what_starved_in_the_backlog_does_not_starve_again_behind_what_is_loaded() -> None:
    """Its bytes would lie in memory while better jobs of its bot are sent, one a second."""
    world = World(["alpha"], replace(STARVING, slots=8, limits=LimitPolicy(), workers=1))
    flood(world, "alpha", 5.0, 0.2)
    low = submit(world, "alpha", "low", Kind.VIDEO, priority=0)
    came = world.now
    flood(world, "alpha", STARVE_S + 15.0, 0.2)
    sent = next(at for at, v in world.told if isinstance(v, verbs.Upload) and v.job == low)
    assert STARVE_S <= sent - came <= STARVE_S + 5.0


def test_jobs_that_starve_have_their_turns_though_another_bot_floods() -> None:
    """Of a bot's large videos the first would be warmed, the others never."""
    world = World(["alpha", "beta"], STARVING)
    came = world.now
    occupy(world, "beta", 0.5)
    for number in range(5):
        submit(world, "alpha", f"low-{number}", Kind.VIDEO, priority=1)
    flood(world, "beta", STARVE_S + 20.0, 0.05)
    for number in range(5):
        assert fetched_at(world, f"low-{number}") <= came + STARVE_S + (2 * number + 2) * 2 * TURN_S


@pytest.mark.parametrize("count", [2, 20])
def test_an_urgent_job_behind_starving_jobs_of_all_bots_is_among_the_next_two(count: int) -> None:
    """After an hour of trouble it would wait for one job of each bot, thousands on a platform."""
    bots = [f"bot{number}" for number in range(count)]
    world = World(bots, STARVING)
    occupy(world, "bot0", 20.0)
    for bot in bots:
        for number in range(200 // count):
            submit(world, bot, f"low-{bot}-{number}", Kind.VIDEO, priority=1)
    world.run(10.0)
    submit(world, bots[-1], "urgent", priority=255)
    world.run(12.0)
    assert "urgent" in world.gets[1:3]
