"""A bot and its lanes: which may send next, how much may be fetched, and what looking costs."""

from collections.abc import Iterator, Sequence
from typing import ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from prewarmd.core.bots import CROWDED_S, Bot
from prewarmd.core.lanes import CHAIN_MAX, UPLOADS_MAX, Lane, LimitPolicy
from prewarmd.core.ready_queue import FOREVER

POLICY = LimitPolicy()
UNPACED = LimitPolicy(paced=False)
HORIZON_S = 10.0
SIZE_BYTES = 50_000
START = 1000.0
LAST = 1e9
"""When an upload began: so late that it is the probe, if there is one."""


def lane(chat_id: int = 1, kind: str | None = "private", policy: LimitPolicy = POLICY) -> Lane:
    return Lane("alpha", chat_id, kind, policy.pace(kind), in_flight_max=policy.in_flight_max)


def bot(*lanes: Lane, policy: LimitPolicy = POLICY) -> Bot:
    return Bot(
        "alpha", list(lanes), policy.bot_pace(), HORIZON_S, in_flight_max=policy.bot_in_flight_max
    )


def send(one: Bot, now: float) -> Lane | None:
    """An upload begins, if one may."""
    found, at = one.next_lane(now)
    if found is None or at > now:
        return None
    one.enter(found, SIZE_BYTES, now)
    return found


def pause(one: Bot, each: Lane, until: float, now: float) -> None:
    """As after a 429."""
    each.pause(until)
    one.stir(each, now)


def paused_for(*seconds: float) -> Bot:
    """A bot whose chats are paused for so long each."""
    one = bot(*(lane(chat) for chat in range(len(seconds))))
    for each, wait_s in zip(one.lanes, seconds, strict=True):
        pause(one, each, START + wait_s, START)
    return one


def send_all(one: Bot, now: float, limit: int = 10_000) -> list[Lane]:
    """All that may begin at one moment; the pace of the bot left out of account."""
    began: list[Lane] = []
    while len(began) < limit and (found := one.next_lane(now)[0]) is not None:
        one.enter(found, SIZE_BYTES, now)
        began.append(found)
    return began


# -- a lane --------------------------------------------------------------------------------------


def test_the_profile_none_obeys_a_429() -> None:
    """Telegram would be asked again at once, and ask for longer each time."""
    unpaced = lane(policy=UNPACED)
    unpaced.pause(30.0)
    assert unpaced.next_at(1.0) == 30.0


def test_a_pause_is_never_cut_short() -> None:
    """Of two answers to one flood the shorter would count, and earn the next 429."""
    one = lane()
    one.pause(40.0)
    one.pause(20.0)
    assert one.next_at(1.0) == 40.0
    assert one.next_at(50.0) == 40.0


def test_no_more_in_flight_than_a_chat_takes() -> None:
    """More only queue up at Telegram, and time out there."""
    busy = lane()
    busy.in_flight = CHAIN_MAX
    assert busy.is_full
    assert busy.next_at(100.0) == FOREVER
    busy.in_flight -= 1
    assert busy.next_at(100.0) <= 100.0
    assert UNPACED.in_flight_max > 1000


def test_a_closed_lane_knows_when_its_probe_is_due() -> None:
    """A chat that refused once would be lost, or be asked without end."""
    closed = lane()
    closed.gate.refuse("ChatRefused", "no", 100.0, began=LAST)
    assert closed.next_at(100.0) == 105.0
    assert closed.next_at(105.0) <= 105.0
    closed.gate.enter(0.0)
    assert closed.next_at(105.0) == FOREVER


# -- the next lane -------------------------------------------------------------------------------


def test_a_paused_chat_leaves_the_others_alone() -> None:
    """One punished chat would stop its bot."""
    both = bot(lane(1), lane(2))
    pause(both, both.lanes[0], START + 4000.0, START)
    assert both.next_lane(START) == (both.lanes[1], START)
    assert both.has_room(START)


