"""Trials: what is done about an object over whose GETs children have died.

Many bots want the same object. If each of them found out by itself that it is poisonous, it would
cost children for each of them; so its GETs are counted together (`blame.Tolls`). After a death they
are trials: of an object one at a time, with a child to itself, by a suspect; whoever else wants the
object joins. One that lands clears it. At the third death it is convicted, and with it whoever
wants it and lacks its bytes; who comes later fails at its turn, until the toll is not believed any
more. So it costs three children, however many want it: the first one, and two that had nothing
else to do. (Where other GETs of it were under way when the first one died, these may cost theirs.)

Where children are killed over it, again and again, it is on trial, too, and all who want it wait as
long as one alone would have to: a kill is no crash.

Invariants, kept by `check`: an open trial is under way, and nobody has given it up.
Costs: O(1) a GET; a conviction O(jobs), which is little beside three children.
"""

from dataclasses import replace

from prewarmd.core.blame import End, Tolls
from prewarmd.core.desk import Desk
from prewarmd.core.flight import Flight
from prewarmd.core.jobs import Job, Phase


class Trials:
    """Of all objects."""

    def __init__(self, desk: Desk) -> None:
        self.open: dict[tuple[str, str], Flight] = {}
        self.tolls = Tolls(desk.policy.ttl_s)
        self._desk = desk

    def of(self, job: Job) -> Flight | None:
        """The trial of its object that is under way."""
        return self.open.get((job.bucket, job.key))

    def settle(self, job: Job, now: float) -> bool:
        """A job wants a GET: whether its object's toll decides otherwise, and it is elsewhere."""
        desk, toll = self._desk, self.tolls.find(job.bucket, job.key, now)
        if toll is None:
            return False
        if toll.is_full:
            desk.fail(job, "Poison", toll.reason, now)
        elif now < toll.until:
            desk.snooze(job, toll.until - now, "ChildDied", toll.reason, now)
        elif toll.is_suspect and not job.suspect:
            desk.set_aside(job, now)
        else:
            return False
        return True

    def begin(self, flight: Flight, now: float) -> bool:
        """A GET of a suspect takes off; whether it is a trial, which others may join."""
        owner = flight.owner
        toll = self.tolls.find(owner.bucket, owner.key, now)
        if toll is None or not toll.is_suspect:
            return False
        self.open[owner.bucket, owner.key] = flight
        return True

    def close(self, flight: Flight) -> None:
        """A GET is over, or given up."""
        if self.of(flight.owner) is flight:
            del self.open[flight.owner.bucket, flight.owner.key]

    def landed(self, flight: Flight) -> None:
        """All its bytes are here, and the child lives."""
        self.tolls.pop((flight.owner.bucket, flight.owner.key), None)

    def died(self, flight: Flight, reason: str, now: float, end: End) -> bool:
        """A GET's child died; whether its object is convicted."""
        desk, owner = self._desk, flight.owner
        toll = self.tolls.count(owner.bucket, owner.key, flight.began, end, reason, now)
        if toll is None:
            return False
        if end.killed and toll.kills > 1:
            toll.until = now + desk.policy.retry.delay_s(toll.kills, desk.next_jitter())
        return toll.is_full

    def said_of(self, job: Job, flight: Flight, end: End) -> End:
        """What a GET's death says of one job that waits for it. It was asked for in the owner's
        name; but a kill is nobody's fault who was not alone."""
        is_its_own = len(flight.waiters) == 1 or (job is flight.owner and not end.killed)
        return replace(end, alone=end.alone and is_its_own)

    def convict(self, bucket: str, key: str, reason: str, now: float) -> None:
        """Whoever wants the object and lacks its bytes fails. Who knows a content is asked after in
        the catalogue first: that may be ready, or here under another key."""
        desk = self._desk
        believed = desk.cache.believed(bucket, key, now)
        wanting = [job for job in desk.jobs.values() if job.key == key and job.bucket == bucket]
        for job in wanting:
            sha256 = job.sha256 or believed
            if job.phase in (Phase.QUEUED, Phase.SLEEPING) and (
                sha256 is None or (job.id in desk.recalled and not desk.cache.holds(sha256))
            ):
                desk.fail(job, "Poison", reason, now)

    def check(self, fetching: dict[int, Flight]) -> None:
        """Raise AssertionError when an invariant of the head of this file does not hold."""
        for place, flight in self.open.items():
            assert place == (flight.owner.bucket, flight.owner.key)
            assert fetching[flight.task] is flight
            assert not flight.dropped
