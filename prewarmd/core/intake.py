"""The intake: whose turn it is to be fetched, and whether anything may be.

Bots take turns by the best job that each has and that could be sent at once, then by who was served
longest ago. A backlog whose bot has no room, or whose bucket does not answer, is out of the
rotation until that may be otherwise, and costs nothing meanwhile. Suspects take turns of their own,
for a child that has nothing else to do.

Costs: O(log bots) a job that is taken. Suspects that wait for an older trial of their object are
looked at one by one in every turn.
"""

from prewarmd.core.bots import Backlog
from prewarmd.core.children import Children
from prewarmd.core.desk import UNDER_WAY, Desk
from prewarmd.core.downloads import Downloads
from prewarmd.core.roster import DUE

AHEAD_SHARE = 0.5
"""Of the cache: what may be under way for bots that cannot send at once."""


class Intake:
    """From the backlogs to `downloads`."""

    def __init__(self, desk: Desk, children: Children, downloads: Downloads) -> None:
        self._desk = desk
        self._children = children
        self._downloads = downloads
        self._recalling_max = desk.policy.workers * desk.policy.slots
        self._ahead_bytes_max = int(desk.cache.extents.size_bytes * AHEAD_SHARE)

    def pump(self, now: float) -> None:
        """Start whatever may start. While the budget of bytes is in debt nobody's turn comes, also
        not of those who need none: the best would wait while others pass it."""
        desk = self._desk
        if desk.downloading.paid_at > now:
            return
        self._pump_alone(now)
        while (head := desk.roster.to_load.peek()) is not None:
            backlog, level = head
            bot = backlog.bot
            if desk.recalling >= self._recalling_max or self._children.pick() is None:
                return
            due = level >= DUE
            if desk.memory_short or not (due or self._may_fetch_ahead()):
                return
            if not self._may_load(backlog, now):
                continue
            job = backlog.peek(now)
            assert job is not None
            is_ahead = bot.choosy > 0 and not bot.may_send(job.kind, now)
            if is_ahead and desk.sleep_if_refused(job, now):
                desk.roster.place(bot, now)
                continue
            if not self._downloads.begin(job, now):
                if not is_ahead:
                    return  # no slot or no memory: an answer will bring us here again
                desk.roster.take_out(backlog)  # a lane is free, but none that takes it
                desk.roster.park(bot, bot.match_at((), now))
                continue
            job.starved = backlog.serve(job, now)
            bot.load_turn = desk.roster.next_turn()  # served: behind the others of its level
            bot.backlogs[backlog.bucket] = bot.backlogs.pop(backlog.bucket)  # and of its bot
            desk.roster.place(bot, now)
            if job.suspect:
                self._pump_alone(now)  # it was set aside just now

    def _may_load(self, backlog: Backlog, now: float) -> bool:
        """Whether its bot has room and its bucket answers; else it has no turn for now."""
        desk, bot = self._desk, backlog.bot
        if not bot.has_room(now):
            desk.roster.take_out(backlog)
            if not bot.under_way:  # else what becomes of those will bring it here again
                desk.roster.park(bot, bot.fetch_at(now))
            return False
        gate = desk.buckets.gate(backlog.bucket)
        if gate.code and not gate.may_pass(now):
            desk.buckets.put_aside(backlog)
            return False
        return True

    def _may_fetch_ahead(self) -> bool:
        desk = self._desk
        return not desk.ahead_short and desk.bytes_under_way < self._ahead_bytes_max

    def _pump_alone(self, now: float) -> None:
        """One of the suspects at a time gets a child for itself."""
        roster = self._desk.roster
        held: list[Backlog] = []
        while (head := roster.to_load_alone.peek()) is not None and self._pump_next(head[0], now):
            if head[0] in roster.to_load_alone:
                roster.take_out(head[0])
                held.append(head[0])
        for backlog in held:
            roster.place(backlog.bot, now)

    def _pump_next(self, backlog: Backlog, now: float) -> bool:
        """Start what may start of one bot's suspects; whether it is another's turn."""
        desk, bot = self._desk, backlog.bot
        if not self._may_load(backlog, now):
            return True
        for job in backlog:
            if desk.memory_short:
                return False
            is_ahead = bot.choosy > 0 and not bot.may_send(job.kind, now)
            if is_ahead and desk.sleep_if_refused(job, now):
                continue
            may_join = self._downloads.trials.of(job) is not None
            if not may_join and self._children.pick_alone() is None:
                return False
            if self._downloads.begin(job, now) and job.phase in UNDER_WAY and not may_join:
                bot.alone_turn = desk.roster.next_turn()
                desk.roster.place(bot, now)
                return False
            if not bot.has_room(now) or desk.ahead_short:
                break
        return True
