"""The only clock and the only order there is: one heap of (time, number, callback, value).

Two things due at one time happen in the order in which they were planned, so the order is total and
owes nothing to hashing or to a real clock. A callback takes exactly one value: that spares a
closure per event, which is most of what an event costs.
"""

from collections.abc import Callable
from heapq import heappush
from itertools import count
from typing import Any

Due = tuple[float, int, Callable[[Any], None], Any]

START_S = 1000.0
"""Where clocks begin: not at 0, which is "no time" in a job's `not_before`."""


class Timeline:
    """What is due, and what time it is. The world's loop pops `heap` and sets `now`."""

    __slots__ = ("_number", "heap", "now")

    def __init__(self) -> None:
        self.now = START_S
        self.heap: list[Due] = []
        self._number = count()

    def after(self, delay_s: float, what: Callable[[Any], None], value: Any = None) -> None:
        """Call `what(value)` in `delay_s` seconds."""
        heappush(self.heap, (self.now + delay_s, next(self._number), what, value))
