"""Downloads: from a job's turn to its bytes in the cache, with one GET whoever asks.

What is known before a download decides what happens: content that is known is first asked of the
catalogue; bytes that are here are pinned; a GET under way is shared (by content where the job's key
or client promises it, else by object); only then a child is told to fetch, with If-None-Match when
the object was seen before. Memory is reserved when the size is known: beforehand, or when the
child has read the head.

Invariants, kept by `check`: a job waits for a flight exactly when it is fetching; at most one
flight per key. Costs: O(1) a step, and O(free extents) a reservation.
"""

from dataclasses import dataclass

from prewarmd.core import records, verbs
from prewarmd.core.children import Child, Children
from prewarmd.core.commands import Recall, Tell
from prewarmd.core.desk import Desk
from prewarmd.core.extents import Extent
from prewarmd.core.faults import FAULTS, Remedy
from prewarmd.core.jobs import Job, JobId, Phase
from prewarmd.core.lanes import Bot

_ABOUT_THE_OBJECT = ("NoSuchKey", "Sha256Mismatch", "EmptyObject")
"""Faults that show a bucket which answers."""


@dataclass(slots=True, eq=False)
class Flight:
    """One GET, however many jobs wait for it."""

    key: tuple[str, ...]
    owner: Job
    task: int
    child: Child
    extent: Extent | None
    waiters: list[Job]


