"""What is fetched ahead, and what it must not cost: memory that others need now, and the line."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prewarmd.core import events, records, verbs
from prewarmd.core.intake import AHEAD_SHARE
from prewarmd.core.jobs import JobId, JobState, Kind, Phase
from prewarmd.core.lanes import LimitPolicy
from prewarmd.core.policy import BotSpec, EnginePolicy
from tests.core.outside import Refused, fates_of
from tests.core.world import World

MB = 1 << 20
UNPACED = LimitPolicy(paced=False)
POLICY = EnginePolicy(workers=2, slots=16, cache_bytes=16 * MB)
CONFIRM_S = 0.0011
"""A child takes a millisecond to give a GET up."""


class Small(World):
    """A world whose memory is watched after every turn."""

    def __init__(
        self, bots: Sequence[BotSpec | str], policy: EnginePolicy = POLICY, *,
        paused: Sequence[str] = (), pause_s: float = 0.0,
        watch: Callable[["Small"], None] = lambda world: None,
    ) -> None:  # fmt: skip
        self._watch = watch
        super().__init__(bots, policy)
        self.pause(paused, pause_s)

    def pause(self, bots: Sequence[str], seconds: float) -> None:
        """As Telegram asked for."""
        holds = [
            records.Hold(bot, lane.chat_id, self.now + seconds, 1.0)
            for bot in bots
            for lane in self.engine.desk.bots[bot].lanes
        ]
        self.put(events.HoldsRemembered(holds))

    def turn(self) -> None:
        super().turn()
        self._watch(self)

    def submit_many(self, bot: str, count: int, size: int, *, told: bool = True) -> list[JobId]:
        """Videos, all different."""
        jobs = []
        for number in range(count):
            key = f"{bot}-{len(self.rows)}-{number}.mp4"
            self.store_object(key, size=size + number)
            size_bytes = size + number if told else None
            jobs.append(self.submit(bot, key, Kind.VIDEO, size_bytes=size_bytes))
        return jobs

    def pinned_bytes(self, bot: str) -> int:
        """What is kept in memory for a bot."""
        desk = self.engine.desk
        mine = (job for job in desk.jobs.values() if job.bot == bot and job.id in desk.pinned)
        return sum(job.size_bytes or 0 for job in mine)

    def fetched_at(self, job: JobId) -> float:
        """When its GET was told to a child."""
        return next(at for at, v in self.told if isinstance(v, verbs.Fetch) and v.job == job)


def ready(world: World, *jobs: JobId) -> None:
    world.finish()
    assert {world.state(job) for job in jobs} == {JobState.READY}
    world.check_quiet()


# -- ahead of its lane -----------------------------------------------------------------------


def test_bytes_are_here_when_a_short_pause_ends() -> None:
    """Every pause would be followed by the time of a download."""
    world = Small(["alpha"], paused=["alpha"], pause_s=5.0)
    until = world.now + 5.0
    (job,) = world.submit_many("alpha", 1, MB)
    world.run(1.0)
    assert world.pinned_bytes("alpha") == MB
    ready(world, job)
    assert [at for at, v in world.told if isinstance(v, verbs.Upload)] == [pytest.approx(until)]


@pytest.mark.parametrize("pause_s", [9.0, 60.0])
def test_bytes_are_kept_through_a_short_pause_and_evictable_in_a_long_one(pause_s: float) -> None:
    """A paused bot would keep the memory from those who could use it, or fetch all anew."""
    world = Small(["alpha"])
    flood = [Refused("TooManyRequests", retry_after_s=pause_s)] * 3
    world.fates = fates_of(*flood, of=verbs.Upload)
    jobs = world.submit_many("alpha", 5, MB)
    world.run(1.0)
    kept = world.pinned_bytes("alpha")
    if pause_s < world.policy.prefetch_horizon_s:
        assert kept > 3 * MB
    else:
        assert kept == 0
        assert {world.engine.desk.jobs[job].phase for job in jobs} == {Phase.QUEUED}
        assert world.engine.desk.cache.items == 5
        world.run(pause_s - 5.0)
        assert world.pinned_bytes("alpha") > 3 * MB, "it is near again"
    ready(world, *jobs)
    assert len(world.gets) == 5, "they were here all the time"


def test_a_long_pause_fetches_nothing_before_it_is_near() -> None:
    """Memory would fill with what cannot be sent for an hour."""
    world = Small(["alpha"], paused=["alpha"], pause_s=3600.0)
    until = world.now + 3600.0
    jobs = world.submit_many("alpha", 20, MB)
    world.run(3500.0)
    assert world.gets == []
    ready(world, *jobs)
    first = world.told[0][0]
    assert until - world.policy.prefetch_horizon_s <= first <= until - 5.0


def test_the_best_job_is_fetched_ahead_first() -> None:
    """When the pause is over the bot would begin with its largest video."""
    world = Small(["alpha"], paused=["alpha"], pause_s=5.0)
    world.submit_many("alpha", 30, MB)
    world.store_object("photo.jpg")
    photo = world.submit("alpha", "photo.jpg", Kind.PHOTO, size_bytes=5000)
    world.finish()
    assert world.gets[0] == "photo.jpg"
    assert world.uploads[0] == photo


@pytest.mark.parametrize("size", [MB // 4, MB, 3 * MB])
def test_what_is_fetched_ahead_takes_half_of_the_memory_at_most(size: int) -> None:
    """A hundred paused bots would fill the arena, and each job of another begin with dropping."""

    def half_and_one_more(world: Small) -> None:
        limit = AHEAD_SHARE * world.policy.cache_bytes + size + 50
        assert sum(world.pinned_bytes(bot) for bot in bots) <= limit
        assert world.engine.desk.bytes_under_way <= limit

    bots = [f"bot{number}" for number in range(20)]
    world = Small(bots, paused=bots, pause_s=8.0, watch=half_and_one_more)
    jobs = [job for bot in bots for job in world.submit_many(bot, 4, size)]
    world.run(7.9)
    assert world.engine.desk.bytes_under_way >= AHEAD_SHARE * world.policy.cache_bytes
    world._watch = lambda world: None
    ready(world, *jobs)


# -- who can send does not wait for memory ---------------------------------------------------


def crowded(get_s: float = 0.02, *, told: bool = True) -> Small:
    """Bots that cannot send for 5 s have what they want in memory, or on its way to it."""
    paused = [f"paused{number}" for number in range(10)]
    world = Small(["alpha", *paused], paused=paused, pause_s=5.0)
    world.get_s = get_s
    for bot in paused:
        world.submit_many(bot, 3, 7 * MB, told=told)
    world.run(0.5)
    world.get_s = 0.02
    return world


@pytest.mark.parametrize("told", [True, False], ids=["size told", "size not told"])
def test_a_bot_that_can_send_finds_memory_though_others_filled_it(told: bool) -> None:
    """One bot's flood would hold up the media of all the others."""
    world = crowded()
    free = world.engine.desk.cache.extents.free_bytes
    (job,) = world.submit_many("alpha", 1, 9 * MB, told=told)
    assert free < 9 * MB
    came = world.now
    world.run(1.0)
    assert world.fetched_at(job) == came
    assert world.state(job) is JobState.READY
    world.finish()
    world.check_quiet()


