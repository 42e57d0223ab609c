"""What rounds have shown: a value per name and round.

Compared is within a round, because the machine's clock differs from round to round; what is told is
the median over the rounds.
"""

import statistics
from collections import defaultdict

from bench.calibrate import loop_s, speed


class Samples:
    """Of interleaved rounds."""

    def __init__(self) -> None:
        self._values: dict[str, list[float]] = defaultdict(list)
        self._loops_s: list[float] = []

    def add(self, name: str, value: float) -> None:
        """One more, of this round."""
        self._values[name].append(value)
        self._loops_s.append(loop_s())

    def median(self, name: str) -> float:
        """Over the rounds."""
        return statistics.median(self._values[name])

    def ratio(self, name: str, other: str) -> float:
        """The median of what `name` was, measured in `other`s of the same round."""
        pairs = zip(self._values[name], self._values[other], strict=True)
        return statistics.median(one / two for one, two in pairs)

    def told(self) -> str:
        """One line: lowest to highest of each, and how fast the machine was meanwhile."""
        shown = ", ".join(
            f"{name} {min(values):,.4g} to {max(values):,.4g}"
            for name, values in self._values.items()
        )
        slow, fast = speed(max(self._loops_s)), speed(min(self._loops_s))
        return f"{shown}; machine speed {slow:.2f} to {fast:.2f}"
