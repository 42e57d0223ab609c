"""Uploads: from bytes in the cache to a file_id, through a lane of the job's bot.

A job whose bytes are pinned waits on its bot's pile. Bots take turns by their best job; a bot whose
lanes may not send yet is parked and costs nothing. Telegram's answer is an outcome for three: the
lane (a pause, a refusal), the bot (its token), and the job.

Invariants, kept by `check`: a lane's `in_flight` equals its uploads; an upload's bytes are pinned.
Costs: O(lanes of the bot) an upload, O(log bots) a bot that is parked.
"""

from dataclasses import dataclass

from prewarmd.core import records, reports, verbs
from prewarmd.core.children import Child, Children
from prewarmd.core.commands import Tell
from prewarmd.core.desk import Desk
from prewarmd.core.faults import FAULTS, Remedy
from prewarmd.core.jobs import Job, JobEvent, Phase
from prewarmd.core.lanes import FOREVER, Bot, Lane


@dataclass(slots=True, eq=False)
class Sending:
    """One upload in flight."""

    job: Job
    lane: Lane
    child: Child


class Uploads:
    """Every upload under way."""

    def __init__(self, desk: Desk, children: Children) -> None:
        self.sending: dict[int, Sending] = {}
        self._desk = desk
        self._children = children

    def pump(self, now: float) -> None:
        """Start whatever may start."""
        desk = self._desk
        while (head := desk.to_send.peek()) is not None:
            bot = desk.bots[head[0]]
            lane, at = bot.next_lane(now)
            if lane is None or at > now:
                desk.to_send.remove(bot.slug)
                desk.park(bot, at)
                if FOREVER > at > now + desk.policy.prefetch_horizon_s:
                    self._unload(bot, now)
                continue
            child = self._children.pick()
            if child is None:
                return
            first = bot.loaded.peek()
            assert first is not None
            desk.to_send.remove(bot.slug)  # served: behind the others of its level
            self._send(bot, desk.jobs[first[0]], lane, child, now)

    def _unload(self, bot: Bot, now: float) -> None:
        """Its lanes are paused for long: its bytes become ordinary, evictable cache entries."""
        for job_id in reversed(list(bot.loaded)):
            self._desk.release(self._desk.jobs[job_id], now)

    def _send(self, bot: Bot, job: Job, lane: Lane, child: Child, now: float) -> None:
        desk = self._desk
        entry = desk.cache.find(desk.pinned[job.id])
        assert entry is not None
        bot.loaded.remove(job.id)
        desk.enter(job, Phase.UPLOADING)
        lane.enter(now)
        bot.enter(now)
        task = desk.next_task()
        row = self._children.begin(child, task)
        self.sending[task] = Sending(job, lane, child)
        desk.out.append(
            Tell(child.index, verbs.Upload(
                task, row, job.id, job.attempt + 1, job.bot, lane.chat_id, job.kind,
                entry.extent.offset, entry.size_bytes, job.key.rpartition("/")[2] or job.key,
            ))
        )  # fmt: skip
        desk.place(bot)

    # -- what children answer --------------------------------------------------------------------

    def uploaded(self, report: reports.Uploaded, now: float) -> None:
        """Telegram gave a file_id: the job is ready, and so is whoever follows it."""
        desk, sending = self._desk, self.sending.pop(report.task)
        job, lane = sending.job, sending.lane
        lane.in_flight -= 1
        lane.gate.accept()
        desk.bots[job.bot].gate.accept()
        assert job.sha256 is not None
        assert job.size_bytes is not None
        job.happen(JobEvent.COMPLETED)
        desk.out.append(
            records.Complete(
                job.id, job.bot, job.sha256, job.kind, report.actual_kind, job.size_bytes,
                report.file_id, report.file_unique_id, lane.chat_id, report.message_id,
                duplicates=int(job.maybe_sent), waited_s=now - job.created,
            )
        )  # fmt: skip
        desk.ready_rate.count(now)
        for follower in desk.take_followers(job):
            desk.join(follower, job.sha256, job.size_bytes, now)
        desk.forget(job, now)

    def failed(self, report: reports.UploadFailed, now: float) -> None:
        """It did not: whose fault that is, the table of faults says."""
        desk, sending = self._desk, self.sending.pop(report.task)
        job, lane = sending.job, sending.lane
        bot = desk.bots[job.bot]
        remedy = FAULTS[report.code].remedy
        lane.in_flight -= 1
        if remedy is Remedy.PAUSE_CHAT:
            lane.pause(now + report.retry_after_s + 0.1 + 0.9 * desk.next_jitter())
            lane.gate.leave()
            bot.gate.leave()
        elif remedy is Remedy.CLOSE_CHAT:
            if report.migrated_to:
                lane.chat_id = report.migrated_to
                lane.gate.leave()
            else:
                lane.gate.refuse(report.code, report.detail, now)
            bot.gate.accept()
        elif remedy is Remedy.CLOSE_BOT:
            lane.gate.leave()
            bot.gate.refuse(report.code, report.detail, now)
        elif remedy is Remedy.GIVE_UP:  # the chat and the bot were good enough to be told so
            lane.gate.accept()
            bot.gate.accept()
        else:
            lane.gate.leave()
            bot.gate.leave()
        desk.remedy(job, remedy, report.code, report.detail, now)
        desk.place(bot)

    def orphaned(self, task: int, reason: str, now: float, *, sent: bool) -> None:
        """Its child died: the board told whether the last byte had been handed over."""
        desk, sending = self._desk, self.sending.pop(task)
        bot = desk.bots[sending.job.bot]
        sending.lane.in_flight -= 1
        sending.lane.gate.leave()
        bot.gate.leave()
        desk.orphaned(sending.job, reason, now, sent=sent)
        desk.place(bot)

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
