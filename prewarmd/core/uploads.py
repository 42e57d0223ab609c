"""Uploads: from bytes in the cache to a file_id, through a lane of the job's bot.

A job whose bytes are pinned waits on its bot's pile. Bots take turns by their best job; a bot whose
lanes may not send yet is parked and costs nothing. Telegram's answer is an outcome for three: the
lane (a pause, a refusal), the bot (its token), and the job.

Invariants, kept by `check`: a lane's `in_flight` equals its uploads; an upload's bytes are pinned.
Costs: O(lanes of the bot) an upload, O(log bots) a bot that is parked.
"""

from dataclasses import dataclass
from itertools import islice

from prewarmd.core import records, reports, verbs
from prewarmd.core.blame import End
from prewarmd.core.bots import Bot
from prewarmd.core.children import Child, Children
from prewarmd.core.commands import Tell
from prewarmd.core.desk import Desk
from prewarmd.core.faults import FAULTS, Remedy
from prewarmd.core.jobs import Job, JobEvent, Phase
from prewarmd.core.lanes import Lane
from prewarmd.core.ready_queue import FOREVER, ReadyQueue
from prewarmd.core.rotation import Rotation, Turns


@dataclass(slots=True, eq=False)
class Sending:
    """One upload in flight."""

    job: Job
    lane: Lane
    chat_id: int
    """Where it goes: the lane's chat may have moved by the time of the answer."""
    child: Child
    began: float
    is_probe: bool
    """Its answer tells whether a flood is the chat's or the bot's."""


BUSY_RETRY_AFTER_S, BUSY_ANSWER_S = 60.0, 3.0
"""A 429 that asks for exactly so much after so long is the Bot API server guarding itself: less at
once helps, a slower rate does not (telegram.md fact 4)."""
SPREAD_LOOK = 8
"""So many of the best jobs are looked at for one of another size than was sent just now."""


