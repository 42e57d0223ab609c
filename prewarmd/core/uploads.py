"""Uploads: from bytes in the cache to a file_id, through a lane of the job's bot.

A job whose bytes are pinned waits on its bot's pile. Bots take turns by their best job; a bot whose
lanes may not send yet is parked and costs nothing. What Telegram's answer means for the lane and
the bot, `verdicts` say; what it means for the job is said here.

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
from prewarmd.core.faults import FAULTS
from prewarmd.core.flight import Flight
from prewarmd.core.gate import NO_PROBE
from prewarmd.core.jobs import Job, JobEvent, Phase
from prewarmd.core.lanes import Lane
from prewarmd.core.objects import Objects
from prewarmd.core.ready_queue import FOREVER, ReadyQueue
from prewarmd.core.remedies import Remedies
from prewarmd.core.rotation import Rotation, Turns
from prewarmd.core.sending import Sending
from prewarmd.core.shortcut import ByFileId, ByMessage, ByUrl, Shortcut
from prewarmd.core.verdicts import Verdicts

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
        self._verdicts = Verdicts(desk)

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
            lane = bot.next_free
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
        if bot.choosy:
            return self._match(turns, bot, pile, now)
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

    def _match(
        self, turns: Turns[Bot] | Rotation[Bot], bot: Bot, pile: ReadyQueue[Job], now: float
    ) -> Job | None:
        """The same where a lane refuses kinds; those that no lane takes sleep until one is asked
        again."""
        desk = self._desk
        if (job := bot.match(pile, now)) is not None:
            return job
        for each in list(pile):
            desk.sleep_if_refused(each, now)
        turns.remove(bot)
        if pile.size:
            desk.roster.ahead[bot] = None
            desk.roster.park(bot, bot.match_at(pile, now))
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
                self._send(bot, job, bot.next_free, child, now)
                desk.roster.place(bot, now)
            return

    def _at_home(self, job: Job) -> Child | None:
        """The child that brought its bytes, if that may send them: its page tables and its
        processor's caches know them. (0.88 of the daemon's CPU for photos of 100 KB.)"""
        entry = None if job.is_light else self._desk.cache.find(self._desk.pinned[job.id])
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
        if job.shortcut is not None:
            self._send_light(job, job.shortcut, lane, child, now)
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

    def _send_light(self, job: Job, by: Shortcut, lane: Lane, child: Child, now: float) -> None:
        """Without its bytes."""
        self._desk.enter(job, Phase.UPLOADING)
        sending, row = self._begin(job, lane, child, 0, now)
        common = (sending.task, row, job.id, job.attempt + 1, job.bot, sending.chat_id)
        verb: verbs.Light
        match by:
            case ByMessage(chat_id, message_id):
                verb = verbs.Forward(*common, job.kind, chat_id, message_id)
            case ByFileId(file_id, actual_kind):
                verb = verbs.Resend(*common, actual_kind, file_id)
            case ByUrl():
                assert job.size_bytes is not None
                verb = verbs.Link(*common, job.kind, job.bucket, job.key, job.size_bytes)
        self._desk.out.append(Tell(child.index, verb))

    def _begin(
        self, job: Job, lane: Lane, child: Child, size_bytes: int, now: float
    ) -> tuple[Sending, int]:
        """It takes its lane, its slot and its share of the budget."""
        desk = self._desk
        bot = desk.bots[job.bot]
        if bot.choosy:
            lane.refusals.enter(job.kind, now)
        is_probe = bot.enter(lane, size_bytes, now)
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
        job = sending.job
        self._verdicts.accepted(sending, report.answer_s, now)
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
        job = sending.job
        bot = desk.bots[job.bot]
        self._verdicts.refused(sending, report, now)
        if self._verdicts.leads_nowhere(sending, FAULTS[report.code]):
            desk.give_up_shortcut(job, report.code, report.detail, now)
        else:
            self._remedies.apply(job, report.code, report.detail, now, bot.gate)
        desk.roster.touch(bot)

    def orphaned(self, task: int, reason: str, now: float, end: End) -> None:
        """Its child died: the board told whether the last byte had been handed over."""
        sending = self.stopped(task, now)
        self._remedies.orphaned(sending.job, reason, now, end)
        self._desk.roster.touch(self._desk.bots[sending.job.bot])

    def stopped(self, task: int, now: float) -> Sending:
        """It is gone, and nothing was told by Telegram."""
        sending = self._end(task)
        self._verdicts.untold(sending, now)
        self._desk.roster.touch(self._desk.bots[sending.job.bot])
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
            assert job.is_light or (flight and sending in flight.trailing) or job.id in desk.pinned
            in_flight[id(sending.lane)] = in_flight.get(id(sending.lane), 0) + 1
        for bot in desk.bots.values():
            for lane in bot.lanes:
                assert lane.in_flight == in_flight.get(id(lane), 0), f"{lane}"
