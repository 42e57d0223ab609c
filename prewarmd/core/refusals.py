"""Refusals: the kinds of media that one chat does not take, each behind a gate of its own.

A chat may take photos and refuse voice messages (a person's privacy settings), or refuse one kind
by its permissions (telegram.md 5). That closes no lane: other kinds go there still, and that kind
goes by the bot's other lanes. Now and then one upload asks again.

Costs: nothing while a chat takes everything.
"""

from prewarmd.core.gate import Gate
from prewarmd.core.jobs import Kind

FIRST_S, CAP_S = 60.0, 900.0
"""How long a kind is not tried after its first refusal, and at most."""


class Refusals(dict[Kind, Gate]):
    """Of one lane; empty while it takes everything."""

    def take(self, kind: Kind, now: float) -> bool:
        """Whether a media of that kind may be sent: it is taken, or asking again is due."""
        gate = self.get(kind)
        return gate is None or gate.may_pass(now)

    def enter(self, kind: Kind, now: float) -> None:
        """One is sent."""
        if gate := self.get(kind):
            gate.enter(now)

    def leave(self, kind: Kind, *, began: float) -> None:
        """One that was sent tells nothing."""
        if gate := self.get(kind):
            gate.leave(began=began)

    def refuse(self, kind: Kind, code: str, detail: str, now: float, *, began: float) -> None:
        """Telegram said no."""
        self.setdefault(kind, Gate(FIRST_S, CAP_S)).refuse(code, detail, now, began=began)

    def asked_again_at(self, kind: Kind, now: float) -> float:
        """When that kind may be sent again, if it may not now: soon, when somebody is asking."""
        gate = self[kind]
        return now + FIRST_S if gate.probing else gate.until
