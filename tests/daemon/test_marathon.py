"""A short form of `make marathon`."""

import pytest

from tests.marathon import run


@pytest.mark.timeout(150)
async def test_every_kind_through_floods_and_failures() -> None:
    """All ready, with ids that the server knows; 429s met, and no send inside a pause; nothing sent
    twice but what nobody could know of; no token in a log at DEBUG."""
    outcome = await run(60, seed=3, bots=2, pairs=1, rate_factor=0.3)
    assert outcome.wrong == [], outcome
    assert outcome.flooded.total() > 0
    assert outcome.floods > 0
    assert outcome.faults > 0
    assert outcome.doubts > 0
    assert outcome.log_lines > 0