@pytest.mark.parametrize("told", [True, False], ids=["size told", "size not told"])
def test_a_bot_that_can_send_finds_memory_though_others_are_filling_it(told: bool) -> None:
    """It would wait for downloads that nobody needs yet."""
    world = crowded(get_s=30.0, told=told)
    (job,) = world.submit_many("alpha", 1, 16 * MB - 4096)
    came = world.now
    world.run(0.5)
    assert world.fetched_at(job) <= came + CONFIRM_S
    assert world.state(job) is JobState.READY
    world.finish()
    world.check_quiet()


def test_what_was_taken_from_a_bot_ahead_is_its_worst() -> None:
    """The bot would begin with its videos when its pause is over."""
    world = Small(["alpha", "beta"], paused=["beta"], pause_s=5.0)
    (video,) = world.submit_many("beta", 1, 6 * MB)
    world.store_object("photo.jpg", size=6 * MB)
    photo = world.submit("beta", "photo.jpg", Kind.PHOTO, size_bytes=6 * MB)
    world.run(0.5)
    assert world.pinned_bytes("beta") == 12 * MB
    (job,) = world.submit_many("alpha", 1, 9 * MB)
    ready(world, job, photo, video)
    assert world.gets.count("photo.jpg") == 1
    assert len(world.gets) == 4


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 16 * 256), min_size=1, max_size=30),
    st.floats(0.1, 9.9),
    st.floats(0.0, 3.0),
    st.integers(1, 16 * 256),
    st.sampled_from([0.001, 0.02, 1.0, 30.0]),
    st.booleans(),
)
def test_pauses_alone_never_make_a_bot_that_can_send_wait(
    sizes: list[int], pause_s: float, wait_s: float, pages: int, get_s: float, told: bool
) -> None:
    """Some mix of sizes, pauses and downloads would leave no hole for the one that could be sent
    now."""
    paused = [f"paused{number}" for number in range(5)]
    world = Small(["alpha", *paused], paused=paused, pause_s=pause_s + wait_s)
    world.get_s = get_s
    for number, size in enumerate(sizes):
        world.submit_many(paused[number % 5], 1, size * 4096 - number, told=told)
    world.run(wait_s)
    world.get_s = 0.02
    (job,) = world.submit_many("alpha", 1, pages * 4096)
    came = world.now
    world.run(0.05)
    assert world.fetched_at(job) <= came + CONFIRM_S + world.commit_s


