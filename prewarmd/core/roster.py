"""The roster: the bots, and whose turn it is next.

Two rotations: `to_load` over backlogs, `to_send` over bots, each at the level of its best job.
Backlogs of bots that could send at once go before those that would only be fetched ahead. A bot
that may do nothing yet is parked and costs nothing until its alarm; one that something happened to
is touched, and placed anew before anything starts.

Costs: O(log n) in the number of bots that take turns or are parked.
"""

from collections.abc import Callable, Iterable
from heapq import heappop, heappush
from itertools import count

from prewarmd.core.bots import Backlog, Bot
from prewarmd.core.lanes import Lane
from prewarmd.core.policy import BotSpec, EnginePolicy
from prewarmd.core.ready_queue import FOREVER, STARVED
from prewarmd.core.rotation import Rotation, Turns
from prewarmd.core.spread import Spread

DUE = STARVED + 1
"""Added to the level of a backlog whose bot could send at once."""


class Roster:
    """All bots, by slug."""

    def __init__(self, policy: EnginePolicy, bots: Iterable[BotSpec]) -> None:
        self.to_load: Turns[Backlog] = Turns()
        self.to_send: Turns[Bot] = Turns()
        self.to_load_alone: Rotation[Backlog] = Rotation()
        self.to_send_alone: Rotation[Bot] = Rotation()
        self.bots = {spec.slug: self._bot(spec, policy) for spec in bots}
        self.ahead: dict[Bot, None] = {}
        """Bots with bytes here that cannot send yet."""
        self.next_turn: Callable[[], int] = count(1).__next__
        """A number that rises with every turn that a bot has."""
        self._number = 0
        self._touched: dict[Bot, None] = {}
        self._parked: list[tuple[float, int, Bot]] = []

    def _bot(self, spec: BotSpec, policy: EnginePolicy) -> Bot:
        limits = policy.limits
        lanes = [
            Lane(spec.slug, chat, kind, limits.pace(kind), in_flight_max=limits.in_flight_max)
            for chat, kind in spec.chats
        ]
        return Bot(
            spec.slug, lanes, limits.bot_pace(), policy.prefetch_horizon_s, policy.starve_after_s,
            limits.bot_in_flight_max, Spread(guarded=limits.paced and limits.guarded),
            self.to_load.alternation, self.to_send.alternation,
        )  # fmt: skip

    def touch(self, bot: Bot) -> None:
        """Something of `bot` changed: look at it again before anything starts."""
        self._touched[bot] = None

    def settle(self, now: float) -> None:
        """Look at every bot that was touched."""
        while self._touched:
            touched, self._touched = self._touched, {}
            for bot in touched:
                self.place(bot, now)

    def place(self, bot: Bot, now: float) -> None:
        """Let `bot` take its turns: it has work, or may do it now."""
        soonest, due = bot.alarm, -1
        for backlog in bot.backlogs.values():
            if not backlog.size:
                if backlog in self.to_load.members:
                    self.to_load.remove(backlog)
                continue
            if due < 0:
                due = DUE if bot.is_due(now) else 0
                if not due and (at := bot.next_lane(now)[1]) > now:
                    soonest = min(soonest, at)
            at = self.to_load.place(backlog, backlog, due, bot.load_turn, now)
            if now < at < soonest:
                soonest = at
        if self.ahead:
            self.ahead.pop(bot, None)
        if bot.loaded.size:
            at = self.to_send.place(bot, bot.loaded, 0, bot.send_turn, now)
            if now < at < soonest:
                soonest = at
        elif bot in self.to_send.members:
            self.to_send.remove(bot)
        if bot.backlogs_alone:
            self._place_alone(bot)
        if soonest < bot.alarm:
            self.park(bot, soonest)

    def _place_alone(self, bot: Bot) -> None:
        """The same for its suspects."""
        for backlog in bot.backlogs_alone.values():
            if backlog.size:
                self.to_load_alone.place(backlog, backlog.level, bot.alone_turn)
            else:
                self.to_load_alone.remove(backlog)
        if bot.loaded_alone.size:
            self.to_send_alone.place(bot, bot.loaded_alone.level, bot.alone_turn)
        else:
            self.to_send_alone.remove(bot)

    def take_out(self, backlog: Backlog) -> None:
        """It has no turn before its bot is placed again."""
        if backlog.alone:
            self.to_load_alone.remove(backlog)
        else:
            self.to_load.remove(backlog)

    def park(self, bot: Bot, until: float) -> None:
        """Look at `bot` again at `until`; with FOREVER an event will place it."""
        if until < bot.alarm:
            bot.alarm = until
            self._number += 1
            heappush(self._parked, (until, self._number, bot))

    def let_time_pass(self, now: float) -> None:
        """Touch those whose alarm is due."""
        while self._parked and self._parked[0][0] <= now:
            at, _, bot = heappop(self._parked)
            if bot.alarm == at:
                bot.alarm = FOREVER
                self.touch(bot)

    def next_deadline(self) -> float:
        """The next alarm."""
        return self._parked[0][0] if self._parked else FOREVER

    def check(self) -> None:
        """Raise AssertionError when rotations or bots do not add up."""
        self.to_load.check()
        self.to_send.check()
        self.to_load_alone.check()
        self.to_send_alone.check()
        for bot in self.bots.values():
            bot.check()
