"""A pace: when the next send may be, for a rate that may change.

GCRA ("virtual scheduling"): one number, the theoretical time of the next send. A send is allowed
when that time lies at most a burst ahead, and moves it by one interval. So whoever is paced knows
*when* it may send next, and costs nothing until then. A window on top, where the limit is "so many
in any minute": a burst and the rate must not add up in it.

Costs: O(1). A window holds as many times as it permits.
"""

from collections import deque
from dataclasses import dataclass, field

from prewarmd.core.ready_queue import FOREVER

UNPACED_PER_S = 1_000_000
"""More than anybody sends."""


@dataclass(slots=True)
class Pace:
    """`burst` sends at once, then `per_s`; never closer than `least_s`; `window` at most in any
    `window_s`. A `factor` speeds all of it up, or slows it down. `per_s` 0: no pace at all."""

    per_s: float
    burst: int
    least_s: float = 0.0
    window: int = 0
    window_s: float = 60.0
    factor: float = 1.0
    theoretical: float = 0.0
    last: float = -FOREVER
    interval_s: float = field(init=False)
    per_hour: int = field(init=False)
    """Sends in an hour, as a whole number, so that sums of it stay exact."""
    next_at: float = field(init=False, default=0.0)
    """The earliest time of the next send."""
    _recent: deque[float] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Derive the interval."""
        self._recent = deque(maxlen=self.window)
        self._set(self.factor)
        self._foretell()

    @property
    def is_unpaced(self) -> bool:
        """Whether anything goes."""
        return not self.interval_s

    @property
    def span_s(self) -> float:
        """The length of its window, 0 when it has none."""
        return self.window_s / self.factor if self.window else 0.0

    def scale(self, factor: float) -> None:
        """From now on `factor` times what it was made for. The next send may be when it might be
        before: else a slower pace would come with a burst."""
        before_s = self.interval_s
        self._set(factor)
        self.theoretical += (self.interval_s - before_s) * (self.burst - 1)
        self._foretell()

    def _set(self, factor: float) -> None:
        self.factor = factor
        self.interval_s = 1.0 / (self.per_s * factor) if self.per_s else 0.0
        self.per_hour = round(3600 / self.interval_s) if self.interval_s else UNPACED_PER_S * 3600

    def _foretell(self) -> None:
        """Something of it changed: that is rarer than being asked."""
        if not self.interval_s:
            return
        earliest = self.theoretical - self.interval_s * (self.burst - 1)
        recent = self._recent
        if self.window and len(recent) == self.window:
            earliest = max(earliest, recent[0] + self.span_s)
        self.next_at = max(earliest, self.last + self.least_s) if self.least_s else earliest

    def spend(self, now: float) -> None:
        """A send happens now."""
        if not self.interval_s:
            return
        self.theoretical = max(self.theoretical, now) + self.interval_s
        self.last = now
        if self.window:
            self._recent.append(now)
        self._foretell()

    def hold_back(self, seconds: float, now: float) -> None:
        """So much was sent too early: make up for it."""
        if self.interval_s:
            behind = now + self.interval_s * (self.burst - 1)
            self.theoretical = max(self.theoretical, behind) + seconds
            self._foretell()

    def follow(self, before: "Pace") -> None:
        """Take over what was spent under another pace, and what was learnt."""
        self.scale(before.factor)
        if self.interval_s:
            self.theoretical, self.last = before.theoretical, before.last
        if self.window:
            self._recent.extend(before._recent)  # noqa: SLF001  one pace to another
        self._foretell()
