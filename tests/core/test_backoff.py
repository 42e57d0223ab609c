"""How long to wait: bounded, spread, and longer each time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prewarmd.core.backoff import Rate, RestartPolicy, RetryPolicy

JITTER = st.floats(0, 1, exclude_max=True)
ATTEMPT = st.integers(1, 10_000)


@given(ATTEMPT, JITTER)
def test_a_retry_waits_between_a_moment_and_the_cap(attempt: int, jitter: float) -> None:
    """A retry would hammer the store, or come after days, or overflow."""
    policy = RetryPolicy()
    assert 0.05 <= policy.delay_s(attempt, jitter) <= policy.cap_s


def test_the_ceiling_of_a_retry_doubles() -> None:
    """A store that is down would be asked at the same rate for ever."""
    policy = RetryPolicy(base_s=1.0, cap_s=10.0)
    assert [policy.delay_s(attempt, 0.5) for attempt in range(1, 7)] == [0.5, 1, 2, 4, 5, 5]


def test_jitter_spreads_from_almost_nothing_to_the_ceiling() -> None:
    """A thousand jobs that failed together would come back together."""
    policy = RetryPolicy()
    assert policy.delay_s(5, 0.0) == 0.05
    assert policy.delay_s(5, 0.25) == 4.0
    assert policy.delay_s(5, 0.999) == pytest.approx(15.984)


@given(ATTEMPT, JITTER)
def test_a_retry_that_may_duplicate_is_late(attempt: int, jitter: float) -> None:
    """A slow answer would not get its chance, and the media be sent twice for nothing."""
    policy = RetryPolicy()
    assert policy.late_s <= policy.late_delay_s(attempt, jitter) <= 1.5 * policy.cap_s


@given(st.integers(1, 6), JITTER)
def test_a_late_retry_is_later_each_time(attempt: int, jitter: float) -> None:
    """Telegram in trouble would get duplicate after duplicate at the same pace."""
    policy = RetryPolicy(cap_s=1e9)
    assert policy.late_delay_s(attempt + 1, 0.0) > policy.late_delay_s(attempt, jitter)


def test_a_first_death_is_made_good_at_once() -> None:
    """One stray SIGKILL would cost capacity."""
    assert RestartPolicy().delay_s(1, 0.9) == 0.0


@given(st.integers(2, 10_000), JITTER)
def test_later_deaths_back_off_up_to_the_cap(deaths: int, jitter: float) -> None:
    """A child that dies at once would be started hundreds of times a second."""
    policy = RestartPolicy()
    assert policy.first_s / 2 <= policy.delay_s(deaths, jitter) <= policy.cap_s
    assert policy.delay_s(deaths + 1, jitter) >= policy.delay_s(deaths, jitter)


def test_the_backoff_of_children_doubles() -> None:
    """The wait between starts of a broken child would not grow."""
    policy = RestartPolicy(first_s=0.1, cap_s=1.0)
    delays = [policy.delay_s(deaths, 0.0) for deaths in range(1, 8)]
    assert delays == pytest.approx([0, 0.05, 0.1, 0.2, 0.4, 0.5, 0.5])


def test_a_rate_counts_the_window_and_forgets_what_is_before() -> None:
    """`ready per minute` would grow for ever, or always be 0."""
    rate = Rate(window_s=60)
    rate.count(0.0)
    rate.count(0.9, events=4)
    rate.count(30.0, events=10)
    assert rate.per_window(30.0) == 15
    assert rate.per_window(59.9) == 15
    assert rate.per_window(60.0) == 10
    assert rate.per_window(90.0) == 0
    assert rate.per_window(1e9) == 0


@given(
    st.lists(st.tuples(st.floats(0, 30), st.integers(1, 5)), max_size=50),
    st.integers(1, 60),
)
def test_a_rate_is_the_sum_of_its_whole_seconds(
    steps: list[tuple[float, int]], window_s: int
) -> None:
    """The dashboard's figure would drift from what happened."""
    rate = Rate(window_s)
    now = 0.0
    happened: list[tuple[int, int]] = []
    for step, events in steps:
        now += step
        rate.count(now, events)
        happened.append((int(now), events))
        assert rate.per_window(now) == sum(n for at, n in happened if at > now - window_s)


def test_who_may_have_been_sent_waits_twice_as_long_each_time() -> None:
    """A slow answer would not get its chance, or the job sleep for hours."""
    policy = RetryPolicy(late_s=5.0, cap_s=300.0)
    waits = [policy.late_delay_s(attempt, 0.0) for attempt in (0, 1, 2, 3, 10)]
    assert waits == [5.0, 5.0, 10.0, 20.0, 300.0]
    assert policy.late_delay_s(1, 1.0) == 7.5
