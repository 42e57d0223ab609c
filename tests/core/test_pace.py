"""A pace: when the next send may be, at a rate that may change."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prewarmd.core.lanes import LimitPolicy
from prewarmd.core.pace import Pace

POLICY = LimitPolicy()
GAPS = st.lists(st.floats(0, 20), max_size=200)
FACTORS = st.floats(0.1, 4.0)
EPSILON = 1e-9
PACES = {
    "private": lambda: POLICY.pace("private"),
    "channel": lambda: POLICY.pace("channel"),
    "bot": POLICY.bot_pace,
}


def sends(pace: Pace, gaps: Sequence[float], count: int = 200) -> list[float]:
    """When a client that wants to send at those times, and then without end, may do so."""
    at, times = 0.0, []
    for gap in [*gaps, *[0.0] * (count - len(gaps))]:
        at = max(at + gap, pace.next_at)
        pace.spend(at)
        times.append(at)
    return times


def most_within(times: list[float], window_s: float) -> int:
    """The largest number of sends in any half-open window of that length."""
    first, most = 0, 0
    for last, at in enumerate(times):
        while times[first] <= at - window_s + EPSILON:
            first += 1
        most = max(most, last - first + 1)
    return most


# -- the documented rates ------------------------------------------------------------------------


@given(GAPS)
def test_a_private_chat_gets_one_a_second_and_a_small_burst(gaps: list[float]) -> None:
    """Telegram would answer 429, and the chat stand still."""
    times = sends(POLICY.pace("private"), gaps)
    for window_s in (1, 5, 60):
        assert most_within(times, window_s) <= window_s * POLICY.private_per_s + 2


@given(GAPS)
def test_a_group_gets_twenty_in_any_minute(gaps: list[float]) -> None:
    """The documented limit is per minute, burst included: the 21st earns a 429."""
    assert most_within(sends(POLICY.pace("group"), gaps), 60.0) <= 20


@given(GAPS)
def test_a_group_gets_never_two_within_a_second(gaps: list[float]) -> None:
    """A burst without spacing is what earns a 429."""
    assert most_within(sends(POLICY.pace("channel"), gaps), 1.0) == 1


@pytest.mark.parametrize("kind", ["supergroup", "channel", None])
def test_what_is_not_private_is_paced_like_a_group(kind: str | None) -> None:
    """A chat whose kind is not known yet would be sent to three times too fast."""
    assert POLICY.pace(kind) == POLICY.pace("group")


@given(GAPS)
def test_a_bot_gets_thirty_a_second_over_all_its_chats(gaps: list[float]) -> None:
    """Many warm-up chats would together break the limit of their bot."""
    assert most_within(sends(POLICY.bot_pace(), gaps), 1.0) <= 30


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
        assert pace.is_unpaced
        pace.scale(0.1)
        pace.hold_back(60.0, 0.0)
        assert sends(pace, [], 1000)[-1] == 0.0
        assert pace.per_hour > 1_000_000_000


@pytest.mark.parametrize(("name", "per_hour"), [("private", 3600), ("channel", 1200)])
def test_it_says_what_it_comes_to_in_an_hour(name: str, per_hour: int) -> None:
    """Too much would be fetched ahead of a slow chat, or too little for a fast one."""
    pace = PACES[name]()
    assert pace.per_hour == per_hour
    pace.scale(0.5)
    assert pace.per_hour == per_hour / 2


# -- foretelling ---------------------------------------------------------------------------------


@given(st.sampled_from(["private", "bot"]), GAPS, FACTORS)
def test_it_foretells_to_the_moment_when_a_bucket_has_credit(
    name: str, gaps: list[float], factor: float
) -> None:
    """A lane would be looked at too early, over and over, or too late, and lose its rate."""
    pace = replace(PACES[name](), factor=factor)
    per_s, burst = pace.per_s * factor, float(pace.burst)
    credit, before = burst, 0.0
    for at in sends(pace, gaps):
        credit = min(burst, credit + (at - before) * per_s)
        assert credit >= 1 - 1e-6, "sent without credit"
        credit -= 1
        before = at
    assert credit + (pace.next_at - before) * per_s == pytest.approx(1, abs=1e-6)


# -- a rate that changes -------------------------------------------------------------------------


@given(GAPS, FACTORS)
def test_a_factor_scales_the_rate_and_the_window(gaps: list[float], factor: float) -> None:
    """A chat that takes less than is documented would earn a 429 every minute."""
    private, channel = POLICY.pace("private"), POLICY.pace("channel")
    private.scale(factor)
    channel.scale(factor)
    for window_s in (1, 5, 60):
        assert most_within(sends(private, gaps), window_s) <= window_s * factor + 3
    assert channel.span_s == 60 / factor
    times = sends(channel, gaps)
    assert most_within(times, 60 / factor) <= 20
    assert most_within(times, 1.0) == 1


@given(st.sampled_from(sorted(PACES)), GAPS, FACTORS, FACTORS)
def test_a_slower_pace_lets_nobody_go_sooner(
    name: str, gaps: list[float], before: float, after: float
) -> None:
    """A decrease would hand out a fresh burst, just when Telegram has asked for less."""
    pace = PACES[name]()
    pace.scale(max(before, after))
    sends(pace, gaps, len(gaps))
    foretold = pace.next_at
    pace.scale(min(before, after))
    assert pace.next_at >= foretold - EPSILON


@given(GAPS, FACTORS, FACTORS)
def test_a_change_on_the_way_gives_no_second_burst(
    gaps: list[float], before: float, after: float
) -> None:
    """Each correction of a pace would let a burst through on top of the rate."""
    pace = POLICY.pace("private")
    pace.scale(before)
    first = sends(pace, gaps, 50)
    pace.scale(after)
    last = first[-1]
    times = [last]
    for _ in range(50):
        last = max(last, pace.next_at)
        pace.spend(last)
        times.append(last)
    assert most_within(first + times[1:], 10.0) <= 10 * max(before, after) + 3


@given(st.sampled_from(sorted(PACES)), GAPS, st.floats(0, 30), st.floats(0, 10))
def test_what_was_sent_too_early_is_made_up_for(
    name: str, gaps: list[float], wait_s: float, seconds: float
) -> None:
    """Telegram's delay would stay as long as it is, a flood ahead of it."""
    pace = PACES[name]()
    now = (sends(pace, gaps, len(gaps)) or [0.0])[-1] + wait_s
    foretold = pace.next_at
    pace.hold_back(seconds, now)
    owed = now if pace.window else max(now, foretold)  # a window makes up for it by itself
    assert pace.next_at >= owed + seconds - EPSILON
    sent = max(now, pace.next_at)
    pace.spend(sent)
    assert pace.next_at <= sent + max(pace.interval_s, pace.span_s) + EPSILON, "more than asked"


