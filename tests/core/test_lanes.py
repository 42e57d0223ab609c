"""Lanes: how fast a chat and a bot are sent to, and what stops them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prewarmd.core.lanes import FOREVER, Bot, Lane, LimitPolicy, Pace

POLICY = LimitPolicy()
GAPS = st.lists(st.floats(0, 20), max_size=200)


def sends(pace: Pace, gaps: list[float], count: int = 200) -> list[float]:
    """When a client that wants to send at those times, and then without end, may do so."""
    at, times = 0.0, []
    for gap in [*gaps, *[0.0] * (count - len(gaps))]:
        at = max(at + gap, pace.next_at())
        pace.spend(at)
        times.append(at)
    return times


def most_within(times: list[float], window_s: float) -> int:
    """The largest number of sends in any half-open window of that length."""
    first, most = 0, 0
    for last, at in enumerate(times):
        while times[first] <= at - window_s + 1e-9:
            first += 1
        most = max(most, last - first + 1)
    return most


def lane(chat_id: int = 1, kind: str | None = "private", policy: LimitPolicy = POLICY) -> Lane:
    return Lane("alpha", chat_id, kind, policy.pace(kind), in_flight_max=policy.in_flight_max)


def bot(*lanes: Lane) -> Bot:
    return Bot("alpha", list(lanes), POLICY.bot_pace())


@given(GAPS)
def test_a_private_chat_gets_one_a_second_and_a_small_burst(gaps: list[float]) -> None:
    """Telegram would answer 429, and the chat stand still."""
    times = sends(POLICY.pace("private"), gaps)
    for window_s in (1, 5, 60):
        assert most_within(times, window_s) <= window_s * POLICY.private_per_s + 2


def test_a_group_gets_twenty_in_any_minute() -> None:
    """The documented limit is per minute, burst included: the 21st earns a 429."""
    assert most_within(sends(POLICY.pace("group"), []), 60.0) <= 20


@pytest.mark.parametrize("kind", ["supergroup", "channel", None])
def test_what_is_not_private_is_paced_like_a_group(kind: str | None) -> None:
    """A chat whose kind is not known yet would be sent to three times too fast."""
    assert POLICY.pace(kind) == POLICY.pace("group")


@given(GAPS)
def test_a_group_gets_never_two_within_a_second(gaps: list[float]) -> None:
    """A burst without spacing is what earns a 429."""
    times = sends(POLICY.pace("channel"), gaps)
    assert most_within(times, 1.0) == 1


@given(GAPS)
def test_a_group_keeps_to_its_rate_after_its_burst(gaps: list[float]) -> None:
    """Ten minutes would carry far more than ten minutes' worth."""
    times = sends(POLICY.pace("channel"), gaps, 300)
    for minutes in (1, 5, 10):
        assert most_within(times, 60.0 * minutes) <= 20 * minutes + POLICY.group_burst


@given(GAPS)
def test_a_bot_gets_thirty_a_second_over_all_its_chats(gaps: list[float]) -> None:
    """Many warm-up chats would together break the limit of their bot."""
    times = sends(POLICY.bot_pace(), gaps)
    assert most_within(times, 1.0) <= 30


def test_the_rate_is_reached() -> None:
    """A limit that is never used up would be slower than it must."""
    assert sends(POLICY.pace("private"), [], 63)[-1] == pytest.approx(60)
    assert sends(POLICY.pace("channel"), [], 200)[-1] <= 600
    assert sends(POLICY.bot_pace(), [], 301)[-1] == pytest.approx(10)


@pytest.mark.parametrize("kind", ["private", "channel", None])
def test_the_profile_none_paces_nothing(kind: str | None) -> None:
    """A local Bot API server without limits would be driven as slowly as the hosted one."""
    unpaced = LimitPolicy(paced=False)
    for pace in (unpaced.pace(kind), unpaced.bot_pace()):
        assert sends(pace, [], 1000)[-1] == 0.0
        assert pace.allowed_between(0.0, 10.0) == FOREVER
    assert unpaced.in_flight_max > 1000


def test_the_profile_none_obeys_a_429() -> None:
    """Telegram would be asked again at once, and ask for longer each time."""
    unpaced = lane(policy=LimitPolicy(paced=False))
    unpaced.pause(30.0)
    assert unpaced.next_at(1.0) == 30.0