class Uploads:
    """Every upload under way."""

    def __init__(self, desk: Desk, children: Children) -> None:
        self.sending: dict[int, Sending] = {}
        self._desk = desk
        self._children = children

    def pump(self, now: float) -> None:
        """Start whatever may start."""
        desk = self._desk
        self._pump_alone(now)
        while (head := desk.roster.to_send.peek()) is not None:
            bot = head[0]
            lane, at = bot.next_lane(now)
            if lane is None or at > now:
                self._may_not(desk.roster.to_send, bot, at, now)
                continue
            if desk.uploading.paid_at > now:
                return
            child = self._children.pick()
            if child is None:
                return
            job = self._choose(desk.roster.to_send, bot, bot.loaded, now)
            if job is None:
                continue
            bot.loaded.serve(job, now)
            bot.send_turn = desk.roster.next_turn()  # served: behind the others of its level
            self._send(bot, job, lane, child, now)
            desk.roster.place(bot, now)

    def _may_not(self, turns: Turns[Bot] | Rotation[Bot], bot: Bot, at: float, now: float) -> None:
        """It has no turn before `at`: its bytes are ahead of their time."""
        roster = self._desk.roster
        turns.remove(bot)
        roster.park(bot, at)
        roster.ahead[bot] = None
        if bot.is_far(now):
            self._unload(bot, now)

    def _choose(
        self, turns: Turns[Bot] | Rotation[Bot], bot: Bot, pile: ReadyQueue[Job], now: float
    ) -> Job | None:
        """The bot's best job whose size was not sent just now; None, and the bot is parked, when
        all that are worth looking at were."""
        job = pile.peek(now)
        assert job is not None
        if not bot.spread or bot.spread.free_at(job.size_bytes or 0) <= now:
            return job
        soonest = FOREVER
        for each in islice(pile, SPREAD_LOOK):
            at = bot.spread.free_at(each.size_bytes or 0)
            if at <= now:
                return each
            soonest = min(soonest, at)
        turns.remove(bot)
        self._desk.roster.park(bot, soonest)
        return None

    def _pump_alone(self, now: float) -> None:
        """One of the suspects at a time gets a child for itself."""
        desk, turns = self._desk, self._desk.roster.to_send_alone
        while (head := turns.peek()) is not None:
            bot = head[0]
            lane, at = bot.next_lane(now)
            if lane is None or at > now:
                self._may_not(turns, bot, at, now)
                continue
            if desk.uploading.paid_at > now:
                return
            job = self._choose(turns, bot, bot.loaded_alone, now)
            if job is None:
                continue
            child = self._children.pick_alone()
            if child is not None:
                desk.unpile(job)
                bot.alone_turn = desk.roster.next_turn()
                self._send(bot, job, lane, child, now)
                desk.roster.place(bot, now)
            return

    def _unload(self, bot: Bot, now: float) -> None:
        """Its lanes are paused for long: its bytes become ordinary, evictable cache entries."""
        for job in (*reversed(list(bot.loaded_alone)), *reversed(list(bot.loaded))):
            self._desk.release(job, now)

    def _send(self, bot: Bot, job: Job, lane: Lane, child: Child, now: float) -> None:
        desk = self._desk
        entry = desk.cache.find(desk.pinned[job.id])
        assert entry is not None
        desk.enter(job, Phase.UPLOADING)
        is_probe = bot.enter(lane, entry.size_bytes, now)
        desk.uploading.spend(entry.size_bytes, now)
        task = desk.next_task()
        row = self._children.begin(child, task, alone=job.suspect)
        self.sending[task] = Sending(job, lane, lane.chat_id, child, now, is_probe)
        desk.out.append(
            Tell(child.index, verbs.Upload(
                task, row, job.id, job.attempt + 1, job.bot, lane.chat_id, job.kind,
                entry.extent.offset, entry.size_bytes, job.key.rpartition("/")[2] or job.key,
            ))
        )  # fmt: skip

    # -- what children answer --------------------------------------------------------------------

    def uploaded(self, report: reports.Uploaded, now: float) -> None:
        """Telegram gave a file_id: the job is ready, and so is whoever follows it."""
        desk, sending = self._desk, self.sending.pop(report.task)
        job, lane = sending.job, sending.lane
        bot = desk.bots[job.bot]
        lane.gate.accept()
        bot.gate.accept()
        bot.scope.answered(is_probe=sending.is_probe, accepted=True)
        size_bytes = job.size_bytes or 0
        if lane.governor.answered(sending.began, report.answer_s, size_bytes, now):
            self._remember(lane)
        bot.leave(lane, now)
        assert job.sha256 is not None
        assert job.size_bytes is not None
        job.happen(JobEvent.COMPLETED)
        desk.out.append(
            records.Complete(
                job.id, job.bot, job.sha256, job.kind, report.actual_kind, job.size_bytes,
                report.file_id, report.file_unique_id, sending.chat_id, report.message_id,
                duplicates=int(job.maybe_sent), waited_s=now - job.created,
            )
        )  # fmt: skip
        desk.ready_rate.count(now)
        for follower in desk.leaders.take_followers(job):
            desk.join(follower, job.sha256, job.size_bytes, now)
        desk.forget(job, now)

    def failed(self, report: reports.UploadFailed, now: float) -> None:
        """It did not: whose fault that is, the table of faults says."""
        desk, sending = self._desk, self.sending.pop(report.task)
        job, lane = sending.job, sending.lane
        bot = desk.bots[job.bot]
        fault = FAULTS[report.code]
        lane.gate.leave(began=sending.began)
        if fault.remedy is Remedy.PAUSE_CHAT:
            self._flooded(bot, sending, report, now)
        else:
            bot.scope.answered(is_probe=sending.is_probe, accepted=False)
            self._refused(bot, sending, report, now)
        bot.leave(lane, now)
        desk.remedy(job, report.code, report.detail, now, bot.gate)
        desk.roster.touch(bot)

    def _refused(
        self, bot: Bot, sending: Sending, report: reports.UploadFailed, now: float
    ) -> None:
        """What it means for lane and bot."""
        lane, began, fault = sending.lane, sending.began, FAULTS[report.code]
        match fault.remedy:
            case Remedy.CLOSE_CHAT:
                if report.migrated_to:
                    lane.chat_id = report.migrated_to
                    self._remember(lane)
                else:
                    lane.gate.refuse(report.code, report.detail, now, began=began)
                bot.gate.accept()
            case Remedy.CLOSE_BOT:
                bot.gate.refuse(report.code, report.detail, now, began=began)
            case Remedy.GIVE_UP:  # the chat and the bot were good enough to be told so
                lane.gate.accept()
                bot.gate.accept()
            case _ if fault.strains:
                bot.gate.fail(report.code, report.detail, now, began=began)
            case _:
                bot.gate.leave(began=began)

    def _flooded(
        self, bot: Bot, sending: Sending, report: reports.UploadFailed, now: float
    ) -> None:
        """A 429, open or in disguise."""
        lane, is_probe = sending.lane, sending.is_probe
        bot.gate.leave(began=sending.began)
        if report.retry_after_s == BUSY_RETRY_AFTER_S and report.answer_s >= BUSY_ANSWER_S:
            bot.scope.answered(is_probe=is_probe, accepted=False)
            if not bot.crowd(sending.began, now):  # one is too much, too: then wait as it says
                lane.pause(now + report.retry_after_s)
                self._remember(lane)
            return
        until = now + report.retry_after_s + 0.1 + 0.9 * self._desk.next_jitter()
        is_new = lane.paused_until <= now
        lane.governor.flooded(sending.began, now)
        lane.pause(until)
        self._remember(lane)
        if is_probe or is_new:
            bot.scope.flooded(until, is_probe=is_probe, has_others=len(bot.lanes) > 1)
        if is_probe:
            self._desk.out.append(records.Hold(bot.slug, 0, bot.scope.until, 1.0))

    def _remember(self, lane: Lane) -> None:
        """Of a chat that has moved under both ids: the configuration may name either by then."""
        for chat_id in dict.fromkeys((lane.configured_id, lane.chat_id)):
            hold = records.Hold(lane.bot, chat_id, lane.paused_until, lane.pace.factor)
            self._desk.out.append(hold)

    def restore(self, holds: list[records.Hold], now: float) -> None:
        """What earlier lives were told is still true. Chats that are no longer ours are passed."""
        for hold in holds:
            bot = self._desk.bots.get(hold.bot)
            if bot is None:
                continue
            if hold.chat_id == 0:
                bot.scope.until = max(bot.scope.until, hold.until)
            for lane in bot.lanes:
                if lane.chat_id == hold.chat_id:
                    lane.pause(hold.until)
                    lane.pace.scale(hold.factor)
                    bot.stir(lane, now)
            self._desk.roster.touch(bot)

    def orphaned(self, task: int, reason: str, now: float, end: End) -> None:
        """Its child died: the board told whether the last byte had been handed over."""
        desk, sending = self._desk, self.sending.pop(task)
        bot = desk.bots[sending.job.bot]
        sending.lane.gate.leave(began=sending.began)
        bot.gate.leave(began=sending.began)
        bot.scope.answered(is_probe=sending.is_probe, accepted=False)
        bot.leave(sending.lane, now)
        desk.orphaned(sending.job, reason, now, end)
        desk.roster.touch(bot)

    def check(self) -> None:
        """Raise AssertionError when an invariant of the head of this file does not hold."""
        desk = self._desk
        in_flight: dict[int, int] = {}
        for sending in self.sending.values():
            assert sending.job.phase is Phase.UPLOADING
            assert sending.job.id in desk.pinned
            in_flight[id(sending.lane)] = in_flight.get(id(sending.lane), 0) + 1
        for bot in desk.bots.values():
            for lane in bot.lanes:
                assert lane.in_flight == in_flight.get(id(lane), 0), f"{lane}"
