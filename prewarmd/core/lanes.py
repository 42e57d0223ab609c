"""Lanes: one per (bot, warm-up chat), each with an allowance; and the bot that owns them.

Pace is a GCRA ("virtual scheduling"): one number, the theoretical time of the next send. A send is
allowed at `now` when that time lies at most `tolerance` ahead, and moves it by one interval. So a
lane knows *when* it may send next, and a parked lane costs nothing until then. The documented rates
are 1 message/s in a private chat, 20/min in a group or channel, 30/s per bot (telegram.md 4.1);
bursts are kept small, because a burst is what earns a 429.
"""

from collections import deque
from dataclasses import dataclass, field

from prewarmd.core.gate import Gate
from prewarmd.core.jobs import JobId
from prewarmd.core.ready_queue import ReadyQueue

FOREVER = float("inf")
WINDOW_S = 60.0
CHAIN_MAX = 10
"""Uploads in flight per chat: Telegram orders a chat's sends in a chain of ten, more is no gain
(telegram.md fact 3)."""


@dataclass(frozen=True, slots=True)
class LimitPolicy:
    """Starting rates. `paced` False switches every pacing rule off; a 429 is still obeyed."""

    paced: bool = True
    private_per_s: float = 1.0
    group_per_min: float = 20.0
    bot_per_s: float = 30.0
    private_burst: int = 3
    group_burst: int = 5

    def pace(self, chat_kind: str | None) -> "Pace":
        """The pace of a chat; one whose kind is not known yet is taken for the slower sort."""
        if not self.paced:
            return Pace(0.0, 1)
        if chat_kind == "private":
            return Pace(1.0 / self.private_per_s, self.private_burst)
        interval_s, most = 60.0 / self.group_per_min, max(1, int(self.group_per_min))
        return Pace(interval_s, self.group_burst, least_s=1.0, recent=deque(maxlen=most))

    @property
    def in_flight_max(self) -> int:
        """Uploads in flight per chat."""
        return CHAIN_MAX if self.paced else 1_000_000

    def bot_pace(self) -> "Pace":
        """The pace over all chats of a bot."""
        return Pace(1.0 / self.bot_per_s, 1) if self.paced else Pace(0.0, 1)


@dataclass(slots=True)
class Pace:
    """GCRA with `burst` sends at once, then one per `interval_s`; never closer than `least_s`, and
    in any WINDOW_S no more than `recent` holds: a burst and the rate must not add up."""

    interval_s: float
    burst: int
    least_s: float = 0.0
    recent: deque[float] | None = None
    theoretical: float = 0.0
    last: float = -FOREVER

    def next_at(self) -> float:
        """The earliest time of the next send."""
        earliest = self.theoretical - self.interval_s * (self.burst - 1)
        if self.recent is not None and len(self.recent) == self.recent.maxlen:
            earliest = max(earliest, self.recent[0] + WINDOW_S)
        return max(earliest, self.last + self.least_s)

    def spend(self, now: float) -> None:
        """A send happens now."""
        self.theoretical = max(self.theoretical, now) + self.interval_s
        self.last = now
        if self.recent is not None:
            self.recent.append(now)

    def follow(self, before: "Pace") -> None:
        """Take over what was spent under another pace."""
        if self.interval_s:
            self.theoretical, self.last = before.theoretical, before.last
        if self.recent is not None and before.recent is not None:
            self.recent.extend(before.recent)

    def allowed_between(self, now: float, horizon: float) -> float:
        """How many sends this pace permits from `now` until `horizon`."""
        if self.interval_s <= 0:
            return FOREVER
        saved_up = now - self.interval_s * (self.burst - 1)
        first = max(self.next_at(), saved_up)
        return (horizon - first) // self.interval_s + 1 if first <= horizon else 0.0


@dataclass(slots=True, eq=False)
class Lane:
    """One warm-up chat of one bot."""

    bot: str
    chat_id: int
    chat_kind: str | None
    pace: Pace
    gate: Gate = field(default_factory=lambda: Gate(first_s=5.0, cap_s=900.0))
    paused_until: float = 0.0
    """A 429's penalty."""
    in_flight: int = 0
    in_flight_max: int = CHAIN_MAX

    def next_at(self, now: float) -> float:
        """When this lane may send next; FOREVER while only an event can tell."""
        if self.in_flight >= self.in_flight_max:
            return FOREVER
        if not self.gate.may_pass(now):
            return FOREVER if self.gate.probing else self.gate.until
        return max(self.pace.next_at(), self.paused_until)

    def enter(self, now: float) -> None:
        """An upload begins."""
        self.pace.spend(now)
        self.gate.enter()
        self.in_flight += 1

    def pause(self, until: float) -> None:
        """Telegram asked for a pause; several answers of one flood are one pause."""
        self.paused_until = max(self.paused_until, until)


@dataclass(slots=True, eq=False)
class Bot:
    """A bot: its jobs that wait for bytes, its jobs that wait for a lane, and its lanes."""

    slug: str
    lanes: list[Lane]
    pace: Pace
    gate: Gate = field(default_factory=lambda: Gate(first_s=5.0, cap_s=900.0))
    queues: dict[str, ReadyQueue[JobId]] = field(default_factory=dict)
    """By bucket: one that refuses us holds back its own jobs alone."""
    loaded: ReadyQueue[JobId] = field(default_factory=ReadyQueue)
    under_way: int = 0
    """Jobs taken from `queues` and not yet uploading: what prefetch is bounded by."""

    def queue(self, bucket: str) -> ReadyQueue[JobId]:
        """Its jobs that wait for bytes out of one bucket."""
        found = self.queues.get(bucket)
        if found is None:
            found = self.queues[bucket] = ReadyQueue()
        return found

    def enter(self, now: float) -> None:
        """One of its lanes begins an upload."""
        self.pace.spend(now)
        self.gate.enter()

    def next_lane(self, now: float) -> tuple[Lane | None, float]:
        """The lane that may send soonest, and when (FOREVER: only an event can tell)."""
        if not self.gate.may_pass(now):
            return None, FOREVER if self.gate.probing else self.gate.until
        best, soonest = None, FOREVER
        for lane in self.lanes:
            at = lane.next_at(now)
            if at < soonest or (at == soonest and best and lane.in_flight < best.in_flight):
                best, soonest = lane, at
        return best, max(soonest, self.pace.next_at())

    def room(self, now: float, horizon_s: float) -> bool:
        """Whether one more job may be taken under way: its upload could start in time."""
        if not self.gate.may_pass(now):
            return False
        horizon = now + horizon_s
        allowed = 0.0
        for lane in self.lanes:
            if lane.paused_until <= horizon and lane.gate.may_pass(now):
                allowed += lane.pace.allowed_between(now, horizon)
        return self.under_way < allowed
