"""How long an exchange may take, and whether one has. No timer: somebody asks a few times a second.

Idle is when not a byte moves that should; slow is when bytes move, but so few that whoever sends
them means to hold us. While an answer's head is waited for, nothing needs to move.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds; how long an exchange may take."""

    head_s: float = 30.0
    """From the end of the request to the end of the answer's head."""
    idle_s: float = 30.0
    """Without a byte that moves in either direction, while some should."""
    slow_s: float = 20.0
    """In any such stretch at least `slow_bytes` move..."""
    slow_bytes: int = 20 * (16 << 10)
    """...or what trickles in would hold a slot for ever."""
    whole_s: float = float("inf")


class Watch:
    """Over one exchange."""

    def __init__(self, patience: Patience, now: float) -> None:
        self._patience = patience
        self._began = self._seen_at = self._slow_at = now
        self._seen_bytes = self._slow_bytes = 0

    def rested(self, now: float) -> None:
        """It did nothing until now because we did not let it."""
        self._seen_at = self._slow_at = now

    def lateness(self, now: float, moved_bytes: int, sent_at: float | None) -> str:
        """Why it is too late, or "". `moved_bytes`, in both directions since it began; `sent_at`:
        when the whole request had been written, while the answer's head is waited for."""
        patience = self._patience
        if moved_bytes != self._seen_bytes:
            self._seen_bytes, self._seen_at = moved_bytes, now
        if now - self._began > patience.whole_s:
            return f"not done after {patience.whole_s:g} s"
        if sent_at is not None:
            self._slow_at, self._slow_bytes = now, moved_bytes
            late = now - max(sent_at, self._seen_at) > patience.head_s
            return f"no answer within {patience.head_s:g} s" if late else ""
        if now - self._seen_at > patience.idle_s:
            return f"not a byte moved for {patience.idle_s:g} s"
        if now - self._slow_at > patience.slow_s:
            few = moved_bytes - self._slow_bytes < patience.slow_bytes
            self._slow_at, self._slow_bytes = now, moved_bytes
            if few:
                return f"fewer than {patience.slow_bytes} bytes moved in {patience.slow_s:g} s"
        return ""
