"""The seed's priority: a base, plus what size, kind and youth add. Larger runs first.

A score is an integer level, 0 to 255, so a ready queue can be an array of FIFO lists. Youth is the
one part that changes by itself: `ages_at` tells when, and the engine moves the job then, so the
level is exact at every pop and nobody scans. The table is data; other weights are another value.
"""

from dataclasses import dataclass, field

from prewarmd.core.jobs import Job, Kind

LEVELS = 256


@dataclass(frozen=True, slots=True)
class ScorePolicy:
    """The seed's table (mission.md, row 5)."""

    base: int = 100
    tiny_below_bytes: int = 100_000
    tiny: int = 50
    small_below_bytes: int = 1_000_000
    small: int = 30
    huge_above_bytes: int = 20_000_000
    huge: int = -20
    young_s: float = 60.0
    young: int = 15
    by_kind: dict[Kind, int] = field(default_factory=lambda: {Kind.PHOTO: 20, Kind.VIDEO: -10})

    def level(self, job: Job, now: float) -> int:
        """The level `job` has at `now`; an explicit priority replaces the score."""
        if job.priority is not None:
            return job.priority
        score = self.base + self.by_kind.get(job.kind, 0)
        size_bytes = job.size_bytes
        if size_bytes is not None:
            if size_bytes < self.tiny_below_bytes:
                score += self.tiny
            elif size_bytes < self.small_below_bytes:
                score += self.small
            elif size_bytes > self.huge_above_bytes:
                score += self.huge
        if now < job.created + self.young_s:
            score += self.young
        return max(0, min(LEVELS - 1, score))

    def ages_at(self, job: Job, now: float) -> float | None:
        """When the level drops by itself, or None when it will not."""
        end = job.created + self.young_s
        return None if job.priority is not None or now >= end else end
