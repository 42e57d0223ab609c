"""The score: the seed's table, exact at every moment."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prewarmd.core.jobs import Job, JobId, Kind
from prewarmd.core.scoring import LEVELS, ScorePolicy

POLICY = ScorePolicy()
OLD = 60.0


def job(
    kind: Kind = Kind.DOCUMENT, size_bytes: int | None = None, priority: int | None = None
) -> Job:
    return Job(
        JobId(1), "alpha", "media", "k", kind, created=0.0, priority=priority,
        size_bytes=size_bytes,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "size_bytes", "now", "level"),
    [
        (Kind.DOCUMENT, None, OLD, 100),
        (Kind.AUDIO, None, OLD, 100),
        (Kind.PHOTO, None, OLD, 120),
        (Kind.VIDEO, None, OLD, 90),
        (Kind.DOCUMENT, None, 0.0, 115),
        (Kind.DOCUMENT, None, 59.999, 115),
        (Kind.DOCUMENT, 0, OLD, 150),
        (Kind.DOCUMENT, 99_999, OLD, 150),
        (Kind.DOCUMENT, 100_000, OLD, 130),
        (Kind.DOCUMENT, 999_999, OLD, 130),
        (Kind.DOCUMENT, 1_000_000, OLD, 100),
        (Kind.DOCUMENT, 20_000_000, OLD, 100),
        (Kind.DOCUMENT, 20_000_001, OLD, 80),
        (Kind.PHOTO, 50_000, 0.0, 185),
        (Kind.VIDEO, 30_000_000, OLD, 70),
    ],
)
def test_the_seeds_table(kind: Kind, size_bytes: int | None, now: float, level: int) -> None:
    """Operators know these figures from the system that this one replaces."""
    assert POLICY.level(job(kind, size_bytes), now) == level


@pytest.mark.parametrize("priority", [0, 1, 255])
def test_an_explicit_priority_replaces_the_score(priority: int) -> None:
    """A client could not say what it needs first; 0 is a priority, too."""
    urgent = job(Kind.PHOTO, 10, priority)
    assert POLICY.level(urgent, 0.0) == priority
    assert POLICY.ages_at(urgent, 0.0) is None


def test_youth_ends_once() -> None:
    """A job would keep its bonus, or be moved for ever."""
    assert POLICY.ages_at(job(), 0.0) == 60.0
    assert POLICY.ages_at(job(), 60.0) is None


@given(
    st.sampled_from(Kind),
    st.none() | st.integers(0, 1 << 40),
    st.floats(0, 1e9),
    st.integers(-1000, 1000),
)
def test_a_level_is_always_a_level(
    kind: Kind, size_bytes: int | None, now: float, base: int
) -> None:
    """Weights of one's own would index past the ready queue."""
    policy = ScorePolicy(base=base)
    assert 0 <= policy.level(job(kind, size_bytes), now) < LEVELS


@given(st.sampled_from(Kind), st.none() | st.integers(0, 1 << 30), st.floats(0, 120))
def test_the_level_changes_only_when_it_said_it_would(
    kind: Kind, size_bytes: int | None, now: float
) -> None:
    """The engine moves a job at `ages_at` and never looks otherwise."""
    it = job(kind, size_bytes)
    at = POLICY.ages_at(it, 0.0)
    assert at is not None
    same_as = 0.0 if now < at else at
    assert POLICY.level(it, now) == POLICY.level(it, same_as)
