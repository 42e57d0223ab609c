"""How long to wait before trying again: jobs (full jitter) and children (jittered doubling).

Pure: chance is an argument in [0, 1).
"""

from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When a job that failed on its own account is tried again."""

    attempts: int = 8
    base_s: float = 1.0
    cap_s: float = 300.0
    late_s: float = 5.0
    """Least wait after an upload that may have arrived: a slow answer gets its chance."""

    def delay_s(self, attempt: int, jitter: float) -> float:
        """Full jitter: uniform in [0, min(cap, base * 2^(attempt-1))), never below 50 ms."""
        ceiling = min(self.cap_s, self.base_s * 2.0 ** min(attempt - 1, 30))
        return max(0.05, ceiling * jitter)

    def late_delay_s(self, attempt: int, jitter: float) -> float:
        """For a job that may have been sent: late, and later each time."""
        return min(self.cap_s, self.late_s * 2.0 ** min(max(attempt - 1, 0), 30)) * (1 + jitter / 2)


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """When a dead child is started again, and when to stop trying."""

    first_s: float = 0.05
    cap_s: float = 30.0
    healthy_s: float = 10.0
    """A child that lived this long starts with a clean slate."""
    boot_s: float = 20.0
    """A child that has not said Hello by then is killed."""
    silence_s: float = 10.0
    """A child whose loop has not beaten for this long is hung, and killed."""
    boot_failures: int = 5
    """So many deaths before Hello in a row, over all children: the daemon gives up."""

    def delay_s(self, deaths: int, jitter: float) -> float:
        """Wait before the start after the `deaths`-th death in a row; the first is immediate."""
        if deaths <= 1:
            return 0.0
        return min(self.cap_s, self.first_s * 2.0 ** min(deaths - 2, 30)) * (0.5 + jitter / 2)


class Rate:
    """Events in the last `window_s` seconds, in whole-second buckets: O(1) per event."""

    __slots__ = ("_buckets", "_total", "window_s")

    def __init__(self, window_s: int = 60) -> None:
        self.window_s = window_s
        self._buckets: deque[tuple[int, int]] = deque()
        self._total = 0

    def count(self, now: float, events: int = 1) -> None:
        """Note that `events` happened at `now`."""
        second = int(now)
        if self._buckets and self._buckets[-1][0] == second:
            events_before = self._buckets.pop()[1]
            self._buckets.append((second, events_before + events))
        else:
            self._buckets.append((second, events))
        self._total += events

    def per_window(self, now: float) -> int:
        """How many happened within the window before `now`."""
        while self._buckets and self._buckets[0][0] <= now - self.window_s:
            self._total -= self._buckets.popleft()[1]
        return self._total