def test_of_parked_lanes_the_soonest_says_when_to_look() -> None:
    """A bot would be looked at for nothing, or too late."""
    both = paused_for(8.0, 5.0)
    assert both.next_lane(START) == (None, START + 5.0)
    found, at = both.next_lane(START + 5.0)
    assert found is both.lanes[1]
    assert at == START + 5.0


def test_free_lanes_take_turns() -> None:
    """One chat would take all while the next stands idle, and earn the 429."""
    many = bot(*(lane(chat, policy=UNPACED) for chat in range(3)), policy=UNPACED)
    turns = [found.chat_id for found in send_all(many, START, limit=7)]
    assert turns == [0, 1, 2, 0, 1, 2, 0]


def test_the_pace_of_the_bot_holds_for_every_lane() -> None:
    """Thirty chats would send thirty at once."""
    many = bot(*(lane(chat) for chat in range(40)))
    many.in_flight_max = 1000
    times: list[float] = []
    now = START
    while len(times) < 90:
        found, now = many.next_lane(now)
        assert found is not None
        many.enter(found, SIZE_BYTES, now)
        times.append(now)
    assert all(b - a >= 1 - 1e-9 for a, b in zip(times, times[30:], strict=False))
    assert times[-1] - times[0] == pytest.approx(89 / 30)


def test_a_bot_has_no_more_in_flight_than_its_server_takes() -> None:
    """A bot with many chats would run into the guard of its server, and be refused for a
    minute."""
    many = bot(*(lane(chat) for chat in range(40)))
    began = send_all(many, START)
    assert len(began) == UPLOADS_MAX
    assert many.next_lane(START) == (None, FOREVER)
    many.leave(began[0], START)
    assert many.next_lane(START)[0] is not None


def test_a_full_lane_is_found_again_once_an_upload_ends() -> None:
    """A chat with slow uploads would be lost."""
    one = bot(lane(policy=UNPACED), policy=UNPACED)
    one.lanes[0].in_flight_max = 2
    send_all(one, START)
    assert one.next_lane(START) == (None, FOREVER)
    one.leave(one.lanes[0], START)
    assert one.next_lane(START)[0] is one.lanes[0]
    one.check()


def test_a_closed_bot_has_no_lane_until_its_probe_is_due() -> None:
    """A revoked token would be tried with every job."""
    closed = bot(lane())
    closed.gate.refuse("Unauthorized", "no", 100.0, began=LAST)
    assert closed.next_lane(101.0) == (None, 105.0)
    assert not closed.has_room(101.0)
    assert send(closed, 105.0) is not None
    assert closed.next_lane(200.0) == (None, FOREVER)


def test_a_bot_in_doubt_sends_one_probe() -> None:
    """After a flood in one chat all the others would be sent to, and be punished as well."""
    three = bot(*(lane(chat) for chat in range(3)))
    three.scope.flooded(START + 30.0, is_probe=False, has_others=True)
    found, _ = three.next_lane(START)
    assert found is not None
    assert three.enter(found, SIZE_BYTES, START)
    assert three.next_lane(START) == (None, FOREVER)
    three.scope.flooded(START + 40.0, is_probe=True, has_others=True)
    three.leave(found, START)
    assert three.next_lane(START) == (None, START + 40.0)


# -- stir ----------------------------------------------------------------------------------------


def test_a_lane_is_looked_at_where_it_stands_now() -> None:
    """A pause that came while a lane was free, or a longer one, would be overlooked."""
    one = bot(lane())
    only = one.lanes[0]
    pause(one, only, START + 5.0, START)
    assert one.next_lane(START) == (None, START + 5.0)
    pause(one, only, START + 9.0, START)
    assert one.next_lane(START) == (None, START + 9.0)
    one.check()
    assert one.next_lane(START + 9.0)[0] is only
    one.check()


def test_a_lane_that_may_send_sooner_than_it_was_said_is_found_sooner() -> None:
    """A chat of which it becomes known that it is a private one would wait for a channel's pace."""
    one = bot(lane(kind=None))
    only = one.lanes[0]
    assert send(one, START) is only
    pause(one, only, START + 3.0, START)
    assert one.next_lane(START)[1] == START + 3.0
    only.paused_until = 0.0
    only.repace(POLICY.pace("private"))
    one.stir(only, START)
    assert one.next_lane(START) == (None, START + 1.0)
    one.check()


