"""Remedies: what a fault, or a child's death, means for the job that met it.

The table is `faults`; who is to blame, `blame` judges.
"""

from prewarmd.core.blame import End, is_charged, is_convicted
from prewarmd.core.desk import Desk
from prewarmd.core.faults import FAULTS, Remedy
from prewarmd.core.gate import Gate
from prewarmd.core.jobs import Job


class Remedies:
    """Applied to the desk's jobs."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def apply(self, job: Job, code: str, detail: str, now: float, upstream: Gate) -> None:
        """What a fault means for the job itself; `upstream` is whose answer it was."""
        fault = FAULTS[code]
        match fault.remedy:
            case Remedy.GIVE_UP:
                self._desk.fail(job, code, detail, now)
            case Remedy.RETRY:
                self._retry(job, code, detail, now, charged=is_charged(job, fault, upstream))
            case Remedy.RETRY_LATE:
                job.maybe_sent = True
                charged = is_charged(job, fault, upstream)
                self._retry(job, code, detail, now, charged=charged, late=True)
            case (
                Remedy.RELEASE
                | Remedy.PAUSE_CHAT
                | Remedy.CLOSE_CHAT
                | Remedy.CLOSE_KIND
                | Remedy.CLOSE_BOT
                | Remedy.CLOSE_BUCKET
            ):
                self._desk.release(job, now, code, detail)

    def _retry(
        self, job: Job, code: str, detail: str, now: float, *, charged: bool, late: bool = False
    ) -> None:
        """Try again later, or give up."""
        desk = self._desk
        trouble = job.in_trouble()
        trouble.failures += 1
        job.attempt += charged
        is_believed = FAULTS[code].is_verdict and trouble.failed_with == code
        trouble.failed_with = code
        if is_believed or (charged and job.attempt >= desk.policy.retry.attempts):
            desk.fail(job, code, detail, now)
            return
        retry, jitter = desk.policy.retry, desk.next_jitter()
        delay = retry.late_delay_s if late else retry.delay_s
        desk.snooze(job, delay(trouble.failures, jitter), code, detail, now)

    def orphaned(self, job: Job, reason: str, now: float, end: End) -> None:
        """Its child died."""
        desk = self._desk
        job.maybe_sent |= end.sent
        if is_convicted(job, end):
            desk.fail(job, "Poison", reason, now)
        elif end.sent:
            delay_s = desk.policy.retry.late_delay_s(1, desk.next_jitter())
            desk.snooze(job, delay_s, "MaybeSent", reason, now)
        elif job.trouble is not None and job.trouble.kills > 1:
            delay_s = desk.policy.retry.delay_s(job.trouble.kills, desk.next_jitter())
            desk.snooze(job, delay_s, "ChildDied", reason, now)
        else:
            desk.release(job, now, "ChildDied", reason)
