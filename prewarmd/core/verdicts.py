"""Verdicts: what Telegram's answer to a send means for the chat, and for the bot.

Each answer tells something of three: of the lane that it went by, of its bot, and of the job. Of
the job `uploads` and `remedies` decide; here it is said which way is open, how fast it may be used,
and what of that outlives a restart (`Hold`).
"""

from prewarmd.core import records, reports
from prewarmd.core.bots import Bot
from prewarmd.core.desk import Desk
from prewarmd.core.faults import FAULTS, Fault, Remedy
from prewarmd.core.lanes import Lane
from prewarmd.core.sending import Sending
from prewarmd.core.shortcut import ByMessage, ByUrl

BUSY_RETRY_AFTER_S, BUSY_ANSWER_S = 60.0, 3.0
"""A 429 that asks for exactly so much after so long is the Bot API server guarding itself: less at
once helps, a slower rate does not (telegram.md fact 4)."""


class Verdicts:
    """On the desk's bots and their lanes."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def accepted(self, sending: Sending, answer_s: float, now: float) -> None:
        """It has a file_id."""
        job, lane = sending.job, sending.lane
        bot = self._desk.bots[job.bot]
        lane.gate.accept()
        if bot.choosy:
            bot.accept_kind(lane, job.kind)
        bot.gate.accept()
        bot.scope.answered(is_probe=sending.is_probe, accepted=True)
        if isinstance(job.shortcut, ByUrl):
            self._desk.links.accept(job)  # how long it took to fetch tells nothing of a chat
        else:
            size_bytes = 0 if job.shortcut else job.size_bytes or 0
            if lane.governor.answered(sending.began, answer_s, size_bytes, now):
                self._remember(lane)
        bot.leave(lane, now)

    def untold(self, sending: Sending, now: float) -> None:
        """It ended without a word of Telegram's."""
        bot, lane = self._desk.bots[sending.job.bot], sending.lane
        lane.gate.leave(began=sending.began)
        lane.refusals.leave(sending.job.kind, began=sending.began)
        bot.gate.leave(began=sending.began)
        bot.scope.answered(is_probe=sending.is_probe, accepted=False)
        bot.leave(lane, now)

    def refused(self, sending: Sending, report: reports.UploadFailed, now: float) -> None:
        """It was not accepted."""
        lane, fault = sending.lane, FAULTS[report.code]
        bot = self._desk.bots[sending.job.bot]
        lane.gate.leave(began=sending.began)
        if fault.remedy is not Remedy.CLOSE_KIND:
            lane.refusals.leave(sending.job.kind, began=sending.began)
        if fault.remedy is Remedy.PAUSE_CHAT:
            self._flooded(bot, sending, report, now)
        else:
            bot.scope.answered(is_probe=sending.is_probe, accepted=False)
            self._closed(bot, sending, report, now)
        bot.leave(lane, now)

    def leads_nowhere(self, sending: Sending, fault: Fault) -> bool:
        """Whether it was sent by a shortcut, and the refusal is the way's own: a chat that refuses
        may be the one that a message is forwarded from."""
        by = sending.job.shortcut
        if fault.remedy is Remedy.CLOSE_CHAT:
            return isinstance(by, ByMessage) and by.chat_id != sending.chat_id
        return by is not None and (fault.remedy is Remedy.GIVE_UP or fault.is_verdict)

    def _closed(self, bot: Bot, sending: Sending, report: reports.UploadFailed, now: float) -> None:
        """A refusal or a failure: who is closed for it."""
        lane, began, fault = sending.lane, sending.began, FAULTS[report.code]
        match fault.remedy:
            case Remedy.CLOSE_CHAT if self.leads_nowhere(sending, fault):
                bot.gate.accept()
            case Remedy.CLOSE_CHAT if report.migrated_to:
                if sending.chat_id == lane.chat_id:  # else it has moved on since
                    lane.chat_id = report.migrated_to
                    self._remember(lane)
                bot.gate.accept()
            case Remedy.CLOSE_CHAT:
                lane.gate.refuse(report.code, report.detail, now, began=began)
                bot.gate.accept()
            case Remedy.CLOSE_KIND:
                kind = sending.job.kind
                bot.refuse_kind(lane, kind, report.code, report.detail, now, began=began)
                lane.gate.accept()
                bot.gate.accept()
            case Remedy.CLOSE_BOT:
                bot.gate.refuse(report.code, report.detail, now, began=began)
            case Remedy.GIVE_UP if not fault.is_ours:  # chat and bot were good enough to say so
                lane.gate.accept()
                bot.gate.accept()
            case _ if fault.strains:
                bot.gate.fail(report.code, report.detail, now, began=began)
            case _ if fault.is_verdict:
                lane.gate.accept()
                bot.gate.accept()
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

    # -- what outlives a restart -----------------------------------------------------------------

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
