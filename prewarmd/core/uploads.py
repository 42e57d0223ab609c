"""Uploads: from bytes in the cache to a file_id, through a lane of the job's bot.

A job whose bytes are pinned waits on its bot's pile. Bots take turns by their best job; a bot whose
lanes may not send yet is parked and costs nothing. Telegram's answer is an outcome for three: the
lane (a pause, a refusal), the bot (its token), and the job.

Invariants, kept by `check`: a lane's `in_flight` equals its uploads; an upload's bytes are pinned.
Costs: O(lanes of the bot) an upload, O(log bots) a bot that is parked.
"""

from itertools import islice

from prewarmd.core import records, reports, verbs
from prewarmd.core.blame import End
from prewarmd.core.bots import Bot
from prewarmd.core.children import Child, Children
from prewarmd.core.commands import Tell
from prewarmd.core.desk import Desk
from prewarmd.core.faults import FAULTS, Remedy
from prewarmd.core.flight import Flight
from prewarmd.core.gate import NO_PROBE
from prewarmd.core.jobs import Job, JobEvent, Phase
from prewarmd.core.lanes import Lane
from prewarmd.core.objects import Objects
from prewarmd.core.ready_queue import FOREVER, ReadyQueue
from prewarmd.core.remedies import Remedies
from prewarmd.core.rotation import Rotation, Turns
from prewarmd.core.sending import Sending

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
        self._objects = Objects(desk)
        self._remedies = Remedies(desk)

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
            if job is None or not self._may_send(job, now):
                continue
            bot.loaded.serve(job, now)
            child = self._at_home(job) or child
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
            if job is None or not self._may_send(job, now):
                continue
            child = self._children.pick_alone()
            if child is not None:
                desk.unpile(job)
                bot.alone_turn = desk.roster.next_turn()
                self._send(bot, job, lane, child, now)
                desk.roster.place(bot, now)
            return

    def _at_home(self, job: Job) -> Child | None:
        """The child that brought its bytes, if that may send them: its page tables and its
        processor's caches know them. (0.88 of the daemon's CPU for photos of 100 KB.)"""
        entry = None if job.relay else self._desk.cache.find(self._desk.pinned[job.id])
        if entry is None or entry.home < 0:
            return None
        child = self._children.all[entry.home]
        return child if self._children.may_take(child) else None

    def _may_send(self, job: Job, now: float) -> bool:
        """Whether what it wants of its bucket can be had; else it waits in its backlog for that."""
        wants_store = job.relay or job.thumbnail
        if not wants_store or self._desk.buckets.gate(job.bucket).may_pass(now):
            return True
        self._desk.release(job, now)
        self._desk.roster.place(self._desk.bots[job.bot], now)
        return False

    def _unload(self, bot: Bot, now: float) -> None:
        """Its lanes are paused for long: its bytes become ordinary, evictable cache entries."""
        for job in (*reversed(list(bot.loaded_alone)), *reversed(list(bot.loaded))):
            self._desk.release(job, now)

    def _send(self, bot: Bot, job: Job, lane: Lane, child: Child, now: float) -> None:
        desk = self._desk
        if job.relay:
            self._relay(job, lane, child, now)
            return
        entry = desk.cache.find(desk.pinned[job.id])
        assert entry is not None
        desk.enter(job, Phase.UPLOADING)
        sending, row = self._begin(job, lane, child, entry.size_bytes, now)
        self._tell(sending, row, entry.extent.offset, entry.size_bytes)

    def follow(self, job: Job, lane: Lane, flight: Flight, now: float) -> Sending:
        """Let its upload follow a GET whose bytes still come."""
        assert flight.extent is not None
        self._desk.enter(job, Phase.TRAILING)
        sending, row = self._begin(job, lane, flight.child, flight.size_bytes, now)
        sending.flight, sending.is_sealed, lane.is_trailing = flight, False, True
        self._tell(sending, row, flight.extent.offset, flight.size_bytes, flight.task)
        return sending

    def _relay(self, job: Job, lane: Lane, child: Child, now: float) -> None:
        desk, size_bytes = self._desk, job.size_bytes
        assert size_bytes is not None
        desk.buckets.gate(job.bucket).enter(now)
        desk.downloading.spend(size_bytes, now)
        desk.enter(job, Phase.TRAILING)
        sending, row = self._begin(job, lane, child, size_bytes, now)
        sending.is_sealed = False
        desk.out.append(
            Tell(child.index, verbs.Relay(
                sending.task, row, job.id, job.attempt + 1, job.bot, sending.chat_id, job.kind,
                job.bucket, job.key, size_bytes, job.sha256 if job.sha256 and job.claimed else "",
                job.file_name, job.about,
            ))
        )  # fmt: skip

    def _begin(
        self, job: Job, lane: Lane, child: Child, size_bytes: int, now: float
    ) -> tuple[Sending, int]:
        """It takes its lane, its slot and its share of the budget."""
        desk = self._desk
        is_probe = desk.bots[job.bot].enter(lane, size_bytes, now)
        desk.uploading.spend(size_bytes, now)
        task = desk.next_task()
        row = self._children.begin(child, task, alone=job.suspect)
        sending = Sending(task, job, lane, lane.chat_id, child, now, is_probe)
        self.sending[task] = sending
        return sending, row

    def _tell(
        self, sending: Sending, row: int, offset: int, size_bytes: int, behind: int = 0
    ) -> None:
        job = sending.job
        self._desk.out.append(
            Tell(sending.child.index, verbs.Upload(
                sending.task, row, job.id, job.attempt + 1, job.bot, sending.chat_id, job.kind,
                offset, size_bytes, job.file_name, behind,
                job.bucket if job.thumbnail else "", job.about,
            ))
        )  # fmt: skip

    def _end(self, task: int) -> Sending:
        """It is over."""
        sending = self.sending.pop(task)
        if sending.flight is not None:
            self._end_trailing(sending, sending.flight)
        if sending.job.relay:
            self._desk.buckets.leave(sending.job.bucket, sending.began)
        return sending

    # -- what children answer --------------------------------------------------------------------

    def _end_trailing(self, sending: Sending, flight: Flight) -> None:
        flight.trailing.remove(sending)
        if not sending.is_sealed:
            sending.lane.is_trailing = False
        if flight.is_landed and flight.extent is not None and not flight.trailing:
            self._desk.give_back(flight.extent)  # a second copy
            flight.extent = None

    def uploaded(self, report: reports.Uploaded, now: float) -> None:
        """Telegram gave a file_id: the job is ready, and so is whoever follows it."""
        desk, sending = self._desk, self._end(report.task)
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
        desk, sending = self._desk, self._end(report.task)
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
        self._remedies.apply(job, report.code, report.detail, now, bot.gate)
        desk.roster.touch(bot)

    def _refused(
        self, bot: Bot, sending: Sending, report: reports.UploadFailed, now: float
    ) -> None:
        """What it means for lane and bot."""
        lane, began, fault = sending.lane, sending.began, FAULTS[report.code]
        match fault.remedy:
            case Remedy.CLOSE_CHAT:
                if report.migrated_to:
                    if sending.chat_id == lane.chat_id:  # else it has moved on since
                        lane.chat_id = report.migrated_to
                        self._remember(lane)
                else:
                    lane.gate.refuse(report.code, report.detail, now, began=began)
                bot.gate.accept()
            case Remedy.CLOSE_BOT:
                bot.gate.refuse(report.code, report.detail, now, began=began)
            case Remedy.GIVE_UP if not fault.is_ours:  # chat and bot were good enough to say so
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
        self._remember(lane, sending.chat_id)
        if is_probe or is_new:
            bot.scope.flooded(until, is_probe=is_probe, has_others=len(bot.lanes) > 1)
        if is_probe:
            self._desk.out.append(records.Hold(bot.slug, 0, bot.scope.until, 1.0))

    def _remember(self, lane: Lane, *told: int) -> None:
        """Of a chat that has moved under each id, and the one that was `told`: the configuration
        may name any by then."""
        until, factor = lane.paused_until, lane.pace.factor
        for chat_id in dict.fromkeys((lane.configured_id, lane.chat_id, *told)):
            moved_to = lane.chat_id if chat_id != lane.chat_id else 0
            self._desk.out.append(records.Hold(lane.bot, chat_id, until, factor, moved_to))

    def restore(self, holds: list[records.Hold], now: float) -> None:
        """What earlier lives were told is still true. Chats that are no longer ours are passed."""
        for hold in holds:
            bot = self._desk.bots.get(hold.bot)
            if bot is None:
                continue
            if hold.chat_id == 0:
                bot.scope.until = max(bot.scope.until, hold.until)
            for lane in bot.lanes:
                if lane.configured_id == hold.chat_id:
                    lane.chat_id = hold.moved_to or lane.chat_id
                    lane.pause(hold.until)
                    lane.pace.scale(hold.factor)
                    bot.stir(lane, now)
            self._desk.roster.touch(bot)

    def orphaned(self, task: int, reason: str, now: float, end: End) -> None:
        """Its child died: the board told whether the last byte had been handed over."""
        sending = self.stopped(task, now)
        self._remedies.orphaned(sending.job, reason, now, end)
        self._desk.roster.touch(self._desk.bots[sending.job.bot])

    def stopped(self, task: int, now: float) -> Sending:
        """It is gone, and nothing was told by Telegram."""
        sending = self._end(task)
        bot = self._desk.bots[sending.job.bot]
        sending.lane.gate.leave(began=sending.began)
        bot.gate.leave(began=sending.began)
        bot.scope.answered(is_probe=sending.is_probe, accepted=False)
        bot.leave(sending.lane, now)
        self._desk.roster.touch(bot)
        return sending

    def unfetched(self, report: reports.FetchFailed, now: float) -> None:
        """The store did not give what a relay was to pass on, or a thumbnail: no fault of the
        chat's or the bot's. Only a relay may have been the bucket's probe."""
        sending = self.stopped(report.task, now)
        job, desk = sending.job, self._desk
        began = sending.began if job.relay else NO_PROBE
        self._objects.failed(job, report.code, report.detail, now, began)
        self._remedies.apply(job, report.code, report.detail, now, desk.buckets.gate(job.bucket))

    def resized(self, task: int, size_bytes: int) -> None:
        """A relay's object has another size than it was thought to have."""
        sending = self.sending[task]
        self._desk.learn_size(sending.job, size_bytes)
        self._desk.out.append(Tell(sending.child.index, verbs.Drop(task)))

    def check(self) -> None:
        """Raise AssertionError when an invariant of the head of this file does not hold."""
        desk = self._desk
        in_flight: dict[int, int] = {}
        for sending in self.sending.values():
            job = sending.job
            assert job.phase is (Phase.UPLOADING if sending.is_sealed else Phase.TRAILING)
            flight = sending.flight
            assert job.relay or (flight and sending in flight.trailing) or job.id in desk.pinned
            in_flight[id(sending.lane)] = in_flight.get(id(sending.lane), 0) + 1
        for bot in desk.bots.values():
            for lane in bot.lanes:
                assert lane.in_flight == in_flight.get(id(lane), 0), f"{lane}"