def test_memory_is_found_that_was_not_to_be_had_a_moment_ago() -> None:
    """A job that came while the catalogue was being asked about another's would wait until that
    other one's pause is over."""
    world = Small(["alpha", "paused"], paused=["paused"], pause_s=8.0)
    world.submit_many("paused", 1, 12 << 20)
    world.run(0.02)  # fetched; the catalogue is being asked
    (job,) = world.submit_many("alpha", 1, 12 << 20)
    world.run(0.1)
    assert world.fetched_at(job) <= world.now - 0.1 + 2 * world.commit_s


# -- budgets of bytes ------------------------------------------------------------------------


def transfers(
    world: World, kind: type[verbs.Fetch] | type[verbs.Upload]
) -> list[tuple[float, int]]:
    """When such a transfer began, and how many bytes it carried."""
    sizes = {(b, k): size for (b, k), (_, size, _) in world.objects.items()}
    return [
        (at, verb.size_bytes if isinstance(verb, verbs.Upload) else sizes[verb.bucket, verb.key])
        for at, verb in world.told
        if isinstance(verb, verbs.Fetch | verbs.Upload) and isinstance(verb, kind)
    ]


def excess(carried: list[tuple[float, int]], bytes_per_s: float) -> float:
    """By how many bytes a budget was exceeded at most, over any stretch between two starts."""
    sums = accumulate((size for _, size in carried), initial=0)
    debts = [before - bytes_per_s * at for before, (at, _) in zip(sums, carried, strict=False)]
    least = accumulate(debts, min)
    return max(
        debt + size - low for debt, (_, size), low in zip(debts, carried, least, strict=True)
    )


METERED = replace(POLICY, limits=UNPACED, cache_bytes=64 * MB)
BUDGETS = {
    "download": (replace(METERED, download_bytes_per_s=2e6), verbs.Fetch),
    "upload": (replace(METERED, upload_bytes_per_s=2e6), verbs.Upload),
}


@pytest.mark.parametrize("budget", BUDGETS)
def test_a_budget_holds_over_any_stretch_within_one_transfer(budget: str) -> None:
    """The line that prewarmd was to leave to others would be full."""
    policy, kind = BUDGETS[budget]
    world = Small(["alpha", "beta", "gamma"], policy)
    jobs = []
    for bot in world.engine.desk.bots:
        for size in (2_000_000, 100_000, 700_000):
            jobs += world.submit_many(bot, 40, size)
    ready(world, *jobs)
    carried = transfers(world, kind)
    assert len(carried) == len(jobs)
    total = sum(size for _, size in carried)
    assert excess(carried, 2e6) <= 2_000_040
    assert carried[-1][0] - carried[0][0] == pytest.approx(total / 2e6, rel=0.02), "it is used up"


def test_sizes_nobody_told_are_charged_when_they_become_known() -> None:
    """Clients that tell no sizes would download without a limit."""
    policy = replace(METERED, download_bytes_per_s=2e6, size_probe=False, workers=1, slots=4)
    world = Small(["alpha"], policy)
    jobs = world.submit_many("alpha", 80, 1_000_000, told=False)
    ready(world, *jobs)
    carried = transfers(world, verbs.Fetch)
    assert excess(carried, 2e6) <= policy.slots * 1_000_080


def test_what_is_here_already_is_not_charged() -> None:
    """A broadcast to a hundred bots would wait for the line although every byte is here."""
    bots = [f"bot{number}" for number in range(50)]
    world = Small(bots, replace(METERED, download_bytes_per_s=1e6))
    world.store_object("shared.mp4", size=5_000_000)
    jobs: list[JobId] = [
        world.submit(bot, "shared.mp4", Kind.VIDEO, size_bytes=5_000_000) for bot in bots
    ]
    world.run(1.0)
    assert world.gets == ["shared.mp4"]
    assert {world.state(job) for job in jobs} == {JobState.READY}
    assert len(world.all_of(verbs.Upload)) == 50


def test_a_used_up_upload_budget_keeps_downloads_going() -> None:
    """Both directions of the line would be as slow as the slower one."""
    world = Small(["alpha"], replace(METERED, upload_bytes_per_s=100_000.0))
    world.submit_many("alpha", 20, 1_000_000)
    world.run(1.0)
    assert len(world.uploads) == 1
    assert len(world.gets) > 10


def test_what_would_be_the_first_to_give_way_is_not_taken_up() -> None:
    """While somebody who could send waits for memory, bytes that are here would be pinned for a bot
    that cannot, given up for the other, and pinned again, for ever in one moment."""
    world = Small(["free", "paused"], paused=["paused"], pause_s=5.0)
    world.store_object("shared.jpg")
    ready(world, world.submit("free", "shared.jpg"))
    desk = world.engine.desk

    def short(_: Small) -> None:
        desk.memory_short = True

    job = world.submit("paused", "shared.jpg")
    world._watch = short
    world.run(1.0)
    assert desk.jobs[job].phase is Phase.QUEUED
    assert desk.cache.pinned_bytes == 0
    world._watch = lambda _: None
    desk.memory_freed()
    ready(world, job)
