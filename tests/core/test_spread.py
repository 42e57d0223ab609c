"""A spread: uploads of exactly one size are kept apart, as a hosted server keeps them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prewarmd.core.spread import SIZES_KEPT, Spread
from prewarmd.sandbox.flood_pace import SameSize
from prewarmd.sandbox.flood_policy import FloodPolicy


@pytest.mark.parametrize(
    ("size_bytes", "spacing_s"),
    [(100_001, 0.2), (2_000_000, 0.2), (5_000_000, 0.5), (9_000_000, 0.9), (50_000_000, 0.9)],
)
def test_two_of_one_size_are_apart_by_what_their_size_asks_for(
    size_bytes: int, spacing_s: float
) -> None:
    """The server would queue them, and refuse the bot for a minute once there are enough."""
    spread = Spread()
    assert spread.free_at(size_bytes) <= 0.0
    spread.spend(size_bytes, 10.0)
    assert spread.free_at(size_bytes) == pytest.approx(10.0 + spacing_s)


@pytest.mark.parametrize("size_bytes", [0, 1, 100_000])
def test_small_ones_are_not_kept_apart(size_bytes: int) -> None:
    """A catalogue of thumbnails would take a fifth of a second each."""
    spread = Spread()
    spread.spend(size_bytes, 10.0)
    assert spread.free_at(size_bytes) <= 10.0


def test_other_sizes_are_free() -> None:
    """Ordinary media, which hardly ever collide, would be slowed down."""
    spread = Spread()
    spread.spend(500_000, 10.0)
    assert spread.free_at(500_001) <= 10.0
    assert spread.free_at(499_999) <= 10.0


def test_a_server_without_a_guard_is_sent_to_as_it_comes() -> None:
    """A local Bot API server would be as slow as the hosted one."""
    spread = Spread(guarded=False)
    spread.spend(9_000_000, 10.0)
    assert spread.free_at(9_000_000) <= 10.0


@given(st.lists(st.tuples(st.sampled_from([150_000, 4_000_000, 20_000_000]), st.floats(0, 2))))
def test_who_keeps_to_it_never_waits_at_the_server(plan: list[tuple[int, float]]) -> None:
    """Uploads would stand in the server's queue with their slots and bytes, instead of letting
    others pass."""
    spread, server, now = Spread(), SameSize(FloodPolicy()), 0.0
    for size_bytes, wait_s in plan:
        now = max(now + wait_s, spread.free_at(size_bytes))
        spread.spend(size_bytes, now)
        assert server.due(size_bytes, now) == now


def test_it_forgets_sizes_whose_time_is_over() -> None:
    """A bot with a million media would keep a million sizes in memory."""
    spread, now = Spread(), 0.0
    for size_bytes in range(200_000, 220_000):
        now += 1 / 30
        spread.spend(size_bytes, now)
        for recent in range(max(200_000, size_bytes - 4), size_bytes + 1):
            assert spread.free_at(recent) > now
        assert len(spread._free_at) <= SIZES_KEPT