@given(
    st.sampled_from(["private", "channel"]),
    st.lists(st.floats(0, 3), max_size=12),
    st.floats(0, 30),
    st.floats(0, 40),
)
def test_it_foretells_about_what_may_be_sent(
    kind: str, gaps: list[float], wait_s: float, horizon_s: float
) -> None:
    """Nothing would be fetched ahead of a lane that may send, or far more than it can."""
    pace = POLICY.pace(kind)
    now = (sends(pace, gaps, len(gaps)) or [0.0])[-1] + wait_s
    foretold = pace.allowed_between(now, now + horizon_s)
    count, at = 0, max(now, pace.next_at())
    while at <= now + horizon_s:
        pace.spend(at)
        at = max(at, pace.next_at())
        count += 1
    assert foretold >= min(1, count)
    assert foretold <= count + pace.burst


def test_a_lane_that_may_not_send_within_the_horizon_is_foretold_nothing() -> None:
    """Its next job would be loaded and put back at every turn, each time with two writes."""
    pace = LimitPolicy(group_per_min=2.0, group_burst=1).pace("channel")
    pace.spend(0.0)
    assert pace.allowed_between(0.0, 30.1) >= 1
    assert pace.allowed_between(0.0, 10.0) == 0


def test_a_pause_is_never_cut_short() -> None:
    """Of two answers to one flood the shorter would count, and earn the next 429."""
    paused = lane()
    paused.pause(40.0)
    paused.pause(20.0)
    assert paused.next_at(1.0) == 40.0
    assert paused.next_at(50.0) == 40.0


def test_no_more_in_flight_than_a_chat_takes() -> None:
    """More only queue up at Telegram, and time out there."""
    busy = lane()
    busy.in_flight = 10
    assert busy.next_at(100.0) == FOREVER
    busy.in_flight = 9
    assert busy.next_at(100.0) <= 100.0


def test_a_closed_lane_knows_when_its_probe_is_due() -> None:
    """A chat that refused once would be lost, or be asked without end."""
    closed = lane()
    closed.gate.refuse("ChatRefused", "no", 100.0)
    assert closed.next_at(100.0) == 105.0
    assert closed.next_at(105.0) <= 105.0
    closed.gate.enter()
    assert closed.next_at(105.0) == FOREVER


def test_a_paused_chat_leaves_the_others_alone() -> None:
    """One punished chat would stop its bot."""
    paused, free = lane(1), lane(2)
    paused.pause(1000.0)
    both = bot(paused, free)
    chosen, at = both.next_lane(100.0)
    assert chosen is free
    assert at <= 100.0
    assert both.room(100.0, 10.0)


def test_the_soonest_lane_is_next_and_among_equals_the_idler() -> None:
    """One chat would take all while the next stands idle."""
    first, second = lane(1), lane(2)
    both = bot(first, second)
    first.pause(8.0)
    second.pause(5.0)
    assert both.next_lane(0.0) == (second, 5.0)
    second.pause(8.0)
    first.in_flight = 1
    assert both.next_lane(0.0) == (second, 8.0)


def test_the_pace_of_the_bot_holds_for_every_lane() -> None:
    """Thirty chats would send thirty at once."""
    many = bot(*(lane(chat) for chat in range(40)))
    times: list[float] = []
    for _ in range(60):
        now = times[-1] if times else 0.0
        chosen, at = many.next_lane(now)
        assert chosen is not None
        at = max(at, now)
        chosen.pace.spend(at)
        many.pace.spend(at)
        times.append(at)
    assert most_within(times, 1.0) <= 30


def test_a_closed_bot_has_no_lane_until_its_probe_is_due() -> None:
    """A revoked token would be tried with every job."""
    closed = bot(lane())
    closed.gate.refuse("Unauthorized", "no", 100.0)
    assert closed.next_lane(101.0) == (None, 105.0)
    assert not closed.room(101.0, 10.0)
    closed.gate.enter()
    assert closed.next_lane(200.0) == (None, FOREVER)


def test_as_much_is_fetched_ahead_as_the_lanes_can_send() -> None:
    """Memory would fill with what cannot be sent for minutes."""
    one = bot(lane())
    taken = 0
    while one.room(100.0, 10.0):
        one.under_way += 1
        taken += 1
    assert taken == 13  # three at once, then one a second


def test_a_long_pause_leaves_no_room() -> None:
    """A paused bot would hold the memory that others need."""
    paused = bot(lane())
    paused.lanes[0].pause(111.0)
    assert not paused.room(100.0, 10.0)
    assert paused.room(101.0, 10.0)
