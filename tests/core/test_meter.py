"""A meter: so many bytes a second over all children, whatever the sizes."""

from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prewarmd.core.meter import Meter

SIZE = st.one_of(st.integers(1, 10_000), st.integers(1, 50_000_000))
TRANSFERS = st.lists(st.tuples(SIZE, st.floats(0.0, 5.0)), min_size=1, max_size=40)


def starts(meter: Meter, transfers: list[tuple[int, float]]) -> list[float]:
    """When transfers start that are wanted so many seconds after one another."""
    now, times = 0.0, []
    for size_bytes, pause_s in transfers:
        now += pause_s
        if not meter.may_pass(now):
            now = meter.paid_at
        assert meter.may_pass(now)
        meter.spend(size_bytes, now)
        times.append(now)
    return times


@given(st.sampled_from([1_000.0, 1e6, 12.5e6]), TRANSFERS)
def test_over_any_stretch_the_budget_is_exceeded_by_one_transfer_at_most(
    bytes_per_s: float, transfers: list[tuple[int, float]]
) -> None:
    """The line that was to be spared would be full for minutes after every idle hour."""
    times = starts(Meter(bytes_per_s), transfers)
    sizes = [size_bytes for size_bytes, _ in transfers]
    sums = [0, *accumulate(sizes)]
    for first, since in enumerate(times):
        for last in range(first, len(times)):
            carried = sums[last + 1] - sums[first]
            budget = bytes_per_s * (times[last] - since)
            assert carried <= (budget + sizes[last]) * (1 + 1e-9) + 1


@given(st.sampled_from([1_000.0, 1e6]), st.lists(SIZE, min_size=2, max_size=40))
def test_the_budget_is_used_up(bytes_per_s: float, sizes: list[int]) -> None:
    """Half the line that was paid for would stand idle."""
    times = starts(Meter(bytes_per_s), [(size_bytes, 0.0) for size_bytes in sizes])
    assert times[-1] == pytest.approx(sum(sizes[:-1]) / bytes_per_s)


def test_no_transfer_is_too_large_for_it() -> None:
    """A video of more bytes than a second may carry would wait for ever."""
    meter = Meter(1000.0)
    assert meter.may_pass(0.0)
    meter.spend(50_000_000, 0.0)
    assert not meter.may_pass(49_999.0)
    assert meter.may_pass(50_000.0)


def test_idleness_is_not_saved_up() -> None:
    """After a quiet night everything would go at once."""
    meter = Meter(1000.0)
    meter.spend(1000, 0.0)
    meter.spend(1000, 3600.0)
    assert not meter.may_pass(3600.9)


def test_what_turns_out_larger_is_paid_for_later() -> None:
    """A size that is known only once the head is in would never be charged."""
    meter = Meter(1000.0)
    meter.spend(0, 0.0)
    assert meter.may_pass(0.0)
    for _ in range(3):
        meter.spend(2000, 0.5)
    assert meter.paid_at == 6.5


def test_without_a_limit_everything_passes() -> None:
    """Who sets no limit would be slowed down all the same, or divide by zero."""
    meter = Meter()
    for _ in range(1000):
        assert meter.may_pass(0.0)
        meter.spend(50_000_000, 0.0)
    assert meter.paid_at == 0.0