# -- a kind that becomes known -------------------------------------------------------------------


def test_what_was_sent_before_the_kind_was_known_counts() -> None:
    """A channel would get twenty more in the minute in which getChat is answered."""
    unknown, known = POLICY.pace(None), POLICY.pace("channel")
    before = sends(unknown, [], 12)
    known.follow(unknown)
    at, after = before[-1], []
    for _ in range(30):
        at = max(at, known.next_at)
        known.spend(at)
        after.append(at)
    assert most_within(before + after, 60.0) <= 20
    assert most_within(before + after, 1.0) == 1


def test_a_private_chat_is_free_of_the_window_it_was_taken_for() -> None:
    """It would go on at a third of its rate."""
    unknown, known = POLICY.pace(None), POLICY.pace("private")
    before = sends(unknown, [], 5)
    known.follow(unknown)
    assert known.next_at <= before[-1] + 15.0
    assert not known.span_s


def test_how_its_rate_was_found_to_be_outlives_its_kind() -> None:
    """After a restart the remembered rate would be forgotten as soon as getChat is answered, and
    the chat be driven into the same flood again."""
    unknown, known = POLICY.pace(None), POLICY.pace("private")
    unknown.scale(0.5)
    known.follow(unknown)
    assert known.factor == 0.5
    assert known.interval_s == 2.0