def test_what_was_learnt_of_a_chat_outlives_the_news_of_its_kind() -> None:
    """An upload that began before a flood, and is answered after getChat, would slow it twice."""
    only = lane(kind=None)
    only.governor.flooded(START, START + 1.0)
    factor = only.pace.factor
    only.repace(POLICY.pace("private"))
    assert not only.governor.flooded(START, START + 2.0)
    assert only.pace.factor == factor < 1.0
    assert only.governor.pace is only.pace


def test_a_closed_chat_is_found_again_when_its_probe_is_due() -> None:
    """A bot would lose a chat that refused it once, or try it with every job."""
    two = bot(lane(1), lane(2))
    first = send(two, START)
    assert first is not None
    first.gate.refuse("ChatRefused", "no", START, began=LAST)
    two.leave(first, START)
    other = send(two, START + 1.0)
    assert other is not None
    assert other is not first
    assert first in send_all(two, START + 5.0)
    assert first not in send_all(two, START + 20.0), "one probe at a time"
    two.check()


# -- crowds --------------------------------------------------------------------------------------


def crowded(in_flight: int) -> tuple[Bot, list[Lane]]:
    """A bot whose server has just said that so much at once is too much."""
    one = bot(*(lane(chat, policy=UNPACED) for chat in range(8)), policy=UNPACED)
    one.in_flight_max = UPLOADS_MAX
    began = send_all(one, START, limit=in_flight)
    one.crowd(START, START)
    return one, began


def test_a_crowded_server_gets_half_as_much_at_once_for_a_minute() -> None:
    """The server would go on refusing, each time after three seconds and a whole upload."""
    one, began = crowded(20)
    for found in began[:10]:
        assert one.next_lane(START) == (None, FOREVER)
        one.leave(found, START)
    assert one.next_lane(START) == (None, FOREVER)
    one.leave(began[10], START)
    assert len(send_all(one, START)) == 1
    assert send_all(one, START + CROWDED_S - 0.1) == []
    assert len(send_all(one, START + CROWDED_S)) == 10
    assert len(send_all(one, START + 2 * CROWDED_S)) == UPLOADS_MAX - 20, "as many as ever"


def test_the_refusals_of_one_crowd_count_once() -> None:
    """Twenty uploads in flight, refused together, would leave room for one."""
    one, began = crowded(20)
    for found in began:
        one.crowd(START, START + 1.0)
        one.leave(found, START + 1.0)
    assert len(send_all(one, START + 1.0)) == 10


def test_a_server_that_is_crowded_still_gets_less_and_less() -> None:
    """Half would be too much for ever when another program uses the bot as well."""
    one, began = crowded(20)
    for found in began:
        one.leave(found, START)
    began = send_all(one, START)
    one.crowd(START + CROWDED_S / 2, START + CROWDED_S / 2)
    for found in began:
        one.leave(found, START)
    assert len(send_all(one, START + CROWDED_S / 2)) == 5
    one.crowd(START + 2 * CROWDED_S, START + 2 * CROWDED_S)
    for _ in range(10):
        one.crowd(START + 10 * CROWDED_S, START + 10 * CROWDED_S)
    one.in_flight = 0
    assert one.next_lane(START + 10 * CROWDED_S)[0] is not None, "never nothing at all"


def test_one_at_a_time_that_is_too_much_is_to_be_waited_for() -> None:
    """The same bytes would go up every three seconds, and be refused each time."""
    one, began = crowded(2)
    for found in began:
        one.leave(found, START)
    now = START + 3.0
    (found,) = send_all(one, now)
    assert not one.crowd(now, now + 3.0)
    one.leave(found, now + 3.0)
    assert len(send_all(one, now + 3.0)) == 1, "that is for the caller to see to"