class Downloads:
    """Every GET under way."""

    def __init__(self, desk: Desk, children: Children) -> None:
        self.fetching: dict[int, Flight] = {}
        self._desk = desk
        self._children = children
        self._flights: dict[tuple[str, ...], Flight] = {}
        self._recalling_max = desk.policy.workers * desk.policy.slots

    def pump(self, now: float) -> None:
        """Start whatever may start."""
        desk = self._desk
        horizon_s = desk.policy.prefetch_horizon_s
        while (head := desk.to_load.peek()) is not None:
            turn, (slug, bucket) = head[0], head[0]
            bot = desk.bots[slug]
            if desk.memory_short or desk.recalling >= self._recalling_max:
                return
            if self._children.pick() is None:
                return
            gate = desk.gate(bucket)
            if not bot.room(now, horizon_s):
                desk.to_load.remove(turn)
                desk.park(bot, _room_at(bot, now, horizon_s))
                continue
            if not gate.may_pass(now):
                desk.to_load.remove(turn)
                if not gate.probing:
                    desk.park(bot, gate.until)
                continue
            queue = bot.queue(bucket)
            first = queue.peek()
            assert first is not None
            job = desk.jobs[first[0]]
            queue.remove(job.id)
            desk.to_load.remove(turn)  # served: behind the others of its level
            begun = self._begin(job, now)
            if not begun:
                queue.push(job.id, job.level, front=True)
            desk.place(bot)
            if not begun:
                return  # no slot or no memory: an answer will bring us here again

    # -- from the queue to bytes -----------------------------------------------------------------

    def _begin(self, job: Job, now: float) -> bool:
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
        self._desk.start(job)
        self._desk.enter(job, Phase.RECALLING)
        self._desk.out.append(Recall(job.id, job.bot, job.sha256, job.kind))

    def recalled(self, job_id: JobId, now: float, *, ready: bool, may_start: bool) -> None:
        """The catalogue's answer; without `may_start` no GET begins."""
        desk = self._desk
        job = desk.jobs.get(job_id)
        if job is None or job.phase is not Phase.RECALLING:
            return
        if ready:
            assert job.sha256 is not None
            size_bytes = job.size_bytes or 0
            for each in (*desk.take_followers(job), job):
                desk.join(each, job.sha256, each.size_bytes or size_bytes, now)
            return
        desk.recalled.add(job.id)
        if job.id in desk.pinned:
            desk.load(job, now)
        elif not may_start or not self._acquire(job, now):
            desk.put_back(job, now)

    def _acquire(self, job: Job, now: float) -> bool:
        """Find the job's bytes: here, on their way, or by a GET of its own."""
        desk = self._desk
        if job.sha256 is not None and (entry := desk.cache.find(job.sha256)):
            desk.cache.hits += 1
            desk.start(job)
            job.size_bytes = entry.size_bytes
            if not self._too_large(job, entry.size_bytes, now):
                desk.pin(job, job.sha256)
                desk.load(job, now)
            return True
        key = (job.sha256,) if job.sha256 and job.claimed else (job.bucket, job.key)
        if flight := self._flights.get(key):
            desk.cache.hits += 1
            desk.start(job)
            desk.enter(job, Phase.FETCHING)
            flight.waiters.append(job)
            return True
        return self._take_off(job, key, now)

    def _take_off(self, job: Job, key: tuple[str, ...], now: float) -> bool:
        desk = self._desk
        gate, child = desk.gate(job.bucket), self._children.pick()
        if child is None or not gate.may_pass(now) or desk.memory_short:
            return False
        if job.size_bytes is not None and self._too_large(job, job.size_bytes, now):
            return True
        extent = None
        if job.size_bytes:
            extent = desk.cache.reserve(job.size_bytes)
            if extent is None:
                desk.memory_short = True
                return False
        desk.start(job)
        desk.enter(job, Phase.FETCHING)
        gate.enter()
        desk.cache.misses += 1
        task = desk.next_task()
        row = self._children.begin(child, task)
        self._flights[key] = self.fetching[task] = Flight(key, job, task, child, extent, [job])
        desk.out.append(
            Tell(child.index, verbs.Fetch(
                task, row, job.id, job.attempt + 1, job.bucket, job.key,
                extent.offset if extent else -1,
                job.size_bytes if extent and job.size_bytes else -1,
                job.etag if job.etag and job.etag_sha256 and not job.claimed else "",
                job.sha256 if job.sha256 and job.claimed else "",
            ))
        )  # fmt: skip
        return True

    def _too_large(self, job: Job, size_bytes: int, now: float) -> bool:
        desk = self._desk
        most = min(desk.policy.size_max[job.kind], desk.cache.extents.size_bytes)
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

    def opened(self, task: int, size_bytes: int, now: float) -> None:
        """The head is in: now the size is known, and memory can be had, or not."""
        flight, desk = self.fetching[task], self._desk
        for job in tuple(flight.waiters):
            job.size_bytes = size_bytes
            if self._too_large(job, size_bytes, now):
                flight.waiters.remove(job)
        if flight.extent is not None:
            desk.give_back(flight.extent)
            flight.extent = None
        if flight.waiters:
            flight.extent = desk.cache.reserve(size_bytes)
        if flight.extent is not None:
            into = verbs.Into(task, flight.extent.offset, size_bytes)
            desk.out.append(Tell(flight.child.index, into))
            return
        # Nobody wants it any more, or there is no memory: its jobs wait in the queue.
        desk.memory_short |= bool(flight.waiters)
        desk.out.append(Tell(flight.child.index, verbs.Drop(task)))
        self._close(flight)
        waiters, flight.waiters = flight.waiters, []
        for job in reversed(waiters):
            desk.release(job, now)

    def fetched(self, task: int, size_bytes: int, sha256: str, etag: str, now: float) -> None:
        """The bytes are in the arena, hashed."""
        desk, flight = self._desk, self.fetching[task]
        extent, flight.extent = flight.extent, None
        assert extent is not None
        self._land(task)
        self._saw(flight.owner, etag, sha256, size_bytes, now)
        desk.cache.admit(sha256, extent, size_bytes, now)
        desk.memory_short = False
        waiters = [job for job in flight.waiters if not self._too_large(job, size_bytes, now)]
        for job in waiters:
            desk.pin(job, sha256)  # all first: one that is done with it must not let it go
            job.size_bytes = size_bytes
        for job in waiters:
            self._know(job, sha256, now)
            if desk.follow(job):
                desk.unpin(job, now)
            elif job.id in desk.recalled:
                desk.load(job, now)
            else:
                self._recall(job)

    def unchanged(self, task: int, now: float) -> None:
        """The object is what it was when we last saw it: its content is known without a byte."""
        flight = self._land(task)
        owner = flight.owner
        sha256, etag = owner.etag_sha256, owner.etag
        assert sha256 is not None
        assert etag is not None
        self._saw(owner, etag, sha256, owner.size_bytes or 0, now)
        for job in flight.waiters:
            self._know(job, sha256, now)
            job.etag = None  # should the catalogue not have it, the next GET is a plain one
            if not self._desk.follow(job):
                self._recall(job)

    def _saw(self, owner: Job, etag: str, sha256: str, size_bytes: int, now: float) -> None:
        desk = self._desk
        desk.open_bucket(owner.bucket)
        desk.cache.see(owner.bucket, owner.key, etag, sha256, now)
        desk.out.append(records.See(owner.bucket, owner.key, etag, sha256, size_bytes))

    def _know(self, job: Job, sha256: str, now: float) -> None:
        """Its content, whatever it was believed to be."""
        if job.sha256 != sha256:
            self._desk.set_down(job, now)
            job.sha256 = sha256

    def failed(self, task: int, code: str, detail: str, now: float) -> None:
        """The GET came to nothing."""
        desk, flight = self._desk, self._land(task)
        owner, remedy = flight.owner, FAULTS[code].remedy
        if remedy is Remedy.CLOSE_BUCKET:
            desk.close_bucket(owner.bucket, code, detail, now)
        elif code in _ABOUT_THE_OBJECT:
            desk.open_bucket(owner.bucket)
            desk.cache.forget_key(owner.bucket, owner.key)
        else:
            desk.leave_bucket(owner.bucket)
        for job in reversed(flight.waiters):
            if (job.bucket, job.key) != (owner.bucket, owner.key):
                desk.release(job, now)  # the same content under another key may be whole
            else:
                desk.remedy(job, remedy, code, detail, now)

    def memory_refused(self, task: int, detail: str, now: float, *, told: bool) -> None:
        """The system did not back the extent; `told` says whether the child knows of the task."""
        desk, flight = self._desk, self.fetching.get(task)
        if flight is None:
            return  # its child died in the same turn; all is set right already
        waiters, flight.waiters = flight.waiters, []
        if told:
            desk.out.append(Tell(flight.child.index, verbs.Drop(task)))
            self._close(flight)
            if flight.extent is not None:
                desk.give_back(flight.extent)
                flight.extent = None
        else:
            self._land(task)
            self._children.finish(flight.child, task)
            desk.leave_bucket(flight.owner.bucket)
        for job in waiters:
            desk.remedy(job, Remedy.RETRY, "NoMemory", detail, now)

    def orphaned(self, task: int, reason: str, now: float) -> None:
        """Its child died."""
        flight = self._land(task)
        self._desk.leave_bucket(flight.owner.bucket)
        for job in reversed(flight.waiters):
            self._desk.orphaned(job, reason, now, sent=False)

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


def _room_at(bot: Bot, now: float, horizon_s: float) -> float:
    """When to look again at a bot whose lanes take nothing more within the horizon."""
    _, at = bot.next_lane(now)
    if at <= now:
        return now + 1.0
    return max(at - horizon_s, now + 0.05)
