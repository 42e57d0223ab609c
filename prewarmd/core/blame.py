"""Blame: whether what went wrong is the job's own doing. Evidence decides, never mere presence.

A server's failure burns an attempt when, since the job's last failure, the same server has served
somebody else. A child's death convicts the one job that was alone with it, at the third time; who
was there with others is a suspect, and will be alone next time. A SIGKILL is weaker evidence than a
crash: whoever sends one has reasons of his own.

A child that dies over a GET may have died of the object, which is the same for whoever wants it: so
an object has a toll, too, over all the jobs that had it fetched. It is known by its key, because a
GET that dies does not tell an ETag. What the toll says is believed for as long as anything that is
known of a key, from the last death on, and no longer once a GET of it has landed.

Costs: O(1) a death; a toll some 400 bytes, and TOLLS_MAX of them.
"""

from dataclasses import dataclass

from prewarmd.core.faults import Charge, Fault
from prewarmd.core.gate import Gate
from prewarmd.core.jobs import Job
from prewarmd.core.trouble import Trouble

DEATHS_MAX, KILLS_MAX = 3, 10
"""Children that a job may take with it, and that may be killed while they have it alone in hand; an
object in its GETs likewise."""
TOLLS_MAX = 10_000


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
    trouble = job.in_trouble()
    others = 0 <= trouble.served_then < upstream.served
    trouble.served_then = upstream.served
    return fault.charge is Charge.ALWAYS or (fault.charge is Charge.EVIDENCE and others)


def is_convicted(job: Job, end: End) -> bool:
    """Whether a child's death is one too many; notes it. A child that was dead before it was told
    did not die of it."""
    if not end.heard:
        return False
    job.suspect = True
    _count(job.in_trouble(), end)
    return _is_enough(job.in_trouble())


@dataclass(slots=True)
class Toll:
    """What the GETs of one object have cost."""

    deaths: int = 0
    kills: int = 0
    at: float = 0.0
    """When a child died of it last, as far as anyone knows..."""
    reason: str = ""
    """...and how."""
    until: float = 0.0
    """Nobody asks for it before."""

    @property
    def is_suspect(self) -> bool:
        """Whether it is better asked for by nobody but a suspect. One kill is nothing, and two in a
        row may be the object's: as a job then waits longer and longer, so do all who want it."""
        return self.deaths > 0 or self.kills > 1

    @property
    def is_full(self) -> bool:
        """Whether it convicts."""
        return _is_enough(self)


class Tolls(dict[tuple[str, str], Toll]):
    """Of all objects of which a child may have died, by bucket and key; the one counted last is
    last."""

    def __init__(self, ttl_s: float) -> None:
        super().__init__()
        self._ttl_s = ttl_s

    def find(self, bucket: str, key: str, now: float) -> Toll | None:
        """What is believed of an object."""
        toll = self.get((bucket, key))
        return toll if toll is not None and now < toll.at + self._ttl_s else None

    def count(
        self, bucket: str, key: str, began: float, end: End, reason: str, now: float
    ) -> Toll | None:
        """A child died over a GET of it that `began` then; None when that says nothing."""
        if not end.heard or (end.killed and not end.alone):
            return None
        toll = self.find(bucket, key, began) or Toll()
        self.pop((bucket, key), None)
        self[bucket, key] = toll
        if len(self) > TOLLS_MAX:
            del self[next(iter(self))]
        toll.at, toll.reason = now, reason
        _count(toll, end)
        return toll


def _count(whom: Trouble | Toll, end: End) -> None:
    """One death more."""
    if end.killed:
        whom.kills += end.alone
    else:
        whom.deaths = whom.deaths + 1 if end.alone else max(1, whom.deaths)


def _is_enough(whom: Trouble | Toll) -> bool:
    return whom.deaths >= DEATHS_MAX or whom.kills >= KILLS_MAX