def test_halving_is_worth_a_try_before_it_is_waited_for() -> None:
    """A bot would stand still for a minute where less at once is all that is asked for."""
    one, began = crowded(2)
    assert one.crowd(START - 1.0, START), "another of the same crowd"
    one.leave(began[0], START)
    one.leave(began[1], START)
    assert len(send_all(one, START + CROWDED_S)) == 2
    assert one.crowd(START + CROWDED_S, START + CROWDED_S + 3.0)


# -- how much to fetch ---------------------------------------------------------------------------


def room(one: Bot, now: float) -> int:
    """How many jobs it may have under way."""
    while one.has_room(now):
        one.under_way += 1
    return one.under_way


def test_as_much_is_fetched_ahead_as_the_lanes_can_send() -> None:
    """Memory would fill with what cannot be sent for minutes, or lanes would wait for bytes."""
    assert room(bot(lane()), START) == 12  # one a second for ten seconds, and a little
    assert room(bot(lane(kind="channel")), START) == 6
    assert room(bot(lane(1), lane(2)), START) == 23


def test_no_more_than_the_bot_may_send_at_all() -> None:
    """A bot with a hundred chats would fetch ahead for a hundred a second."""
    one = bot(*(lane(chat) for chat in range(100)))
    assert one.allowance() == 1 + 100 + 30 * HORIZON_S


def test_without_a_pace_slots_and_memory_are_the_bound() -> None:
    """A local Bot API server would be fed drop by drop."""
    assert bot(lane(policy=UNPACED), policy=UNPACED).allowance() == FOREVER


def test_a_long_pause_leaves_no_room_until_it_comes_near() -> None:
    """A paused bot would hold the memory that others need, or fetch only once it may send."""
    one = paused_for(100.0)
    assert one.allowance() == 0
    assert one.is_far(START)
    assert one.next_lane(START) == (None, START + 90.0), "then its bytes are to be fetched"
    assert one.next_lane(START + 90.0) == (None, START + 100.0)
    assert not one.is_far(START + 90.0)
    assert one.has_room(START + 90.0)


def test_a_pause_that_has_come_near_leaves_room_whoever_asks_first() -> None:
    """A suspect would be looked at in time, find no room, and wait until the pause is over."""
    assert paused_for(100.0).has_room(START + 90.0)


def test_of_several_chats_only_the_paused_counts_for_nothing() -> None:
    """What cannot be sent for an hour would be fetched, at the cost of what can."""
    both = paused_for(3600.0, 0.0)
    assert room(both, START) == 12
    assert not both.is_far(START)


def test_a_pause_of_the_whole_bot_leaves_no_room() -> None:
    """All its chats are free, and nothing can be sent to any."""
    one = bot(lane())
    one.scope.until = START + 60.0
    assert one.is_far(START)
    assert not one.has_room(START)
    assert not one.is_far(START + 50.0)
    assert one.has_room(START + 50.0)


def test_a_bot_is_looked_at_in_time_to_fetch() -> None:
    """Its first upload after a pause would wait for its download; or it be looked at for nothing,
    over and over."""
    one = bot(lane())
    one.scope.until = START + 60.0
    assert one.fetch_at(START) == START + 50.0
    assert one.fetch_at(START + 50.0) == START + 60.0, "it has room by now"
    one.scope.probing = True
    assert one.fetch_at(START) == FOREVER


def test_a_shut_bot_is_looked_at_when_a_lane_of_it_comes_near() -> None:
    """Its own pause is nearly over, its chats' a little later: it would fetch only once it may
    send."""
    one = paused_for(60.3)
    one.scope.until = START + 60.0
    assert not one.has_room(START + 50.0)
    assert one.fetch_at(START + 50.0) == START + 60.3 - 10.0
    assert one.has_room(START + 60.3 - 10.0)


@given(st.floats(11.0, 5000.0))
def test_what_comes_near_is_near_at_that_very_moment(wait_s: float) -> None:
    """Rounding would let a bot be looked at in vain, and then too late, or for ever."""
    one = paused_for(wait_s)
    one.scope.until = one.lanes[0].paused_until
    assert one.has_room(one.fetch_at(START))
    one.check()


