"""Seeds that failed once, each with what it showed; replayed by `test_regressions`.

A seed means the same world only as long as the world's dice are rolled in the same order. When the
models change, an old seed still runs, but may not meet what it once met: the tests of `core` hold
the distilled histories, this list is what they were distilled from.
"""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Regression:
    """One seed, with the fields of the swarm that were not its own."""

    seed: int
    showed: str
    """What was wrong, in one line."""
    changes: dict[str, Any] = field(default_factory=dict)
    steps: int = 6000


REGRESSIONS: tuple[Regression, ...] = ()
