"""Telegram says 429: whose flood it is, how long nobody may send, and what is remembered of it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import ceil
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.rates import Scene
from prewarmd.core import events, records, reports, verbs
from prewarmd.core.bots import CROWDED_S, Bot
from prewarmd.core.engine import Engine
from prewarmd.core.jobs import JobId, JobState
from prewarmd.core.lanes import LimitPolicy
from prewarmd.core.policy import BotSpec, EnginePolicy
from prewarmd.sandbox.flood import FloodPolicy
from prewarmd.sandbox.flood_verdict import Shape
from tests.core.outside import Dies, Fate, Refused, fates_of
from tests.core.world import World

POLICY = EnginePolicy(workers=2, slots=32)
ALL_CHATS = 0
"""Of a bot, where a flood has a chat."""


def chats(slug: str, count: int) -> BotSpec:
    return BotSpec(slug, tuple((chat, "private") for chat in range(1, count + 1)))


@dataclass(frozen=True)
class Told:
    """A 429: when we had it, and until when it asks for silence."""

    at: float
    until: float
    bot: str
    chat_id: int


class Flooded(World):
    """A world whose Telegram refuses what begins in a pause, and says how long that still is."""

    def __init__(
        self, bots: Sequence[BotSpec | str], policy: EnginePolicy = POLICY, *,
        remembered: Sequence[records.Hold] = (),
    ) -> None:  # fmt: skip
        self.pauses: dict[tuple[str, int], float] = {}
        self.refusals: list[Told] = []
        self.answer_s: Mapping[int, float] = {}
        """By chat, where it is not the usual."""
        self.busy_answer_s = 0.0
        """How late a 429 comes that asks for a minute or more."""
        self.words = "as the test wants"
        self._remembered = list(remembered)
        super().__init__(bots, policy)
        self.fates = self._judge

    def put(self, event: events.Event) -> None:
        if isinstance(event, events.Loaded):  # as the intake does: before any job
            super().put(events.HoldsRemembered(self._remembered))
        super().put(event)

    def flood(self, bot: str, chat_id: int, seconds: float) -> None:
        """From now on that chat is paused."""
        self.pauses[bot, chat_id] = self.now + seconds

    def _judge(self, verb: verbs.Verb) -> Fate | None:
        if not isinstance(verb, verbs.Upload):
            return None
        until = max(self.pauses.get((verb.bot, each), 0.0) for each in (verb.chat_id, ALL_CHATS))
        left_s = ceil(until - self.now)
        if left_s <= 0:
            return None
        at = self.now + self.upload_s
        self.refusals.append(Told(at, at + left_s, verb.bot, verb.chat_id))
        return Refused("TooManyRequests", retry_after_s=left_s)

    def _answer(self, index: int, task: int, delay_s: float, report: reports.Report) -> None:
        match report:
            case reports.Uploaded():
                verb = self._processes[index].works[task].verb
                assert isinstance(verb, verbs.Upload)
                report.answer_s = self.answer_s.get(verb.chat_id, report.answer_s)
            case reports.UploadFailed() if report.retry_after_s >= 60.0:
                report = replace(report, answer_s=self.busy_answer_s, detail=self.words)
            case reports.UploadFailed():
                report = replace(report, detail=self.words)
        super()._answer(index, task, delay_s, report)

    # -- what a test asks ------------------------------------------------------------------------

    def begun(
        self, bot: str = "alpha", chat_id: int = ALL_CHATS
    ) -> list[tuple[float, verbs.Upload]]:
        """Its uploads, and when each began."""
        return [
            (at, verb)
            for at, verb in self.told
            if isinstance(verb, verbs.Upload)
            and verb.bot == bot
            and chat_id in (verb.chat_id, ALL_CHATS)
        ]

    def times(self, bot: str = "alpha", chat_id: int = ALL_CHATS) -> list[float]:
        """When its uploads began."""
        return [at for at, _ in self.begun(bot, chat_id)]

    def bot(self, slug: str = "alpha") -> Bot:
        """As the engine has it."""
        return self.engine.desk.bots[slug]

    def submit_many(self, bot: str, count: int, size_bytes: int = 5000) -> list[JobId]:
        """Jobs of different content."""
        keys = [f"{bot}-{self._number()}.jpg" for _ in range(count)]
        for key in keys:
            self.store_object(key, size=size_bytes)
        return [self.submit(bot, key, size_bytes=size_bytes) for key in keys]

    def check_obeyed(self) -> None:
        """No upload began in a chat inside of a pause that we had been told of."""
        for told in self.refusals:
            inside = [at for at in self.times(told.bot, told.chat_id) if told.at < at < told.until]
            assert inside == [], f"{told}"

    def check_uncharged(self) -> None:
        """No job is the worse for having waited."""
        assert {verb.attempt for _, verb in self.begun()} <= {1}
        assert not any(isinstance(each, records.Snooze | records.Fail) for _, each in self.out)
        assert all(job.attempt == 0 for job in self.engine.desk.jobs.values())

    def finish_all(self) -> None:
        """Every job becomes ready, without a trace of the floods."""
        self.finish()
        assert {row.state for row in self.rows.values()} == {JobState.READY}
        self.check_obeyed()
        self.check_uncharged()
        self.check_quiet()


def between(times: Sequence[float], after: float, before: float) -> list[float]:
    return [at for at in times if after < at < before]


# -- whose flood it is ---------------------------------------------------------------------------


@pytest.fixture(params=["plain", "disguised"])
def three(request: pytest.FixtureRequest) -> Iterator[Flooded]:
    """A bot with three chats beside another bot. A 429 that came as a 400 has other words, and a
    child has read its number out of them: nothing else may differ."""
    world = Flooded([chats("alpha", 3), "beta"])
    world.upload_s = 0.3
    if request.param == "disguised":
        world.words = (
            "Bad Request: failed to send message #1 with the error message "
            '"Too Many Requests: retry after 20"'
        )
    world.submit_many("alpha", 60)
    world.submit_many("beta", 60)
    world.run(2.0)
    yield world
    world.finish_all()


def test_a_flood_of_one_chat_costs_the_others_one_probe(three: Flooded) -> None:
    """One punished chat would stop its bot; or all would be sent to at once, and be punished."""
    three.flood("alpha", 1, 20.0)
    three.run(60.0)
    told = three.refusals[0]
    probe, verb = next(each for each in three.begun() if each[0] >= told.at)
    assert probe - told.at < 1.0
    assert verb.chat_id != 1
    answered = probe + three.upload_s
    assert between(three.times(), told.at, answered) == [probe], "one probe, and nothing else"
    assert len(between(three.times(), answered, answered + 3.0)) >= 5, "then the others go on"
    assert between(three.times(chat_id=1), told.at, told.until) == []
    assert not three.bot().scope.in_doubt


def test_a_chat_goes_on_after_its_pause(three: Flooded) -> None:
    """A chat that was flooded once would be lost to its bot."""
    three.flood("alpha", 1, 8.0)
    three.run(60.0)
    told = three.refusals[0]
    first = between(three.times(chat_id=1), told.until, told.until + 1.5)
    assert first, "at most a second of jitter later"
    assert first[0] >= told.until + 0.1
    assert three.bot().lanes[0].pace.factor < 1.0


def test_a_flood_of_the_bot_stops_its_chats_until_both_pauses_are_over(three: Flooded) -> None:
    """A bot that goes on sending into a pause is punished for half as long again, each time."""
    three.flood("alpha", ALL_CHATS, 20.0)
    three.run(60.0)
    (first, probe) = three.refusals[0], three.refusals[-1]
    assert first.chat_id != probe.chat_id
    over = max(told.until for told in three.refusals)
    assert between(three.times(), probe.at, over) == []
    again = three.times()[len(between(three.times(), 0.0, over))]
    assert again - over < 1.5
    answered = again + three.upload_s
    assert between(three.times(), over, answered) == [again], "it is probed again"
    assert between(three.times(), answered, answered + 1.0), "and goes on"


def test_bytes_are_here_when_the_pause_of_a_bot_ends() -> None:
    """Its first uploads after a pause would wait for their downloads."""
    world = Flooded([chats("alpha", 3)])
    world.submit_many("alpha", 300)
    world.run(70.0)  # none of them is young any more: nothing else looks at the bot
    world.flood("alpha", ALL_CHATS, 60.0)
    world.run(20.0)
    until = world.bot().scope.until
    assert until > world.now + 15
    world.run(until - world.now - 11.0)
    assert len(world.bot().loaded) == 0, "memory is for those who can send"
    world.run(2.0)
    assert len(world.bot().loaded) > 0
    world.check_obeyed()


def test_other_bots_go_on_meanwhile(three: Flooded) -> None:
    """One punished bot would stop a platform of thousands."""
    three.flood("alpha", ALL_CHATS, 20.0)
    start = three.now
    three.run(20.0)
    assert len(between(three.times("beta"), start, start + 20.0)) >= 19
    assert three.bot("beta").lanes[0].pace.factor >= 1.0


def test_a_flood_that_goes_on_is_probed_and_no_more(three: Flooded) -> None:
    """Each pause that ends would let all chats run into the next one."""
    three.flood("alpha", ALL_CHATS, 10.0)
    three.run(5.0)
    three.flood("alpha", ALL_CHATS, 100.0)
    before = len(three.begun())
    three.run(60.0)
    assert len(three.begun()) == before + 1


def test_the_longer_of_two_pauses_counts() -> None:
    """The bot would fire into what is left of the longer one."""
    world = Flooded([chats("alpha", 3)], replace(POLICY, workers=1, slots=1))
    world.fates = fates_of(
        Refused("TooManyRequests", retry_after_s=60.0),
        Refused("TooManyRequests", retry_after_s=10.0),
        of=verbs.Upload,
    )
    world.busy_answer_s = 0.1
    world.submit_many("alpha", 5)
    world.finish_all()
    times = world.times()
    assert times[1] - times[0] < 1.0
    assert 60.0 < times[2] - times[0] < 62.0


def test_a_bot_with_one_chat_waits_and_goes_on_as_before() -> None:
    """It would crawl, one upload at a time, looking for another chat to probe."""
    world = Flooded([chats("alpha", 1)])
    world.upload_s = 2.5
    world.submit_many("alpha", 30)
    world.run(5.0)
    world.flood("alpha", 1, 20.0)
    world.run(60.0)
    until = max(told.until for told in world.refusals)
    at_once = between(world.times(), until, until + 3.0)
    assert len(at_once) >= 3, "more than one in flight"
    world.finish_all()


def test_a_probe_whose_child_dies_is_followed_by_another() -> None:
    """A crash at the wrong moment would stop a bot until a restart."""
    world = Flooded([chats("alpha", 2)])
    world.upload_s = 0.3
    world.submit_many("alpha", 30)
    world.run(3.0)
    world.flood("alpha", 1, 30.0)
    while not world.bot().scope.probing:
        world.run(0.05)
    for index in (0, 1):
        world.kill(index)
    world.run(10.0)
    assert not world.bot().scope.in_doubt
    world.finish()
    world.check_obeyed()


def test_a_probe_that_a_busy_server_turns_away_is_followed_by_another() -> None:
    """It tells nothing about the flood: its bot would wait for its answer for ever."""
    world = Flooded([chats("alpha", 2)], replace(POLICY, workers=1, slots=1))
    world.fates = fates_of(
        Refused("TooManyRequests", retry_after_s=20.0),
        Refused("TooManyRequests", retry_after_s=60.0),
        of=verbs.Upload,
    )
    world.busy_answer_s = 3.0
    world.submit_many("alpha", 8)
    world.run(15.0)
    assert len(world.times()) == 10
    assert not world.bot().scope.in_doubt
    world.finish_all()


class LateThenFlooded(Flooded):
    """Of two uploads to chat 1 that are in flight together the first is answered 6 s late, and then
    the second by a 429."""

    begun_until_refusal = -1
    told_at = 0.0

    def _judge(self, verb: verbs.Verb) -> Fate | None:
        if isinstance(verb, verbs.Upload) and verb.chat_id == 1 and self.begun_until_refusal >= 0:
            self.begun_until_refusal -= 1
            if self.begun_until_refusal < 0:
                return Refused("TooManyRequests", retry_after_s=30.0)
        return None

    def _answer(self, index: int, task: int, delay_s: float, report: reports.Report) -> None:
        if isinstance(report, reports.UploadFailed):
            delay_s += 1.0
            self.told_at = self.now + delay_s
        super()._answer(index, task, delay_s, report)


def test_a_flood_after_late_answers_is_probed_too() -> None:
    """Telegram answers late before it says 429. All chats of the bot would go on at full speed
    into what may be a flood of the whole bot, because the rate had gone down already."""
    world = LateThenFlooded([chats("alpha", 3)])
    world.upload_s = 1.5
    world.submit_many("alpha", 60)
    world.run(6.0)
    world.answer_s = {1: 6.0}
    world.begun_until_refusal = 1
    while not world.told_at:
        world.run(0.05)
    world.run(world.told_at - world.now + 0.01)
    chat = world.bot().lanes[0]
    assert chat.paused_until > world.now, "the 429 was heard"
    assert chat.governor.decreased_at < world.told_at, "late answers came first"
    world.run(1.4)
    assert len(between(world.times(), world.told_at, world.now)) <= 1, "one probe"
    world.answer_s = {}
    world.finish_all()


class Stragglers(Flooded):
    """Of the answers to one flood each comes three seconds after the one before."""

    def _answer(self, index: int, task: int, delay_s: float, report: reports.Report) -> None:
        if isinstance(report, reports.UploadFailed):
            delay_s += 3.0 * (len(self.refusals) - 1)
        super()._answer(index, task, delay_s, report)


def test_the_last_answers_to_a_flood_are_no_second_one() -> None:
    """A bot of which it is known that one chat was meant would stop for a probe with each of
    them."""
    world = Stragglers([chats("alpha", 3)])
    world.submit_many("alpha", 200)
    world.run(5.0)
    world.flood("alpha", 1, 30.0)
    world.upload_s = 2.5
    world.run(3.0)
    assert len(world.refusals) >= 3
    world.upload_s = 0.3
    world.run(3.0)
    for _ in range(100):
        world.run(0.1)
        assert not world.bot().scope.in_doubt
    assert world.bot().lanes[0].paused_until > world.now
    world.finish()


def test_a_storm_is_sat_out() -> None:
    """For a minute four of five requests are refused, whoever sends them: who fires on is banned,
    and who counts that against jobs fails them all."""
    world = Flooded([chats("alpha", 3), BotSpec("beta", ((-5, "channel"), (6, "private")))])
    dice, over_at = Random(1), world.now + 60.0

    def storm(verb: verbs.Verb) -> Fate | None:
        if isinstance(verb, verbs.Upload) and world.now < over_at and dice.random() < 0.8:
            world.flood(verb.bot, verb.chat_id, dice.randint(1, 10))
        return world._judge(verb)

    world.fates = storm
    jobs = [*world.submit_many("alpha", 100), *world.submit_many("beta", 100)]
    world.finish_all()
    assert len(world.refusals) > 20
    assert len(world.times("alpha")) + len(world.times("beta")) <= 1.2 * len(jobs)


# -- the server guards itself --------------------------------------------------------------------


def test_a_busy_server_gets_less_at_once_and_nobody_is_paused() -> None:
    """Telegram's own server asks for a minute when a bot has too much in flight: every chat of the
    bot would stand still for that minute, and then do the same again."""
    world = Flooded([chats("alpha", 3)])
    world.upload_s, world.busy_answer_s = 8.0, 3.0
    world.submit_many("alpha", 350)
    world.run(15.0)
    in_flight = world.bot().in_flight
    assert in_flight >= 20
    world.fates = lambda verb: _refused_once(world, verb)
    world.run(world.upload_s + 0.01)
    assert world.fates == world._judge, "it was refused"
    refused_at = world.now - 0.01
    world.run(120.0)
    times = world.times()
    meanwhile = between(times, refused_at, refused_at + CROWDED_S - 1.0)
    assert len(meanwhile) > 30, "they go on"
    assert max(at - before for before, at in pairwise(meanwhile)) < 2 * world.upload_s
    for at in meanwhile:
        assert sum(at - world.upload_s < other <= at for other in times) <= in_flight // 2
    later = between(times, refused_at + 100.0, refused_at + 120.0)
    at_once = [sum(at - world.upload_s < other <= at for other in times) for at in later]
    assert max(at_once) > in_flight // 2, "for a minute"
    assert all(lane.paused_until == 0.0 for lane in world.bot().lanes)
    assert all(lane.pace.factor >= 1.0 for lane in world.bot().lanes)
    assert not world.bot().scope.in_doubt
    assert world.holds == {}
    world.check_uncharged()


def _refused_once(world: Flooded, verb: verbs.Verb) -> Fate | None:
    if isinstance(verb, verbs.Upload):
        world.fates = world._judge
        return Refused("TooManyRequests", retry_after_s=60.0)
    return None


def test_a_guard_that_does_not_go_away_is_waited_for() -> None:
    """With one upload in flight there is no less at once: the same bytes would go up again every
    three seconds, although the server asks for a minute."""
    world = Flooded([chats("alpha", 1)])
    world.upload_s, world.busy_answer_s = 3.2, 3.0
    judge, busy = world.fates, Refused("TooManyRequests", retry_after_s=60.0)
    world.fates = lambda verb: busy if isinstance(verb, verbs.Upload) else None
    world.submit_many("alpha", 1)
    world.run(600.0)
    assert 10 <= len(world.times()) <= 20, "twice a minute"
    assert ("alpha", 1) in world.holds, "a restart does not try at once, either"
    world.fates = judge
    world.finish_all()


@pytest.mark.parametrize(("retry_after_s", "answer_s"), [(60.0, 0.2), (60.0, 2.9), (61.0, 3.0)])
def test_what_only_looks_like_it_is_a_flood(retry_after_s: float, answer_s: float) -> None:
    """A real flood of a minute would be sent into."""
    world = Flooded([chats("alpha", 1)])
    world.busy_answer_s = answer_s
    world.submit_many("alpha", 5)
    world.flood("alpha", 1, retry_after_s)
    world.run(59.0)
    assert len(world.times()) <= 3, "the burst that was in flight"
    world.finish_all()


# -- what waiting costs --------------------------------------------------------------------------


def test_the_429s_of_one_flood_are_one_event() -> None:
    """Ten uploads in flight would leave their chat at a tenth of its rate."""
    world = Flooded([chats("alpha", 1)])
    world.upload_s = 9.0
    world.submit_many("alpha", 30)
    world.run(0.2)
    world.flood("alpha", 1, 8.5)
    world.run(12.0)
    assert len(world.refusals) >= 5
    assert world.bot().lanes[0].pace.factor == pytest.approx(0.7)
    world.finish_all()


def test_floods_for_an_hour_burn_no_attempt() -> None:
    """Good jobs would fail after a busy hour."""
    world = Flooded([chats("alpha", 2)])
    world.submit_many("alpha", 10)
    for number in range(120):
        world.submit_many("alpha", 1)
        world.flood("alpha", ALL_CHATS, 25.0)
        world.run(30.0 if number % 2 else 25.5)
    assert len(world.refusals) > 40
    world.finish_all()


def test_late_answers_slow_their_chat_down_and_are_remembered() -> None:
    """What Telegram hints at before it says 429 would be forgotten with the next restart."""
    world = Flooded([chats("alpha", 2)])
    world.submit_many("alpha", 40)
    world.run(5.0)
    world.answer_s = {1: 6.0}
    world.run(1.5)
    world.answer_s = {}
    world.run(5.0)
    late, other = world.bot().lanes
    assert late.pace.factor == pytest.approx(0.95)
    assert other.pace.factor == 1.0
    assert world.holds.keys() == {("alpha", 1)}
    assert world.holds["alpha", 1].factor == late.pace.factor
    assert world.holds["alpha", 1].until <= world.now, "no pause"
    world.finish_all()


# -- uploads of one size -------------------------------------------------------------------------

SPREAD_BYTES = 3_000_000
SPACING_S = 0.3


def test_uploads_of_one_size_are_kept_apart_and_others_pass_them() -> None:
    """The server would count them as a flood and refuse the bot for a minute; or a benchmark with
    one size hold up all real media behind it."""
    world = Flooded([chats("alpha", 9)], replace(POLICY, workers=1))
    alike = world.submit_many("alpha", 7, SPREAD_BYTES)
    others = [job for size in range(8) for job in world.submit_many("alpha", 1, 2_500_000 + size)]
    world.finish_all()
    began = {verb.job: at for at, verb in world.begun()}
    times = sorted(began[job] for job in alike)
    assert min(at - before for before, at in pairwise(times)) >= SPACING_S - 1e-9
    assert times[-1] - times[0] < 7 * SPACING_S, "no further than they must"
    assert max(began[job] for job in others) < times[3], "they came last, and pass"


def test_retries_of_one_media_are_kept_apart_too() -> None:
    """A media that killed its child goes up again at once, and again: that is where equal sizes
    come from."""
    world = Flooded([chats("alpha", 9)], replace(POLICY, workers=4, slots=4))
    world.fates = fates_of(*[Dies()] * 4, of=verbs.Upload)
    world.submit_many("alpha", 4, SPREAD_BYTES)
    world.finish()
    assert len(world.times()) > 4
    assert min(at - before for before, at in pairwise(world.times())) >= SPACING_S - 1e-9


def test_two_bots_may_send_one_size_at_once() -> None:
    """A broadcast of one media to a thousand bots would take five minutes."""
    world = Flooded(["alpha", "beta"])
    world.submit_many("alpha", 1, SPREAD_BYTES)
    world.submit_many("beta", 1, SPREAD_BYTES)
    world.finish_all()
    assert abs(world.times("alpha")[0] - world.times("beta")[0]) < 0.1


@pytest.mark.parametrize("limits", [LimitPolicy(guarded=False), LimitPolicy(paced=False)])
def test_a_server_of_ones_own_gets_one_size_as_it_comes(limits: LimitPolicy) -> None:
    """A local Bot API server would stand idle while equal sizes wait."""
    world = Flooded([chats("alpha", 9)], replace(POLICY, limits=limits))
    world.submit_many("alpha", 9, SPREAD_BYTES)
    world.finish_all()
    assert world.times()[-1] - world.times()[0] < 0.5


# -- a restart -----------------------------------------------------------------------------------


def flooded_before(spec: BotSpec, chat_id: int) -> tuple[Flooded, list[records.Hold]]:
    """A world that was flooded, and what is remembered of it in the time of the next one."""
    world = Flooded([spec])
    world.submit_many("alpha", 30)
    world.run(5.0)
    world.flood("alpha", chat_id, 600.0)
    world.run(5.0)
    return world, remembered_of(world)


def remembered_of(world: Flooded) -> list[records.Hold]:
    """Its holds, in the time of the next world: each begins at the same one."""
    gone_s = world.now - 1000.0
    return [replace(hold, until=hold.until - gone_s) for hold in world.holds.values()]


def test_a_restart_does_not_send_into_a_pause() -> None:
    """Every restart would be answered by a longer pause."""
    _, holds = flooded_before(chats("alpha", 2), 1)
    assert {hold.chat_id for hold in holds} == {1}
    world = Flooded([chats("alpha", 2)], remembered=holds)
    world.submit_many("alpha", 60)
    world.flood("alpha", 1, 590.0)
    world.run(60.0)
    assert len(world.times(chat_id=2)) >= 58
    assert world.times(chat_id=1) == []
    world.run(500.0)
    world.submit_many("alpha", 100)
    world.finish_all()
    assert world.refusals == []
    assert world.times(chat_id=1)[0] == pytest.approx(holds[0].until, abs=0.01)


@pytest.mark.parametrize("named", [1, -777])
def test_a_restart_knows_the_pause_of_a_chat_that_moved_by_either_id(named: int) -> None:
    """A group that became a supergroup would be sent to inside its pause, by whichever id the
    configuration names it then."""
    before = Flooded([chats("alpha", 1)])
    moved = Refused("ChatMigrated", migrated_to=-777)
    before.fates = lambda verb: (
        moved if isinstance(verb, verbs.Upload) and verb.chat_id == 1 else before._judge(verb)
    )
    before.flood("alpha", -777, 600.0)
    before.submit_many("alpha", 5)
    before.run(10.0)
    assert before.holds.keys() == {("alpha", 1), ("alpha", -777)}
    holds = remembered_of(before)
    world = Flooded([BotSpec("alpha", ((named, "private"),))], remembered=holds)
    world.submit_many("alpha", 5)
    world.finish_all()
    assert world.times()[0] == pytest.approx(holds[0].until, abs=0.01)
    assert {verb.chat_id for _, verb in world.begun()} == {-777}


def test_a_restart_does_not_send_into_a_pause_of_the_whole_bot() -> None:
    """The chats that were not probed would be sent to, one after the other."""
    _, holds = flooded_before(chats("alpha", 3), ALL_CHATS)
    assert ALL_CHATS in {hold.chat_id for hold in holds}
    world = Flooded([chats("alpha", 3), "beta"], remembered=holds)
    world.submit_many("alpha", 20)
    world.submit_many("beta", 20)
    world.flood("alpha", ALL_CHATS, 590.0)
    world.run(60.0)
    assert len(world.times("beta")) == 20
    world.finish_all()
    assert world.refusals == []
    assert world.times()[0] >= max(hold.until for hold in holds if hold.chat_id == ALL_CHATS)


@pytest.mark.parametrize("kind", ["private", None])
def test_a_restart_begins_at_the_rate_that_was_found(kind: str | None) -> None:
    """The daemon would learn the same limit again after each restart, by a flood."""
    spec = BotSpec("alpha", ((1, kind),))
    before, holds = flooded_before(spec, 1)
    factor = before.bot().lanes[0].pace.factor
    assert factor == pytest.approx(0.7)
    assert holds[0].factor == factor
    over = [replace(hold, until=0.0) for hold in holds]
    world = Flooded([spec], remembered=over)
    world.submit_many("alpha", 60)
    world.run(20.0)
    assert world.bot().lanes[0].pace.factor == factor
    assert len(world.times()) <= 3 + 20 * 0.7
    world.finish_all()


def test_what_is_remembered_of_others_is_passed() -> None:
    """A bot or a chat that was taken out of the configuration would keep the daemon from
    starting."""
    holds = [
        records.Hold("gone", 1, 1e9, 0.5),
        records.Hold("alpha", 77, 1e9, 0.5),
        records.Hold("gone", ALL_CHATS, 1e9, 1.0),
    ]
    world = Flooded([chats("alpha", 1)], remembered=holds)
    world.submit_many("alpha", 3)
    world.finish_all()
    assert world.bot().lanes[0].pace.factor == 1.0


def test_jobs_that_were_already_there_wait_too() -> None:
    """A hold that arrives a moment late would be overlooked by what had been looked at."""
    engine = Engine(POLICY, [chats("alpha", 1)])
    engine.turn([events.Loaded()], 1000.0, 0.5)
    bot = engine.desk.bots["alpha"]
    assert bot.next_lane(1000.0)[0] is not None
    engine.turn([events.HoldsRemembered([records.Hold("alpha", 1, 1060.0, 0.5)])], 1000.0, 0.5)
    assert bot.allowance() == 0, "nothing is fetched for it"
    assert bot.next_lane(1000.0) == (None, 1050.0), "to fetch for it"
    assert bot.next_lane(1050.0) == (None, 1060.0), "to send"
    engine.check()


# -- never inside a pause ------------------------------------------------------------------------

FLOODS = st.lists(
    st.tuples(
        st.integers(0, 150),  # tenths of a second after the one before
        st.sampled_from(["alpha", "beta"]),
        st.integers(0, 3),  # the chat; 0 is all of them
        st.integers(1, 40),
    ),
    max_size=6,
)


@given(FLOODS, st.sampled_from([0.05, 0.7, 3.0]))
@settings(max_examples=25, deadline=None)
def test_no_upload_begins_inside_a_pause_that_was_told(
    floods: list[tuple[int, str, int, int]], upload_s: float
) -> None:
    """Some order of floods would be sent into, and a bot be banned for an hour."""
    world = Flooded([chats("alpha", 3), chats("beta", 3)])
    world.upload_s = upload_s
    world.submit_many("alpha", 30)
    world.submit_many("beta", 30)
    for tenths, bot, chat_id, seconds in floods:
        world.run(tenths / 10)
        world.flood(bot, chat_id, seconds)
    world.finish_all()


@given(FLOODS, st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_the_model_of_telegram_sees_no_violation(
    floods: list[tuple[int, str, int, int]], seed: int
) -> None:
    """A pause that is ignored grows: what a model of Telegram counts against us, Telegram does."""
    bots = [BotSpec("alpha", ((1, "private"), (-2, "channel"), (3, "private"))), chats("beta", 3)]
    scene = Scene(bots, FloodPolicy(disguised_every=2), seed)
    at = 0.0
    for tenths, bot, number, seconds in floods:
        at += tenths / 10
        chat_id = 0 if not number else next(b for b in bots if b.slug == bot).chats[number - 1][0]
        scene.later(at, _flood_of(scene, bot, chat_id, seconds))
    scene.run(at + 60.0)
    scene.engine.check()
    scene.flood.check()
    assert scene.flood.tally.violations == 0
    assert not scene.flood.tally.refused[Shape.SERVER_BUSY]


def _flood_of(scene: Scene, bot: str, chat_id: int, seconds: int) -> Callable[[], None]:
    return lambda: scene.flood.begin_flood(bot, chat_id or None, scene.now, float(seconds))
