"""A meter: a budget of bytes a second over all children.

A transfer passes when the meter is not in debt, and is then charged in full: so no transfer is too
large for it, and over any stretch the budget is exceeded by one transfer at most.
"""

from dataclasses import dataclass


@dataclass(slots=True)
class Meter:
    """`bytes_per_s` 0 is no limit."""

    bytes_per_s: float = 0.0
    paid_at: float = 0.0
    """When what was spent will have been paid for."""

    def may_pass(self, now: float) -> bool:
        """Whether a transfer may start."""
        return self.paid_at <= now

    def spend(self, size_bytes: int, now: float) -> None:
        """A transfer of that size starts."""
        if self.bytes_per_s:
            self.paid_at = max(self.paid_at, now) + size_bytes / self.bytes_per_s
