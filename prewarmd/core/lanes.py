"""Lanes: one per (bot, warm-up chat), each with a pace of its own that adapts to the chat.

The documented rates are 1 message/s in a private chat, 20/min in a group or channel, 30/s per bot
(telegram.md 4.1); bursts are kept small, because a burst is what earns a 429. A lane knows when it
may send next, so one that is parked costs nothing.
"""

from dataclasses import dataclass, field

from prewarmd.core.gate import Gate
from prewarmd.core.governor import Governor
from prewarmd.core.pace import UNPACED_PER_S, Pace
from prewarmd.core.ready_queue import FOREVER
from prewarmd.core.refusals import Refusals

CHAIN_MAX = 10
"""Uploads in flight per chat: Telegram orders a chat's sends in a chain of ten, more is no gain
(telegram.md fact 3)."""
UPLOADS_MAX = 32
"""Uploads in flight per bot: a hosted server guards itself at about 100 (telegram.md 4.3)."""


@dataclass(frozen=True, slots=True)
class LimitPolicy:
    """Starting rates. `paced` False switches every pacing rule off; a 429 is still obeyed."""

    paced: bool = True
    private_per_s: float = 1.0
    group_per_min: float = 20.0
    bot_per_s: float = 30.0
    private_burst: int = 3
    group_burst: int = 5
    guarded: bool = True
    """The Bot API server is a hosted one, which guards itself."""

    def pace(self, chat_kind: str | None) -> Pace:
        """The pace of a chat; one whose kind is not known yet is taken for the slower sort."""
        if not self.paced:
            return Pace(0.0, UNPACED_PER_S)
        if chat_kind == "private":
            return Pace(self.private_per_s, self.private_burst)
        window = max(1, int(self.group_per_min))
        return Pace(self.group_per_min / 60, self.group_burst, least_s=1.0, window=window)

    @property
    def in_flight_max(self) -> int:
        """Uploads in flight per chat."""
        return CHAIN_MAX if self.paced else UNPACED_PER_S

    @property
    def bot_in_flight_max(self) -> int:
        """Uploads in flight per bot."""
        return UPLOADS_MAX if self.paced else UNPACED_PER_S

    def bot_pace(self) -> Pace:
        """The pace over all chats of a bot."""
        return Pace(self.bot_per_s, 1) if self.paced else Pace(0.0, UNPACED_PER_S)


@dataclass(slots=True, eq=False)
class Lane:
    """One warm-up chat of one bot. `parked_at` and `counted_per_hour` are its bot's notes."""

    bot: str
    chat_id: int
    chat_kind: str | None
    pace: Pace
    gate: Gate = field(default_factory=lambda: Gate(first_s=5.0, cap_s=900.0))
    refusals: Refusals = field(default_factory=Refusals)
    paused_until: float = 0.0
    """A 429's penalty."""
    in_flight: int = 0
    in_flight_max: int = CHAIN_MAX
    is_trailing: bool = False
    """One of its uploads follows a download."""
    parked_at: float = FOREVER
    counted_per_hour: int = 0
    governor: Governor = field(init=False)
    configured_id: int = field(init=False)
    """Its chat as the configuration names it; `chat_id` is what became of that."""

    def __post_init__(self) -> None:
        """Its pace is governed."""
        self.governor = Governor(self.pace)
        self.configured_id = self.chat_id

    @property
    def is_full(self) -> bool:
        """Whether as much is in flight as may be."""
        return self.in_flight >= self.in_flight_max

    def next_at(self, now: float) -> float:
        """When this lane may send next; FOREVER while only an event can tell."""
        if self.in_flight >= self.in_flight_max:
            return FOREVER
        gate = self.gate
        if gate.code and not gate.may_pass(now):
            return FOREVER if gate.probing else gate.until
        return max(self.paused_until, self.pace.next_at)

    def repace(self, pace: Pace) -> None:
        """Its kind is known now."""
        pace.follow(self.pace)
        self.pace = self.governor.pace = pace  # what was learnt of the chat is still true

    def enter(self, now: float) -> None:
        """An upload begins."""
        self.pace.spend(now)
        if self.gate.code:
            self.gate.enter(now)
        self.in_flight += 1

    def pause(self, until: float) -> None:
        """Telegram asked for a pause; several answers of one flood are one pause."""
        self.paused_until = max(self.paused_until, until)