def test_a_closed_bot_is_far_until_it_may_be_probed() -> None:
    """The bytes for the probe would be dropped in front of it, and fetched again."""
    one = bot(lane())
    one.gate.refuse("Unauthorized", "no", START, began=LAST)
    one.gate.until = START + 60.0
    assert one.is_far(START)
    assert not one.is_far(START + 51.0)
    assert send(one, START + 60.0) is not None
    assert not one.is_far(START + 60.0), "its probe may open it at any moment"
    assert not one.has_room(START + 60.0)


def test_a_full_lane_is_near() -> None:
    """Slow uploads: what was fetched for the next ones would be dropped, and fetched again."""
    one = bot(lane(policy=UNPACED))
    one.lanes[0].in_flight_max = 1
    send_all(one, START)
    assert one.next_lane(START) == (None, FOREVER)
    assert not one.is_far(START)


def test_a_job_is_due_while_more_could_be_sent_at_once_than_is_under_way() -> None:
    """Bots that can send now would wait for the downloads of those that cannot."""
    one = bot(lane())
    assert one.is_due(START)
    one.under_way = 3
    assert not one.is_due(START), "its burst is under way already"
    two = bot(lane(1), lane(2))
    two.under_way = 5
    assert two.is_due(START), "of both chats"
    one.under_way = 0
    one.pace.spend(START)
    assert not one.is_due(START)
    assert one.is_due(START + 0.1)
    pause(one, one.lanes[0], START + 5.0, START + 0.1)
    assert not one.is_due(START + 0.1)
    assert one.has_room(START + 0.1), "ahead of its time it may be fetched all the same"


# -- costs ---------------------------------------------------------------------------------------


class Counted(Lane):
    """A lane that counts how often lanes are looked at."""

    looks: ClassVar[int] = 0

    def next_at(self, now: float) -> float:
        Counted.looks += 1
        return super().next_at(now)


@pytest.fixture
def ten_thousand() -> Iterator[Bot]:
    """A bot with ten thousand chats: each is paused until a second of its own, an hour away."""
    many = bot(*(Counted("alpha", n, "private", POLICY.pace("private")) for n in range(10_000)))
    for number, each in enumerate(many.lanes):
        pause(many, each, START + 3600.0 + number, START)
    Counted.looks = 0
    yield many
    many.check()


def test_parked_lanes_cost_nothing(ten_thousand: Bot) -> None:
    """Ten thousand punished chats would slow every decision of the daemon down."""
    for second in range(1000):
        now = START + second
        assert ten_thousand.next_lane(now) == (None, START + 3590.0)
        assert not ten_thousand.has_room(now)
        assert ten_thousand.is_far(now)
        assert not ten_thousand.is_due(now)
    assert Counted.looks == 0


def test_waking_costs_what_wakes(ten_thousand: Bot) -> None:
    """Each of ten thousand pauses that end would cost a look at all the others."""
    woken = 0
    for second in range(3590, 4100):
        ten_thousand.next_lane(START + second)
        ten_thousand.allowance()
        woken += 1
    assert Counted.looks <= 3 * woken + 10


def test_sending_costs_a_few_looks_whoever_is_parked(ten_thousand: Bot) -> None:
    """A bot with one free chat and many punished ones would be slower with each of them."""
    free = ten_thousand.lanes[5]
    free.paused_until = 0.0
    ten_thousand.stir(free, START)
    Counted.looks = 0
    for second in range(500):
        assert send(ten_thousand, START + second) is free
        ten_thousand.leave(free, START + second + 0.5)
    assert Counted.looks <= 500 * 4


def test_free_lanes_are_found_without_a_search() -> None:
    """The more chats could send, the longer each decision would take."""
    many = bot(*(Counted("alpha", n, "private", POLICY.pace("private")) for n in range(10_000)))
    many.in_flight_max = 1000
    Counted.looks = 0
    assert len(send_all(many, START, limit=500)) == 500
    assert Counted.looks <= 500 * 2


# -- any use, against a model that looks at every lane -------------------------------------------


