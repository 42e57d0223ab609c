"""Spreads uploads of exactly one size: a hosted Bot API server queues them, 0.2 to 0.9 s apart, and
refuses a bot whose queue grows too long (telegram.md fact 5). Real media rarely collide; retries of
one object and synthetic loads do. Costs O(1); sizes whose time is over are dropped now and then.
"""

from dataclasses import dataclass, field

ABOVE_BYTES = 100_000
S_PER_BYTE, S_MIN, S_MAX = 1e-7, 0.2, 0.9
SIZES_KEPT = 256


@dataclass(slots=True)
class Spread:
    """Of one bot. An unguarded server spreads nothing."""

    guarded: bool = True
    _free_at: dict[int, float] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Whether any size must wait."""
        return bool(self._free_at)

    def free_at(self, size_bytes: int) -> float:
        """When the next upload of that size may begin."""
        return self._free_at.get(size_bytes, 0.0)

    def spend(self, size_bytes: int, now: float) -> None:
        """An upload of that size begins."""
        if not self.guarded or size_bytes <= ABOVE_BYTES:
            return
        if len(self._free_at) >= SIZES_KEPT:
            self._free_at = {size: at for size, at in self._free_at.items() if at > now}
        spacing_s = min(max(size_bytes * S_PER_BYTE, S_MIN), S_MAX)
        self._free_at[size_bytes] = now + spacing_s
