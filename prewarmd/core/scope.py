"""Whose flood is it: the chat's, or the whole bot's? A 429 does not say (telegram.md fact 1).

After a flood in one chat the bot sends one upload in another, as a probe, and nothing else. It is
accepted: the chat alone was meant. It earns a 429 as well: the bot is meant, and pauses until the
later of both is over; then it probes again (telegram.md 4.6).
"""

from dataclasses import dataclass


@dataclass(slots=True)
class Scope:
    """Of one bot."""

    until: float = 0.0
    """The bot's own pause."""
    doubted_until: float = 0.0
    """The pause of the chats that were flooded since it is in doubt."""
    in_doubt: bool = False
    probing: bool = False

    def may_pass(self, now: float) -> bool:
        """Whether an upload may begin: one at a time while in doubt."""
        return now >= self.until and not self.probing

    def enter(self) -> bool:
        """An upload begins; whether it is the probe."""
        self.probing = self.in_doubt
        return self.probing

    def flooded(self, until: float, *, is_probe: bool, has_others: bool) -> None:
        """An upload earned a 429; `has_others`: the bot has other chats to try."""
        if is_probe:
            self.until, self.probing = max(self.until, self.doubted_until, until), False
        elif has_others:
            self.in_doubt = True
            self.doubted_until = max(self.doubted_until, until)

    def answered(self, *, is_probe: bool, accepted: bool) -> None:
        """An upload ended otherwise."""
        if is_probe:
            self.probing = False
            if accepted:
                self.in_doubt, self.doubted_until = False, 0.0