class Naive:
    """A chat as its history says: what it was sent and told."""

    def __init__(self, kind: str | None) -> None:
        self.kind = kind
        self.sent: list[float] = []
        self.known_since: int | None = None
        """How many of those had been sent when its kind became known."""
        self.paused_until = 0.0
        self.closed_until: float | None = None
        self.probing = False
        self.in_flight = 0

    def _pace(self) -> float:
        """When its pace lets it go, from all that was ever sent."""
        theoretical = 0.0
        for number, at in enumerate(self.sent):
            private = self.kind == "private" and number >= (self.known_since or 0)
            theoretical = max(theoretical, at) + (1.0 if private else POLICY.pace(None).interval_s)
        private = self.kind == "private"
        interval_s, burst = (1.0, 3) if private else (POLICY.pace(None).interval_s, 5)
        earliest = theoretical - interval_s * (burst - 1)
        if not private and self.sent:
            earliest = max(earliest, self.sent[-1] + 1.0)
            if len(self.sent) >= 20:
                earliest = max(earliest, self.sent[-20] + 60.0)
        return earliest

    def next_at(self, now: float) -> float:
        if self.in_flight >= 3:
            return FOREVER
        if self.closed_until is not None:
            if self.probing:
                return FOREVER
            if now < self.closed_until:
                return self.closed_until
        return max(self._pace(), self.paused_until)

    def is_near(self, now: float) -> bool:
        """Whether something may be sent within the horizon, as far as anyone can tell."""
        at = self.next_at(now)
        full_or_probed = self.in_flight >= 3 or self.probing
        return full_or_probed if at == FOREVER else at <= now + HORIZON_S

    @property
    def per_hour(self) -> tuple[int, int]:
        """What it counts for, at least and at most. Once its kind is known, what it was counted
        for before may stand until it is sent to."""
        now = 3600 if self.kind == "private" else 1200
        return (1200 if self.known_since == len(self.sent) else now), now


