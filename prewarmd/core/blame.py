"""Blame: whether what went wrong is the job's own doing. Evidence decides, never mere presence.

A server's failure burns an attempt when, since the job's last failure, the same server has served
somebody else. A child's death convicts the one job that was alone with it, at the third time; who
was there with others is a suspect, and will be alone next time. A SIGKILL is weaker evidence than a
crash: whoever sends one has reasons of his own.
"""

from dataclasses import dataclass

from prewarmd.core.faults import Charge, Fault
from prewarmd.core.gate import Gate
from prewarmd.core.jobs import Job

DEATHS_MAX, KILLS_MAX = 3, 10
"""Children that a job may take with it, and that may be killed while they have it alone in hand."""


@dataclass(frozen=True, slots=True)
class End:
    """How a task ended with its child: was its last byte `sent`, was it `alone` in that child's
    hand, was the child `killed` from outside, and had it `heard` of the task before."""

    sent: bool
    alone: bool
    killed: bool
    heard: bool = True


def is_charged(job: Job, fault: Fault, upstream: Gate) -> bool:
    """Whether the fault burns an attempt; notes what the next one will be judged by."""
    others = 0 <= job.served_then < upstream.served
    job.served_then = upstream.served
    return fault.charge is Charge.ALWAYS or (fault.charge is Charge.EVIDENCE and others)


def is_convicted(job: Job, end: End) -> bool:
    """Whether a child's death is one too many; notes it. A child that was dead before it was told
    did not die of it."""
    if not end.heard:
        return False
    job.suspect = True
    if end.killed:
        job.kills += end.alone
    else:
        job.deaths = job.deaths + 1 if end.alone else max(1, job.deaths)
    return job.deaths >= DEATHS_MAX or job.kills >= KILLS_MAX
