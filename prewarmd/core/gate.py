"""A gate in front of something that may refuse us or be down: a bucket, a bot, a warm-up chat.

Open, everybody passes. A refusal closes it for a while that doubles with each refusal in a row;
then one probe passes, and what becomes of it opens the gate or closes it longer. It is a circuit
breaker as well: so many failures in a row, and it closes although nobody refused us. Work that
finds a gate closed is not charged and does not wait in a slot.

Who passed before a gate closed is answered late, perhaps while the probe is under way. Such an
answer may open the gate, but says nothing of the probe: it lets no second one pass. Which is which
tells the time at which a request `began`, for between closing and probe nobody passes.

`served` counts what worked. Who failed twice with somebody served in between may be at fault; who
failed while nobody was served may not be.
"""

from dataclasses import dataclass
from enum import StrEnum

from prewarmd.core.transitions import after

NO_PROBE = -1.0
"""When a request began that passed beside the gate: it is never the probe."""
FAILURES_MAX = 5
"""Failures in a row that close a gate."""


class GateState(StrEnum):
    """Who may pass."""

    OPEN = "open"
    CLOSED = "closed"
    PROBING = "probing"
    """Closed, and one is trying."""


class GateEvent(StrEnum):
    """What can happen to a gate."""

    ENTERED = "entered"
    ACCEPTED = "accepted"
    REFUSED = "refused"
    """Or failed too often in a row."""
    LEFT = "left"
    """Somebody came back who can tell nothing."""


GATE_TRANSITIONS: dict[GateState, dict[GateEvent, GateState]] = {
    GateState.OPEN: {
        GateEvent.ENTERED: GateState.OPEN,
        GateEvent.ACCEPTED: GateState.OPEN,
        GateEvent.REFUSED: GateState.CLOSED,
        GateEvent.LEFT: GateState.OPEN,
    },
    GateState.CLOSED: {
        GateEvent.ENTERED: GateState.PROBING,
        GateEvent.ACCEPTED: GateState.OPEN,
        GateEvent.REFUSED: GateState.CLOSED,
        GateEvent.LEFT: GateState.CLOSED,
    },
    GateState.PROBING: {
        GateEvent.ACCEPTED: GateState.OPEN,
        GateEvent.REFUSED: GateState.CLOSED,
        GateEvent.LEFT: GateState.CLOSED,
    },
}
"""Answers of those who passed before it closed come late: so CLOSED hears of them, too."""


@dataclass(slots=True)
class Gate:
    """`code` and `detail` say why it is closed; both "" while it is open."""

    first_s: float = 1.0
    cap_s: float = 30.0
    state: GateState = GateState.OPEN
    code: str = ""
    detail: str = ""
    until: float = 0.0
    refusals: int = 0
    failures: int = 0
    served: int = 0
    probed_at: float = 0.0
    """When the last probe passed."""

    @property
    def is_open(self) -> bool:
        """Whether everybody passes."""
        return not self.code

    @property
    def probing(self) -> bool:
        """Whether a probe is under way: only what becomes of it will tell."""
        return self.state is GateState.PROBING

    def _happen(self, event: GateEvent) -> None:
        self.state = after(GATE_TRANSITIONS, self.state, event, "gate")

    def may_pass(self, now: float) -> bool:
        """Whether somebody may pass now: all when open, one probe when a closed one is due."""
        return not self.code or (now >= self.until and self.state is GateState.CLOSED)

    def enter(self, now: float) -> None:
        """Somebody passes; through a closed gate that is the probe. Nothing while it is open."""
        if self.code:
            self._happen(GateEvent.ENTERED)
            self.probed_at = now

    def _is_late(self, began: float) -> bool:
        """Whether a probe is under way, and who began then is not it."""
        return self.state is GateState.PROBING and began < self.probed_at

    def refuse(self, code: str, detail: str, now: float, *, began: float) -> None:
        """It refused: close, longer each time. Refusals of one volley count once."""
        if (self.state is GateState.CLOSED and now < self.until) or self._is_late(began):
            return
        self._happen(GateEvent.REFUSED)
        self.until = now + min(self.cap_s, self.first_s * 2.0 ** min(self.refusals, 20))
        self.refusals += 1
        self.code, self.detail = code, detail

    def fail(self, code: str, detail: str, now: float, *, began: float) -> None:
        """It failed, which may be its fault or the request's: close when nothing works any more."""
        self.failures += 1
        if self.failures >= FAILURES_MAX or self.code:
            self.refuse(code, detail, now, began=began)

    def accept(self) -> bool:
        """It worked: open. Whether it was closed before."""
        self.served += 1
        was_closed = bool(self.code)
        if was_closed or self.failures:  # seldom
            self._happen(GateEvent.ACCEPTED)
            self.code = self.detail = ""
            self.refusals, self.until, self.failures = 0, 0.0, 0
        return was_closed

    def leave(self, *, began: float) -> bool:
        """Somebody came back who tells nothing. Whether it was the probe: then another may go."""
        was_probe = self.state is GateState.PROBING and not self._is_late(began)
        if was_probe:
            self._happen(GateEvent.LEFT)
        return was_probe