class AnyUse(RuleBasedStateMachine):
    """Uploads, their ends, pauses, refusals and time in any order."""

    @initialize(
        kinds=st.lists(st.sampled_from(["private", "channel", None]), min_size=1, max_size=6)
    )
    def begin(self, kinds: list[str | None]) -> None:
        lanes = [lane(chat, kind) for chat, kind in enumerate(kinds)]
        for each in lanes:
            each.in_flight_max = 3
        self.bot = bot(*lanes)
        self.bot.in_flight_max = 8
        self.naive = [Naive(kind) for kind in kinds]
        self.flying: list[int] = []
        self.bot_sent = 0.0
        self.closed_until: float | None = None
        self.probing = False
        self.now = START

    def _shut_until(self) -> float:
        """When the bot may send, whatever its lanes say."""
        if self.closed_until is not None:
            if self.probing:
                return FOREVER
            if self.now < self.closed_until:
                return self.closed_until
        return FOREVER if len(self.flying) >= 8 else self.now

    @rule()
    def look(self) -> None:
        """The lane that is named may send; if none is, none may, and none may before that time."""
        found, at = self.bot.next_lane(self.now)
        shut_until = self._shut_until()
        if shut_until > self.now:
            assert (found, at) == (None, shut_until)
            return
        due = [each.next_at(self.now) for each in self.naive]
        if min(due) <= self.now:
            assert found is not None
            assert due[found.chat_id] <= self.now
            assert at == max(self.now, self.bot_sent + 1.0 / 30.0)
        else:
            assert found is None
            assert self.now < at <= min(due)
            assert (at == FOREVER) == (min(due) == FOREVER)

    @rule()
    def count(self) -> None:
        """As much is fetched as all lanes together can send."""
        if self._shut_until() > self.now:
            return  # then it does not matter, and nobody has looked
        self.bot.next_lane(self.now)
        near = [each.per_hour for each in self.naive if each.is_near(self.now)]
        least, most = zip(*near, strict=True) if near else ((), ())
        assert self._room(least) <= self.bot.allowance() <= self._room(most)
        assert self.bot.has_room(self.now) == bool(near)
        assert self.bot.is_far(self.now) != bool(near)

    def _room(self, per_hour: Sequence[int]) -> float:
        """For how many jobs, when lanes that send so many in an hour are near."""
        free = sum(each.next_at(self.now) <= self.now for each in self.naive)
        return 1 + free + sum(per_hour) * HORIZON_S / 3600 if per_hour else 0

    @rule(count=st.integers(1, 30), takes_quarters=st.integers(0, 8))
    def send(self, count: int, takes_quarters: int) -> None:
        """So many in a row, each accepted after a while but the last."""
        for number in range(count):
            if number:
                self.now += takes_quarters / 4
                self.end(-1, "accepted", 1)
            self.wait_as_told()
            found, at = self.bot.next_lane(self.now)
            if found is None:
                return
            self.now = max(self.now, at)
            self._begin(found)

    def _begin(self, found: Lane) -> None:
        self.bot.enter(found, SIZE_BYTES, self.now)
        each = self.naive[found.chat_id]
        each.sent.append(self.now)
        each.in_flight += 1
        each.probing = each.closed_until is not None
        self.probing = self.closed_until is not None
        self.bot_sent = self.now
        self.flying.append(found.chat_id)

    @precondition(lambda self: self.flying)
    @rule(
        which=st.integers(0, 99),
        how=st.sampled_from(["accepted", "failed", "flooded", "chat refused", "bot refused"]),
        wait_s=st.integers(1, 240),
    )
    def end(self, which: int, how: str, wait_s: int) -> None:
        """An upload ends; noted as `Uploads` does."""
        chat = self.flying.pop(which % len(self.flying))
        one, each = self.bot.lanes[chat], self.naive[chat]
        each.in_flight -= 1
        one.gate.leave(began=LAST)
        self.bot.gate.leave(began=LAST)
        each.probing = self.probing = False
        match how:
            case "accepted":
                one.gate.accept()
                self.bot.gate.accept()
                each.closed_until = self.closed_until = None
            case "flooded":
                one.pause(self.now + wait_s / 4)
                each.paused_until = max(each.paused_until, self.now + wait_s / 4)
            case "chat refused":
                one.gate.refuse("ChatRefused", "no", self.now, began=LAST)
                each.closed_until = one.gate.until
            case "bot refused":
                self.bot.gate.refuse("Unauthorized", "no", self.now, began=LAST)
                self.closed_until = self.bot.gate.until
        self.bot.leave(one, self.now)

    @rule(which=st.integers(0, 99), wait_s=st.integers(1, 240))
    def pause(self, which: int, wait_s: int) -> None:
        """What an earlier life of the daemon was told."""
        chat = which % len(self.naive)
        until = self.now + wait_s / 4
        pause(self.bot, self.bot.lanes[chat], until, self.now)
        self.naive[chat].paused_until = max(self.naive[chat].paused_until, until)

    @rule(which=st.integers(0, 99), kind=st.sampled_from(["private", "channel"]))
    def learn_kind(self, which: int, kind: str) -> None:
        chat = which % len(self.naive)
        one, each = self.bot.lanes[chat], self.naive[chat]
        if each.kind is None:
            one.repace(POLICY.pace(kind))
            self.bot.stir(one, self.now)
            each.kind, each.known_since = kind, len(each.sent)

    @rule(quarters=st.integers(0, 200))
    def wait(self, quarters: int) -> None:
        self.now += quarters / 4

    @rule()
    def wait_as_told(self) -> None:
        """Whoever comes when it is told to finds the lane that is due."""
        for _ in range(2 * len(self.naive) + 2):
            found, at = self.bot.next_lane(self.now)
            if found is not None or at == FOREVER:
                return
            assert at > self.now, "would be looked at without end"
            self.now = at
        raise AssertionError("told to come, and nothing is due")

    @invariant()
    def its_books_agree(self) -> None:
        if hasattr(self, "bot"):
            self.bot.check()
            assert self.bot.in_flight == len(self.flying)


TestAnyUse = AnyUse.TestCase
TestAnyUse.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
