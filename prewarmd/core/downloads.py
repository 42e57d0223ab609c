"""Downloads: from a job's turn to its bytes in the cache, with one GET whoever asks.

What is known before a download decides what happens: content that is known is first asked of the
catalogue; bytes that are here are pinned; a GET under way is shared (by content where the job's key
or client promises it, else by object); only then a child is told to fetch, with If-None-Match when
the object was seen before. Memory is reserved when the size is known: beforehand, or when the
child has read the head.

Invariants, kept by `check`: a job waits for a flight exactly when it is fetching; at most one
flight per key is joined. Costs: O(1) a step, and O(free extents) a reservation.
"""

from prewarmd.core import verbs
from prewarmd.core.blame import End
from prewarmd.core.children import Children
from prewarmd.core.commands import Recall, Tell
from prewarmd.core.desk import Desk
from prewarmd.core.events import Recalled
from prewarmd.core.extents import Extent
from prewarmd.core.flight import Flight
from prewarmd.core.jobs import Job, Phase
from prewarmd.core.objects import Objects
from prewarmd.core.remedies import Remedies
from prewarmd.core.shortcut import ByFileId, ByMessage, ByUrl, Shortcut
from prewarmd.core.trials import Trials


class Downloads:
    """Every GET under way."""

    def __init__(self, desk: Desk, children: Children) -> None:
        self.fetching: dict[int, Flight] = {}
        self._desk = desk
        self._children = children
        self.trials = Trials(desk)
        self._flights: dict[tuple[str, ...], Flight] = {}
        self._objects = Objects(desk)
        self._remedies = Remedies(desk)
        self._relay_above_bytes = int(desk.cache.extents.size_bytes * desk.policy.relay_share)

    # -- from the queue to bytes -----------------------------------------------------------------

    def begin(self, job: Job, now: float) -> bool:
        """Take a job on; False when it must stay where it is (no slot, no memory)."""
        desk = self._desk
        if job.sha256 is None:
            job.sha256 = desk.cache.believed(job.bucket, job.key, now)
        if job.sha256 is not None:
            if desk.follow(job):
                return True
            if job.id not in desk.recalled:
                self._recall(job)
                return True
        return self._acquire(job, now)

    def _recall(self, job: Job) -> None:
        assert job.sha256 is not None
        self._desk.start(job, Phase.RECALLING)
        self._desk.out.append(Recall(job.id, job.bot, job.sha256, job.kind))

    def recalled(self, job: Job, answer: Recalled, now: float, *, may_start: bool) -> None:
        """The catalogue's answer; without `may_start` no GET begins."""
        desk, by = self._desk, self._shortcut(job, answer, now)
        if answer.ready and by is None:
            desk.join_all(job, now)
            return
        desk.recalled.add(job.id)
        if job.id in desk.pinned:
            desk.load(job, now)
        elif by is not None:
            desk.relay(job, is_relay=False, by=by)
            desk.load(job, now)
        elif not may_start or not self._acquire(job, now):
            desk.put_back(job, now)

    def _shortcut(self, job: Job, answer: Recalled, now: float) -> Shortcut | None:
        """What spares its bytes, if they are not here already."""
        if job.size_bytes is None or job.id in self._desk.pinned:
            return None
        if answer.ready:
            return ByFileId(answer.file_id, answer.actual_kind) if job.is_probe else None
        if answer.message_id:
            return ByMessage(answer.chat_id, answer.message_id)
        return ByUrl() if job.claimed and self._desk.links.may_go(job, now) else None

    def _acquire(self, job: Job, now: float) -> bool:
        """Find the job's bytes: here, on their way, or by a GET of its own."""
        desk = self._desk
        desk.relay(job, is_relay=False)
        if job.sha256 is not None and (entry := desk.cache.find(job.sha256)):
            if desk.memory_short and not desk.bots[job.bot].may_send(job.kind, now):
                return False  # it would be the first to give way
            desk.cache.hits += 1
            desk.start(job, Phase.FETCHING)
            desk.learn_size(job, entry.size_bytes)
            if not self._too_large(job, entry.size_bytes, now):
                desk.pin(job, job.sha256)
                desk.load(job, now)
            return True
        key = (job.sha256,) if job.sha256 and job.claimed else (job.bucket, job.key)
        flight = self._flights.get(key)
        may_join = flight and (not job.suspect or flight is self.trials.of(job))
        if flight and may_join and flight.is_recent(job, now, desk.policy.ttl_s):
            desk.cache.hits += 1
            desk.start(job, Phase.FETCHING)
            flight.waiters.append(job)
            return True
        return self._take_off(job, key, now)

    def _take_off(self, job: Job, key: tuple[str, ...], now: float) -> bool:
        desk, trials = self._desk, self.trials
        if trials.tolls and trials.settle(job, now):
            return True
        if job.suspect and trials.of(job):
            return False
        gate, children = desk.buckets.gate(job.bucket), self._children
        child = children.pick_alone() if job.suspect else children.pick()
        if (
            child is None
            or desk.downloading.paid_at > now
            or (gate.code and not gate.may_pass(now))
        ):
            return False
        if job.size_bytes is not None and self._too_large(job, job.size_bytes, now):
            return True
        extent, is_large = None, (job.size_bytes or 0) > self._relay_above_bytes
        if is_large and not (job.etag or gate.code):  # else a GET finds out what there is to know
            desk.start(job, Phase.FETCHING)
            self._load_relay(job, now)
            return True
        if job.size_bytes and not is_large:
            extent = self._reserve([job], job.size_bytes, now)
            if extent is None:
                return False
        desk.start(job, Phase.FETCHING)
        if gate.code:
            gate.enter(now)
        desk.downloading.spend(job.size_bytes or 0, now)
        desk.cache.misses += 1
        task = desk.next_task()
        row = self._children.begin(child, task, alone=job.suspect)
        etag = job.etag if job.etag and job.etag_sha256 and not job.claimed else ""
        flight = self.fetching[task] = Flight(key, job, task, child, extent, [job], now, etag)
        if not job.suspect or trials.begin(flight, now):  # nobody joins another suspect
            self._flights[key] = flight
        desk.out.append(
            Tell(child.index, verbs.Fetch(
                task, row, job.id, job.attempt + 1, job.bucket, job.key,
                extent.offset if extent else -1,
                job.size_bytes if extent and job.size_bytes else -1,
                etag, job.sha256 if job.sha256 and job.claimed else "",
            ))
        )  # fmt: skip
        return True

    def _reserve(self, jobs: list[Job], size_bytes: int, now: float) -> Extent | None:
        """Memory for a download that those jobs wait for. What was fetched ahead for bots that
        cannot send yet goes before a bot that can send has to wait."""
        desk = self._desk
        extent = desk.cache.reserve(size_bytes)
        if extent is not None:
            return extent
        if not any(desk.bots[job.bot].may_send(job.kind, now) for job in jobs):
            desk.ahead_short = True
            return None
        while extent is None and desk.give_up_one_ahead(now):
            extent = desk.cache.reserve(size_bytes)
        if extent is None:
            desk.memory_short = True
            self._drop_ahead(now)
        return extent

    def _drop_ahead(self, now: float) -> None:
        """Drop the GETs whose jobs could not be sent yet. O(GETs), when memory is short."""
        desk = self._desk
        for flight in self.fetching.values():
            waiters = () if flight.trailing else flight.waiters
            if waiters and not any(desk.bots[j.bot].may_send(j.kind, now) for j in waiters):
                self._drop(flight, now)

    def _drop(self, flight: Flight, now: float) -> None:
        """Nobody wants it any more, or there is no memory: its jobs wait in their backlogs. Its
        memory is free when the child says so."""
        self._tell_drop(flight)
        waiters, flight.waiters = flight.waiters, []
        for job in reversed(waiters):
            self._desk.release(job, now)

    def _tell_drop(self, flight: Flight) -> None:
        flight.dropped = True
        self._desk.out.append(Tell(flight.child.index, verbs.Drop(flight.task)))
        self._close(flight)

    def _load_relay(self, job: Job, now: float) -> None:
        """Its object has no place here: once its lane permits it passes through a child."""
        job.etag = None  # it is new, as far as anyone can tell without a byte
        self._desk.relay(job, is_relay=True)
        self._desk.load(job, now)

    def _too_large(self, job: Job, size_bytes: int, now: float) -> bool:
        desk = self._desk
        most = desk.policy.size_max[job.kind]
        if size_bytes <= most:
            return False
        desk.fail(job, "TooLarge", f"{size_bytes} bytes; a {job.kind} may have {most}", now)
        return True

    # -- what children answer --------------------------------------------------------------------

    def _land(self, task: int) -> Flight:
        """The GET is over."""
        flight = self.fetching.pop(task)
        self._close(flight)
        if flight.extent is not None:
            self._desk.give_back(flight.extent)
        return flight

    def _close(self, flight: Flight) -> None:
        """Nobody joins it any more."""
        if self._flights.get(flight.key) is flight:
            del self._flights[flight.key]
        if self.trials.open:
            self.trials.close(flight)

    def opened(self, task: int, size_bytes: int, now: float) -> None:
        """The head is in: now the size is known, and memory can be had, or not."""
        flight, desk = self.fetching[task], self._desk
        if flight.dropped:
            return
        if size_bytes > self._relay_above_bytes:
            desk.buckets.open(flight.owner.bucket)  # there will be no more of this answer
        desk.downloading.spend(max(0, size_bytes - (flight.owner.size_bytes or 0)), now)
        for job in reversed(tuple(flight.waiters)):
            if flight.is_of(job):
                desk.learn_size(job, size_bytes)
                if self._too_large(job, size_bytes, now):
                    flight.waiters.remove(job)
                elif size_bytes > self._relay_above_bytes:
                    flight.waiters.remove(job)
                    self._load_relay(job, now)
            elif size_bytes > min(desk.policy.size_max[job.kind], self._relay_above_bytes):
                flight.waiters.remove(job)
                desk.release(job, now)  # what was promised may be smaller under its own key
        if flight.extent is not None:
            desk.give_back(flight.extent)
            flight.extent = None
        if flight.waiters:
            flight.extent = self._reserve(flight.waiters, size_bytes, now)
        if flight.extent is None:
            self._drop(flight, now)
        else:
            into = verbs.Into(task, flight.extent.offset, size_bytes)
            desk.out.append(Tell(flight.child.index, into))

    def fetched(self, task: int, size_bytes: int, sha256: str, etag: str, now: float) -> Flight:
        """The bytes are in the arena, hashed; the flight, whose jobs `hand_out` tells."""
        desk, flight = self._desk, self.fetching[task]
        extent, flight.extent = flight.extent, None
        assert extent is not None
        self._land(task)
        flight.is_landed = True
        self._objects.saw(flight.owner, etag, sha256, size_bytes, flight.began)
        self.trials.landed(flight)
        if flight.trailing and desk.cache.holds(sha256):
            flight.extent = extent  # a second copy, but uploads read it
        else:
            desk.cache.admit(sha256, extent, size_bytes, now).home = flight.child.index
        desk.memory_freed()
        flight.waiters = [j for j in flight.waiters if not self._too_large(j, size_bytes, now)]
        for job in (*flight.waiters, *(sending.job for sending in flight.trailing)):
            desk.pin(job, sha256)  # all first: one that is done with it must not let it go
            desk.learn_size(job, size_bytes)
        return flight

    def hand_out(self, flight: Flight, sha256: str, now: float) -> None:
        """Whoever waited for a GET has its bytes."""
        desk = self._desk
        for job in flight.waiters:
            desk.know(job, sha256, now)
            if desk.follow(job):
                desk.unpin(job, now)
            elif job.id in desk.recalled:
                desk.load(job, now)
            else:
                self._recall(job)

    def unchanged(self, task: int, now: float) -> None:
        """The object is what it was when we last saw it: its content is known without a byte."""
        desk, flight = self._desk, self._land(task)
        owner = flight.owner
        sha256 = owner.etag_sha256
        assert sha256 is not None
        self._objects.saw(owner, flight.etag, sha256, owner.size_bytes or 0, flight.began)
        for job in flight.waiters:
            desk.know(job, sha256, now)
            job.etag = None  # should the catalogue not have it, the next GET is a plain one
            if not desk.follow(job):
                self._recall(job)

    def failed(self, task: int, code: str, detail: str, now: float) -> None:
        """The GET came to nothing."""
        desk, flight = self._desk, self._land(task)
        owner = flight.owner
        self._objects.failed(owner, code, detail, now, flight.began)
        gate = desk.buckets.gate(owner.bucket)
        for job in reversed(flight.waiters):
            if flight.is_of(job):
                self._remedies.apply(job, code, detail, now, gate)
            else:
                desk.release(job, now)  # the same content under another key may be whole

    def memory_refused(self, task: int, detail: str, now: float, *, told: bool) -> None:
        """The system did not back the extent; `told` says whether the child knows of the task."""
        desk, flight = self._desk, self.fetching.get(task)
        if flight is None:
            return  # its child died in the same turn; all is set right already
        waiters, flight.waiters = flight.waiters, []
        if told:
            self._tell_drop(flight)
            if flight.extent is not None:
                desk.give_back(flight.extent)
                flight.extent = None
        else:
            self._land(task)
            self._children.finish(flight.child, task)
            desk.buckets.leave(flight.owner.bucket, flight.began)
        for job in waiters:
            self._remedies.apply(job, "NoMemory", detail, now, desk.buckets.gate(job.bucket))

    def orphaned(self, task: int, reason: str, now: float, end: End) -> None:
        """Its child died."""
        desk, flight = self._desk, self._land(task)
        owner = flight.owner
        desk.buckets.leave(owner.bucket, flight.began)
        convicted = self.trials.died(flight, reason, now, end)
        for job in reversed(flight.waiters):
            if convicted and flight.is_of(job):
                desk.fail(job, "Poison", reason, now)
            else:
                self._remedies.orphaned(job, reason, now, self.trials.said_of(job, flight, end))
        if convicted:
            for other in [f for f in self.fetching.values() if f.is_of(owner) and not f.dropped]:
                self._drop(other, now)
            self.trials.convict(owner.bucket, owner.key, reason, now)

    def leave(self, job: Job) -> None:
        """A job that waits for a flight does not want its bytes any more."""
        for flight in self.fetching.values():
            if job in flight.waiters:
                flight.waiters.remove(job)

    def check(self) -> None:
        """Raise AssertionError when an invariant of the head of this file does not hold."""
        waiting = [job for flight in self.fetching.values() for job in flight.waiters]
        jobs = self._desk.jobs.values()
        assert len(waiting) == sum(job.phase is Phase.FETCHING for job in jobs)
        assert all(job.phase is Phase.FETCHING for job in waiting)
        for key, flight in self._flights.items():
            assert flight.key == key
            assert self.fetching[flight.task] is flight
        self.trials.check(self.fetching)
