"""A failing seed made small: as few steps and as calm a world as still break the same invariant.

First the steps are halved; then settings go back to those of the calm world, many at once and then
one by one; what still fails is kept. Each model of the world has dice of its own, so switching one
trouble off disturbs the others as little as can be.
"""

from dataclasses import dataclass
from time import monotonic
from typing import Any

from tests.simulation.life import Life, Outcome
from tests.simulation.swarm import Swarm
from tests.simulation.world import Make

CALM = Swarm.calm_fields()


@dataclass
class Shrinking:
    """The search from one failure; `best` is the smallest that was found."""

    best: Outcome
    make: Make
    limit_s: float
    lives: int = 0

    def run(self) -> Outcome:
        """Search until nothing gets smaller, or the time is over."""
        self._until = monotonic() + self.limit_s
        self._stop_early()
        size = len(self._unusual())
        while size >= 1 and monotonic() < self._until:
            if not self._calm_down(size):
                size //= 2
        self._stop_early()
        return self.best

    def _stop_early(self) -> None:
        """Ask for fewer steps: none behind the failure, then half as many, as long as that does."""
        asked = min(self.best.asked, self.best.steps + 1)
        while asked and self._try(self.best.changes, asked):
            asked //= 2

    def _unusual(self) -> list[str]:
        swarm = Swarm.draw(self.best.seed).but(self.best.changes)
        return list(swarm.unusual())

    def _calm_down(self, size: int) -> bool:
        """Set `size` fields at once back to the calm world's; whether that got us anywhere."""
        names = self._unusual()
        better = False
        for at in range(0, len(names), size):
            calm = {name: CALM[name] for name in names[at : at + size]}
            better |= self._try({**self.best.changes, **calm}, self.best.asked)
        return better

    def _try(self, changes: dict[str, Any], asked: int) -> bool:
        if monotonic() > self._until:
            return False
        self.lives += 1
        found = Life(self.best.seed, changes, steps=asked, make=self.make).live()
        if found.violation != self.best.violation:
            return False
        self.best = found
        return True
