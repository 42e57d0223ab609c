"""The engine: what follows what. Events in, commands out; no I/O, no clock, no randomness.

A job's way: queued -> (its content known? ask the catalogue) -> bytes from the cache, from a GET
already under way, or from a GET of its own -> (content known only now? ask the catalogue) -> its
bot's lane -> uploaded -> ready. Whoever finds that another job is ahead with the same content for
the same bot joins it and shares the outcome, so nothing is downloaded or uploaded twice.

`turn` takes all events of one turn, then decides once what may start (`_pump`): gathering first is
what makes batches. Costs: every step O(1) per job apart from heaps of sleeping jobs and parked bots
(O(log n)) and free extents.

Invariants, kept by `check`: a job is in its bot's queue exactly when its phase says so; pins equal
users; slots equal tasks; at most one job leads per (bot, content, kind).

What it does not do: it never touches a terminal job again (the store has those), and never decides
from a key alone what its content is unless the store said so within the cache's TTL.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush

from prewarmd.core import records, reports, verbs
from prewarmd.core.backoff import Rate, RestartPolicy, RetryPolicy
from prewarmd.core.cache import CacheIndex
from prewarmd.core.children import Child, Children
from prewarmd.core.commands import (
    Command,
    FailBatch,
    Finish,
    Recall,
    Reply,
    SubmitPage,
    Tell,
)
from prewarmd.core.events import (
    Admitted,
    BatchOpened,
    CancelAsked,
    ChildBeat,
    ChildExited,
    ChildGreeted,
    ChildReported,
    DrainAsked,
    Event,
    Forgotten,
    Loaded,
    MemoryRefused,
    PageSubmitted,
    Recalled,
    StoreRecovered,
    StoreStalled,
    Ticked,
    WakeAsked,
)
from prewarmd.core.extents import PAGE, Extent
from prewarmd.core.faults import FAULTS, Remedy
from prewarmd.core.gate import Gate
from prewarmd.core.jobs import Job, JobEvent, JobId, JobState, Kind, Phase
from prewarmd.core.lanes import FOREVER, Bot, Lane, LimitPolicy
from prewarmd.core.listings import PAGE_KEYS, Listing, Listings
from prewarmd.core.ready_queue import ReadyQueue
from prewarmd.core.scoring import ScorePolicy

UNDER_WAY = frozenset({Phase.FETCHING, Phase.RECALLING, Phase.LOADED})
GOLDEN = 0.618033988749895
"""Steps of it spread evenly over [0, 1): one jitter becomes as many as a turn needs."""


@dataclass(frozen=True, slots=True)
class EnginePolicy:
    """Everything tunable, in one value."""

    workers: int = 5
    slots: int = 64
    cache_bytes: int = 256 << 20
    cache_items: int = 10_000
    ttl_s: float = 300.0
    capacity: int = 1_000_000
    prefetch_horizon_s: float = 10.0
    size_max: dict[Kind, int] = field(
        default_factory=lambda: {
            Kind.PHOTO: 10 << 20,
            Kind.VIDEO: 50_000_000,
            Kind.DOCUMENT: 50_000_000,
            Kind.AUDIO: 50_000_000,
        }
    )
    """Hosted Bot API (telegram.md 1); a larger object fails before it is downloaded."""
    score: ScorePolicy = field(default_factory=ScorePolicy)
    limits: LimitPolicy = field(default_factory=LimitPolicy)
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    restart: RestartPolicy = field(default_factory=RestartPolicy)


@dataclass(frozen=True, slots=True)
class BotSpec:
    """A configured bot: its slug and its warm-up chats (id, kind or None)."""

    slug: str
    chats: tuple[tuple[int, str | None], ...]


@dataclass(slots=True, eq=False)
class Flight:
    """One GET, however many jobs wait for it."""

    key: tuple[str, ...]
    owner: Job
    task: int
    child: Child
    extent: Extent | None
    conditional: bool
    waiters: list[Job]


@dataclass(slots=True, eq=False)
class Sending:
    """One upload in flight."""

    job: Job
    lane: Lane
    child: Child


@dataclass(slots=True, eq=False)
class Asking:
    """One getChat in flight."""

    lane: Lane
    child: Child


class Engine:
    """The one object that decides."""

    def __init__(self, policy: EnginePolicy, bots: Sequence[BotSpec]) -> None:
        self.policy = policy
        self.cache = CacheIndex(policy.cache_bytes // PAGE * PAGE, policy.cache_items, policy.ttl_s)
        self.children = Children(policy.workers, policy.slots, policy.restart)
        self.listings = Listings()
        self.jobs: dict[JobId, Job] = {}
        self.bots = {spec.slug: self._bot(spec) for spec in bots}
        self.buckets: dict[str, Gate] = {}
        self.flights: dict[tuple[str, ...], Flight] = {}
        self.fetching: dict[int, Flight] = {}
        self.sending: dict[int, Sending] = {}
        self.asking: dict[int, Asking] = {}
        self.ready_rate = Rate()
        self.loading = True
        self.stalled = ""
        self.draining = False
        self.stale_reports = 0
        self._unknown_chats = deque(
            lane for bot in self.bots.values() for lane in bot.lanes if lane.chat_kind is None
        )
        self._leaders: dict[tuple[str, str, Kind], Job] = {}
        self._joined: dict[JobId, list[Job]] = {}
        self._recalled: set[JobId] = set()
        self._pinned: dict[JobId, str] = {}
        self._to_load: ReadyQueue[str] = ReadyQueue()
        self._to_send: ReadyQueue[str] = ReadyQueue()
        self._young: deque[tuple[float, JobId]] = deque()
        self._sleeping: list[tuple[float, JobId]] = []
        self._parked: list[tuple[float, str]] = []
        self._memory_short = False
        self._recalling = 0
        self._recalling_max = policy.workers * policy.slots
        self._drain_deadline = FOREVER
        self._finished = False
        self._task = 0
        self._jitter = 0.0
        self._out: list[Command] = []

    def _bot(self, spec: BotSpec) -> Bot:
        limits = self.policy.limits
        lanes = [
            Lane(spec.slug, chat, kind, limits.pace(kind), in_flight_max=limits.in_flight_max)
            for chat, kind in spec.chats
        ]
        return Bot(spec.slug, lanes, limits.bot_pace())

    # -- the one way in ------------------------------------------------------------------------

    def turn(self, events: Iterable[Event], now: float, jitter: float) -> list[Command]:
        """Take in what happened, decide what may start; the commands, in order."""
        self._jitter = jitter
        for event in events:
            self._handle(event, now)
        self._pump(now)
        out, self._out = self._out, []
        return out

    def _handle(self, event: Event, now: float) -> None:
        match event:
            case Admitted(jobs):
                for job in jobs:
                    self._admit(job, now)
            case ChildReported(index, generation, report):
                child = self.children.current(index, generation)
                if child is None or report.task not in child.tasks:
                    self.stale_reports += 1
                else:
                    self._report(child, report, now)
            case Recalled(job_id, ready):
                self._recall_answered(job_id, now, ready=ready)
            case ChildBeat(index, generation):
                if child := self.children.current(index, generation):
                    child.beat = now
            case ChildGreeted(index, generation, pid):
                if child := self.children.current(index, generation):
                    self.children.greeted(child, pid, now)
            case ChildExited(index, generation, reason, sent):
                if child := self.children.current(index, generation):
                    self._child_exited(child, reason, sent, now)
            case MemoryRefused(task, detail, told):
                self._memory_refused(task, detail, now, told=told)
            case PageSubmitted(batch, after, done):
                self.listings.committed(batch, after, done=done)
            case BatchOpened(batch, bucket, prefix, after):
                self.listings.open(Listing(batch, bucket, prefix, after))
            case CancelAsked(ticket, job_id):
                self._cancel(ticket, job_id, now)
            case WakeAsked(ticket, job_id):
                self._wake_asked(ticket, job_id, now)
            case Forgotten(job_id):
                if forgotten := self.jobs.get(job_id):
                    self._withdraw(forgotten, now)
            case Loaded():
                self.loading = False
            case StoreStalled(detail):
                self.stalled = detail
            case StoreRecovered():
                self.stalled = ""
            case DrainAsked(deadline):
                self._drain(deadline, now)
            case Ticked():
                pass

    def next_deadline(self, now: float) -> float:
        """When something is due although nothing happens; infinity when nothing is."""
        deadline = min(self.children.next_deadline(), self._drain_deadline)
        for heap in (self._sleeping, self._parked):
            if heap:
                deadline = min(deadline, heap[0][0])
        if self._young:
            deadline = min(deadline, self._young[0][0])
        if not self.draining:
            deadline = min(deadline, self.listings.next_deadline(now))
        expiry = self.cache.expires_at()
        return min(deadline, expiry) if expiry is not None else deadline

    def has_room_for(self, jobs: int) -> bool:
        """Whether the queue may take so many more."""
        return len(self.jobs) + jobs <= self.policy.capacity

    # -- jobs in and out of the queue ------------------------------------------------------------

    def _admit(self, job: Job, now: float) -> None:
        if job.id in self.jobs or job.bot not in self.bots:
            return  # a bot that is no longer configured keeps its jobs in the store
        self.jobs[job.id] = job
        ages_at = self.policy.score.ages_at(job, now)
        if ages_at is not None:
            # Admissions come in order of creation, so this stays sorted but for clock steps,
            # which only make a job age late.
            self._young.append((ages_at, job.id))
        if job.state is JobState.WAITING or job.not_before > now:
            job.phase = Phase.SLEEPING
            heappush(self._sleeping, (job.not_before, job.id))
        else:
            self._enqueue(job, now)

    def _enter(self, job: Job, phase: Phase) -> None:
        """The only place that changes a phase; keeps its bot's count of jobs under way."""
        bot = self.bots[job.bot]
        bot.under_way += (phase in UNDER_WAY) - (job.phase in UNDER_WAY)
        self._recalling += (phase is Phase.RECALLING) - (job.phase is Phase.RECALLING)
        job.phase = phase

    def _enqueue(self, job: Job, now: float, *, front: bool = False) -> None:
        self._enter(job, Phase.QUEUED)
        bot = self.bots[job.bot]
        job.level = self.policy.score.level(job, now)
        bot.queue.push(job.id, job.level, front=front)
        self._place(bot)

    def _place(self, bot: Bot) -> None:
        """Let the pump look at `bot` again: it has work, or may do it now."""
        for rotation, queue in ((self._to_load, bot.queue), (self._to_send, bot.loaded)):
            head = queue.peek()
            if head is None:
                rotation.remove(bot.slug)
            elif bot.slug in rotation:
                rotation.move(bot.slug, head[1])
            else:
                rotation.push(bot.slug, head[1])

    def _start(self, job: Job) -> None:
        if job.state is JobState.QUEUED:
            job.happen(JobEvent.STARTED)
            self._out.append(records.Start(job.id, job.attempt + 1))

    def _release(self, job: Job, now: float, code: str = "", detail: str = "") -> None:
        """Back to the queue, uncharged and in front: its turn had come."""
        self._unpin(job, now)
        self._set_down(job, now)
        self._put_back(job, now, code, detail)

    def _put_back(self, job: Job, now: float, code: str = "", detail: str = "") -> None:
        """As `_release`, but it still leads, and keeps what the catalogue said."""
        job.happen(JobEvent.RELEASED)
        self._out.append(records.Release(job.id, code, detail))
        self._enqueue(job, now, front=True)

    def _snooze(self, job: Job, delay_s: float, code: str, detail: str, now: float) -> None:
        self._unpin(job, now)
        self._set_down(job, now)
        job.happen(JobEvent.SNOOZED)
        job.not_before = now + delay_s
        self._enter(job, Phase.SLEEPING)
        heappush(self._sleeping, (job.not_before, job.id))
        self._out.append(
            records.Snooze(job.id, job.not_before, code, detail, job.attempt, job.maybe_sent)
        )

    def _charge(self, job: Job, code: str, detail: str, now: float, *, late: bool) -> None:
        """The job failed on its own account: try again later, or give up."""
        job.attempt += 1
        if job.attempt >= self.policy.retry.attempts:
            self._fail(job, code, detail, now)
            return
        retry, jitter = self.policy.retry, self._next_jitter()
        delay = retry.late_delay_s if late else retry.delay_s
        self._snooze(job, delay(job.attempt, jitter), code, detail, now)

    def _fail(self, job: Job, code: str, detail: str, now: float) -> None:
        job.happen(JobEvent.FAILED)
        self._out.append(records.Fail(job.id, code, detail, job.attempt))
        self._forget(job, now)

    def _forget(self, job: Job, now: float) -> None:
        """The job is finished, or no longer ours: no trace of it stays."""
        self._unpin(job, now)
        self._set_down(job, now)
        bot = self.bots[job.bot]
        bot.queue.remove(job.id)
        bot.loaded.remove(job.id)
        self._enter(job, Phase.QUEUED)
        self._recalled.discard(job.id)
        del self.jobs[job.id]
        self._place(bot)

    def _set_down(self, job: Job, now: float) -> None:
        """It leads nobody and follows nobody; who followed it is on its own again. Somebody else
        may lead now, so what the catalogue said is not the last word any more."""
        self.bots[job.bot].loaded.remove(job.id)
        self._recalled.discard(job.id)
        if job.sha256 is None:
            return
        content = (job.bot, job.sha256, job.kind)
        leader = self._leaders.get(content)
        if leader is job:
            del self._leaders[content]
            for follower in self._joined.pop(job.id, ()):
                follower.happen(JobEvent.RELEASED)
                self._out.append(records.Release(follower.id, "", ""))
                self._enqueue(follower, now, front=True)
        elif leader is not None and job in self._joined.get(leader.id, ()):
            self._joined[leader.id].remove(job)

    def _next_jitter(self) -> float:
        self._jitter = (self._jitter + GOLDEN) % 1.0
        return self._jitter

    # -- from queue to bytes ---------------------------------------------------------------------

    def _begin(self, job: Job, now: float) -> bool:
        """Take a job on; False when it must stay where it is (no slot, no memory)."""
        if job.sha256 is None:
            job.sha256 = self.cache.believed(job.bucket, job.key, now)
        if job.sha256 is not None:
            if self._follow(job):
                return True
            if job.id not in self._recalled:
                self._recall(job)
                return True
        return self._acquire(job, now)

    def _follow(self, job: Job) -> bool:
        """Join whoever is ahead with the same content for the same bot; else lead."""
        assert job.sha256 is not None
        content = (job.bot, job.sha256, job.kind)
        leader = self._leaders.setdefault(content, job)
        if leader is job:
            return False
        self._start(job)
        self._enter(job, Phase.JOINED)
        self._joined.setdefault(leader.id, []).append(job)
        return True

    def _recall(self, job: Job) -> None:
        assert job.sha256 is not None
        self._start(job)
        self._enter(job, Phase.RECALLING)
        self._out.append(Recall(job.id, job.bot, job.sha256, job.kind))

    def _recall_answered(self, job_id: JobId, now: float, *, ready: bool) -> None:
        job = self.jobs.get(job_id)
        if job is None or job.phase is not Phase.RECALLING:
            return
        if ready:
            self._join_catalogue(job, now)
            return
        self._recalled.add(job.id)
        if job.id in self._pinned:
            self._load(job, now)
        elif self.draining or self.stalled or not self._acquire(job, now):
            self._put_back(job, now)

    def _join_catalogue(self, job: Job, now: float) -> None:
        """Its content is ready for its bot: so is it, and whoever follows it."""
        assert job.sha256 is not None
        followers = self._joined.pop(job.id, [])
        for each in (job, *followers):
            each.happen(JobEvent.COMPLETED)
            self._out.append(
                records.Join(each.id, each.bot, job.sha256, each.size_bytes or job.size_bytes or 0,
                             waited_s=now - each.created)
            )  # fmt: skip
            self.ready_rate.count(now)
            self._forget(each, now)

    def _acquire(self, job: Job, now: float) -> bool:
        """Find the job's bytes: here, on their way, or by a GET of its own."""
        if job.sha256 is not None and (entry := self.cache.pin(job.sha256)):
            self.cache.hits += 1
            self._start(job)
            self._pinned[job.id] = job.sha256
            job.size_bytes = entry.size_bytes
            if not self._too_large(job, entry.size_bytes, now):
                self._load(job, now)
            return True
        key = (job.sha256,) if job.sha256 and job.claimed else (job.bucket, job.key)
        if flight := self.flights.get(key):
            self.cache.hits += 1
            self._start(job)
            self._enter(job, Phase.FETCHING)
            flight.waiters.append(job)
            return True
        return self._take_off(job, key, now)

    def _take_off(self, job: Job, key: tuple[str, ...], now: float) -> bool:
        gate = self.buckets.setdefault(job.bucket, Gate())
        child = self.children.pick()
        if child is None or not gate.may_pass(now) or self._memory_short:
            return False
        if job.size_bytes is not None and self._too_large(job, job.size_bytes, now):
            return True
        extent = None
        if job.size_bytes:
            extent = self.cache.reserve(job.size_bytes)
            if extent is None:
                self._memory_short = True
                return False
        self._start(job)
        self._enter(job, Phase.FETCHING)
        gate.enter()
        self.cache.misses += 1
        task = self._new_task()
        row = self.children.begin(child, task)
        etag = job.etag if job.etag and job.etag_sha256 and not job.claimed else ""
        flight = Flight(key, job, task, child, extent, bool(etag), [job])
        self.flights[key] = self.fetching[task] = flight
        self._out.append(
            Tell(child.index, verbs.Fetch(
                task, row, job.id, job.attempt + 1, job.bucket, job.key,
                extent.offset if extent else -1,
                job.size_bytes if extent and job.size_bytes else -1,
                etag, job.sha256 if job.sha256 and job.claimed else "",
            ))
        )  # fmt: skip
        return True

    def _too_large(self, job: Job, size_bytes: int, now: float) -> bool:
        most = min(self.policy.size_max[job.kind], self.cache.extents.size_bytes)
        if size_bytes <= most:
            return False
        detail = f"{size_bytes} bytes; a {job.kind} may have {most}"
        self._fail(job, "TooLarge", detail, now)
        return True

    def _new_task(self) -> int:
        self._task += 1
        return self._task

    def _load(self, job: Job, now: float) -> None:
        """Its bytes are pinned and its content is new to its bot: it waits for a lane."""
        self._enter(job, Phase.LOADED)
        job.level = self.policy.score.level(job, now)
        bot = self.bots[job.bot]
        bot.loaded.push(job.id, job.level)
        self._place(bot)

    def _give_back(self, extent: Extent) -> None:
        self.cache.give_back(extent)
        self._memory_short = False

    def _unpin(self, job: Job, now: float) -> None:
        sha256 = self._pinned.pop(job.id, None)
        if sha256 is not None:
            self.cache.unpin(sha256, now)
            self._memory_short = False

    # -- what children answer --------------------------------------------------------------------

    def _report(self, child: Child, report: reports.Report, now: float) -> None:
        match report:
            case reports.Opened(task, size_bytes, _):
                self._opened(self.fetching[task], size_bytes, now)
                return  # the task goes on
            case reports.Fetched(task, size_bytes, sha256, etag):
                self._fetched(self._land(task), size_bytes, sha256, etag, now)
            case reports.Unchanged(task):
                self._unchanged(self._land(task), now)
            case reports.FetchFailed(task, code, detail):
                self._fetch_failed(self._land(task), code, detail, now)
            case reports.Uploaded():
                self._uploaded(self.sending.pop(report.task), report, now)
            case reports.UploadFailed():
                self._upload_failed(self.sending.pop(report.task), report, now)
            case reports.Listed(task, objects, after):
                listing = self.listings.listed(task)
                self._open_gate(listing.bucket)
                self._out.append(SubmitPage(listing.batch, objects, after, not after))
            case reports.ListFailed(task, code, detail):
                self._list_failed(self.listings.failed(task), code, detail, now)
            case reports.ChatKnown(task, kind):
                self._chat_known(self.asking.pop(task).lane, kind)
            case reports.ChatUnknown(task, code, detail):
                self._chat_unknown(self.asking.pop(task).lane, code, detail, now)
        self.children.finish(child, report.task)

    def _land(self, task: int) -> Flight:
        """The GET is over."""
        flight = self.fetching.pop(task)
        if self.flights.get(flight.key) is flight:
            del self.flights[flight.key]
        return flight

    def _opened(self, flight: Flight, size_bytes: int, now: float) -> None:
        """The head is in: now the size is known, and memory can be had, or not."""
        for job in tuple(flight.waiters):
            job.size_bytes = size_bytes
            if self._too_large(job, size_bytes, now):
                flight.waiters.remove(job)
        if flight.extent is not None:
            self._give_back(flight.extent)
            flight.extent = None
        if flight.waiters:
            flight.extent = self.cache.reserve(size_bytes)
        if flight.extent is not None:
            into = verbs.Into(flight.task, flight.extent.offset, size_bytes)
            self._out.append(Tell(flight.child.index, into))
            return
        self._abandon(flight, now)

    def _abandon(self, flight: Flight, now: float) -> None:
        """Nobody wants it, or there is no memory: drop it, its jobs wait in the queue."""
        if flight.waiters:
            self._memory_short = True
        self._out.append(Tell(flight.child.index, verbs.Drop(flight.task)))
        if self.flights.get(flight.key) is flight:
            del self.flights[flight.key]
        waiters, flight.waiters = flight.waiters, []
        for job in waiters:
            self._release(job, now)

    def _fetched(self, flight: Flight, size_bytes: int, sha256: str, etag: str, now: float) -> None:
        assert flight.extent is not None
        owner = flight.owner
        self._open_gate(owner.bucket)
        self.cache.admit(sha256, flight.extent, size_bytes, now)
        self.cache.see(owner.bucket, owner.key, etag, sha256, now)
        self._out.append(records.See(owner.bucket, owner.key, etag, sha256, size_bytes))
        self._memory_short = False
        flight.waiters = [j for j in flight.waiters if not self._too_large(j, size_bytes, now)]
        for job in flight.waiters:
            self.cache.pin(sha256)
            self._pinned[job.id] = sha256
            job.size_bytes = size_bytes
        for job in flight.waiters:
            self._learned(job, sha256, now)

    def _learned(self, job: Job, sha256: str, now: float) -> None:
        """A job's content is known from its bytes, which it has pinned."""
        if job.sha256 != sha256:
            self._set_down(job, now)  # what it was believed to be, it is not any more
            job.sha256 = sha256
        if self._follow(job):
            self._unpin(job, now)
        elif job.id in self._recalled:
            self._load(job, now)
        else:
            self._recall(job)

    def _unchanged(self, flight: Flight, now: float) -> None:
        """The object is what it was when we last saw it: its content is known without a byte."""
        owner = flight.owner
        self._open_gate(owner.bucket)
        if flight.extent is not None:
            self._give_back(flight.extent)
        sha256, etag = owner.etag_sha256, owner.etag
        assert sha256 is not None
        assert etag is not None
        size_bytes = owner.size_bytes or 0
        self.cache.see(owner.bucket, owner.key, etag, sha256, now)
        self._out.append(records.See(owner.bucket, owner.key, etag, sha256, size_bytes))
        for job in flight.waiters:
            if job.sha256 != sha256:
                self._set_down(job, now)
            job.sha256 = sha256
            job.etag = None  # should the catalogue not have it, the next GET is a plain one
            if not self._follow(job):
                self._recall(job)

    def _fetch_failed(self, flight: Flight, code: str, detail: str, now: float) -> None:
        if flight.extent is not None:
            self._give_back(flight.extent)
        owner = flight.owner
        remedy = FAULTS[code].remedy
        gate = self.buckets.setdefault(owner.bucket, Gate())
        if remedy is Remedy.CLOSE_BUCKET:
            gate.refuse(code, detail, now)
            for bot in self.bots.values():
                self._park(bot, gate.until)
        elif code in ("NoSuchKey", "Sha256Mismatch", "EmptyObject"):
            self._open_gate(owner.bucket)
            self.cache.forget_key(owner.bucket, owner.key)
        else:
            self._leave_bucket(owner.bucket)
        for job in flight.waiters:
            if (job.bucket, job.key) != (owner.bucket, owner.key):
                self._release(job, now)  # the same content under another key may be whole
            else:
                self._remedy(job, remedy, code, detail, now)

    def _remedy(self, job: Job, remedy: Remedy, code: str, detail: str, now: float) -> None:
        """What a fault means for the job itself."""
        match remedy:
            case Remedy.GIVE_UP:
                self._fail(job, code, detail, now)
            case Remedy.RETRY:
                self._charge(job, code, detail, now, late=False)
            case Remedy.RETRY_LATE:
                job.maybe_sent = True
                self._charge(job, code, detail, now, late=True)
            case (
                Remedy.RELEASE
                | Remedy.PAUSE_CHAT
                | Remedy.CLOSE_CHAT
                | Remedy.CLOSE_BOT
                | Remedy.CLOSE_BUCKET
            ):
                self._release(job, now, code, detail)

    def _leave_bucket(self, bucket: str) -> None:
        """A GET ended that says nothing about the bucket; a closed one may be probed again."""
        gate = self.buckets[bucket]
        if gate.probing:
            gate.leave()
            for bot in self.bots.values():
                self._place(bot)

    def _open_gate(self, bucket: str) -> None:
        gate = self.buckets.setdefault(bucket, Gate())
        if gate.accept():
            for bot in self.bots.values():
                self._place(bot)

    def _memory_refused(self, task: int, detail: str, now: float, *, told: bool) -> None:
        """The system did not back the extent; `told` says whether the child knows of the task."""
        flight = self.fetching.get(task)
        if flight is None:
            return  # its child died in the same turn; all is set right already
        waiters, flight.waiters = flight.waiters, []
        if flight.extent is not None:
            self._give_back(flight.extent)
            flight.extent = None
        if told:
            self._out.append(Tell(flight.child.index, verbs.Drop(task)))
            if self.flights.get(flight.key) is flight:
                del self.flights[flight.key]
        else:
            self._land(task)
            self.children.finish(flight.child, task)
            self._leave_bucket(flight.owner.bucket)
        for job in waiters:
            self._remedy(job, Remedy.RETRY, "NoMemory", detail, now)

    # -- from bytes to Telegram ------------------------------------------------------------------

    def _send(self, bot: Bot, job: Job, lane: Lane, child: Child, now: float) -> None:
        entry_sha256 = self._pinned[job.id]
        entry = self.cache.pin(entry_sha256)
        assert entry is not None
        self.cache.unpin(entry_sha256, now)
        bot.loaded.remove(job.id)
        self._enter(job, Phase.UPLOADING)
        lane.pace.spend(now)
        bot.pace.spend(now)
        lane.gate.enter()
        bot.gate.enter()
        lane.in_flight += 1
        task = self._new_task()
        row = self.children.begin(child, task)
        self.sending[task] = Sending(job, lane, child)
        self._out.append(
            Tell(child.index, verbs.Upload(
                task, row, job.id, job.attempt + 1, job.bot, lane.chat_id, job.kind,
                entry.extent.offset, entry.size_bytes, job.key.rpartition("/")[2] or job.key,
            ))
        )  # fmt: skip
        self._place(bot)

    def _uploaded(self, sending: Sending, report: reports.Uploaded, now: float) -> None:
        job, lane = sending.job, sending.lane
        bot = self.bots[job.bot]
        lane.in_flight -= 1
        lane.gate.accept()
        bot.gate.accept()
        assert job.sha256 is not None
        assert job.size_bytes is not None
        followers = self._joined.pop(job.id, [])
        job.happen(JobEvent.COMPLETED)
        self._out.append(
            records.Complete(
                job.id, job.bot, job.sha256, job.kind, report.actual_kind, job.size_bytes,
                report.file_id, report.file_unique_id, lane.chat_id, report.message_id,
                duplicates=int(job.maybe_sent), waited_s=now - job.created,
            )
        )  # fmt: skip
        self.ready_rate.count(now)
        sha256, size_bytes = job.sha256, job.size_bytes
        self._forget(job, now)
        for follower in followers:
            follower.happen(JobEvent.COMPLETED)
            waited_s = now - follower.created
            self._out.append(records.Join(follower.id, follower.bot, sha256, size_bytes, waited_s))
            self.ready_rate.count(now)
            self._forget(follower, now)

    def _upload_failed(self, sending: Sending, report: reports.UploadFailed, now: float) -> None:
        job, lane = sending.job, sending.lane
        bot = self.bots[job.bot]
        lane.in_flight -= 1
        remedy = FAULTS[report.code].remedy
        if remedy is Remedy.PAUSE_CHAT:
            lane.pause(now + report.retry_after_s + 0.1 + 0.9 * self._next_jitter())
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
        self._remedy(job, remedy, report.code, report.detail, now)
        self._place(bot)

    def _chat_known(self, lane: Lane, kind: str) -> None:
        lane.chat_kind = kind
        lane.gate.accept()
        before, lane.pace = lane.pace, self.policy.limits.pace(kind)
        lane.pace.follow(before)
        self._place(self.bots[lane.bot])

    def _chat_unknown(self, lane: Lane, code: str, detail: str, now: float) -> None:
        """Its kind stays unknown, so its pace the slower one; a refusal closes it."""
        if FAULTS[code].remedy is Remedy.CLOSE_CHAT:
            lane.gate.refuse(code, detail, now)

    # -- children, listings, clients -------------------------------------------------------------

    def _child_exited(self, child: Child, reason: str, sent: frozenset[int], now: float) -> None:
        for task in self.children.exited(child, reason, now, self._next_jitter()):
            if task in self.fetching:
                flight = self._land(task)
                self._leave_bucket(flight.owner.bucket)
                if flight.extent is not None:
                    self._give_back(flight.extent)
                for job in flight.waiters:
                    self._orphaned(job, reason, now, sent=False)
            elif task in self.sending:
                self._upload_orphaned(self.sending.pop(task), reason, now, sent=task in sent)
            elif task in self.asking:
                self._unknown_chats.append(self.asking.pop(task).lane)
            else:
                listing = self.listings.failed(task)
                self._leave_bucket(listing.bucket)
                self.listings.open(listing)

    def _upload_orphaned(self, sending: Sending, reason: str, now: float, *, sent: bool) -> None:
        """Its child died: the board told whether the last byte had been handed over."""
        job, lane = sending.job, sending.lane
        lane.in_flight -= 1
        lane.gate.leave()
        self.bots[job.bot].gate.leave()
        self._orphaned(job, reason, now, sent=sent)
        self._place(self.bots[job.bot])

    def _orphaned(self, job: Job, reason: str, now: float, *, sent: bool) -> None:
        """Its child died: free of charge the first time, for who is there at every death may be
        the cause of it."""
        job.deaths += 1
        job.maybe_sent |= sent
        if job.deaths > 1:
            self._charge(job, "MaybeSent" if sent else "ChildDied", reason, now, late=sent)
        elif sent:
            delay_s = self.policy.retry.late_delay_s(1, self._next_jitter())
            self._snooze(job, delay_s, "MaybeSent", reason, now)
        else:
            self._release(job, now, "ChildDied", reason)

    def _list_failed(self, listing: Listing, code: str, detail: str, now: float) -> None:
        remedy = FAULTS[code].remedy
        gate = self.buckets.setdefault(listing.bucket, Gate())
        if remedy is Remedy.CLOSE_BUCKET:
            gate.refuse(code, detail, now)
            listing.not_before = gate.until
            for bot in self.bots.values():
                self._park(bot, gate.until)
        elif remedy is Remedy.GIVE_UP or listing.failures >= self.policy.retry.attempts:
            self._leave_bucket(listing.bucket)
            self._out.append(FailBatch(listing.batch, code, detail))
            return
        else:
            self._leave_bucket(listing.bucket)
            delay_s = self.policy.retry.delay_s(listing.failures, self._next_jitter())
            listing.not_before = now + delay_s
        self.listings.open(listing)

    def _cancel(self, ticket: int, job_id: JobId, now: float) -> None:
        job = self.jobs.get(job_id)
        if job is None:
            self._out.append(Reply(ticket, known=False))
            return
        if job.phase not in (Phase.QUEUED, Phase.SLEEPING, Phase.LOADED, Phase.JOINED):
            self._out.append(Reply(ticket, JobState.RUNNING))
            return
        job.happen(JobEvent.CANCELLED)
        self._out.append(records.Cancel(job.id))
        self._forget(job, now)
        self._out.append(Reply(ticket))

    def _withdraw(self, job: Job, now: float) -> None:
        """The store cancelled it. An upload runs its course: a child reads its bytes, and what
        becomes of it is written only where the job's state allows."""
        if job.phase is Phase.UPLOADING:
            return
        for flight in self.fetching.values():
            if job in flight.waiters:
                flight.waiters.remove(job)
        self._forget(job, now)

    def _wake_asked(self, ticket: int, job_id: JobId, now: float) -> None:
        job = self.jobs.get(job_id)
        if job is None:
            self._out.append(Reply(ticket, known=False))
        elif job.phase is not Phase.SLEEPING:
            self._out.append(Reply(ticket, job.state))
        else:
            self._wake(job, now)
            self._out.append(Reply(ticket))

    def _wake(self, job: Job, now: float) -> None:
        if job.state is JobState.WAITING:
            job.happen(JobEvent.WOKEN)
            self._out.append(records.Wake(job.id))
        job.not_before = 0.0
        self._enqueue(job, now)

    def _drain(self, deadline: float, now: float) -> None:
        self.draining = self.children.draining = True
        self._drain_deadline = min(self._drain_deadline, deadline)
        if now >= self._drain_deadline:
            self._drain_deadline = FOREVER
            self.children.kill(self._out)

    # -- what may start now ----------------------------------------------------------------------

    def _pump(self, now: float) -> None:
        self._let_time_pass(now)
        self.children.turn(now, self._out)
        if self.draining:
            self._pump_drain(now)
        elif not self.stalled:
            self._pump_sends(now)
            self._pump_loads(now)
            self._pump_sends(now)  # what was loaded out of the cache need not wait for a turn
            self._pump_listings(now)
            self._pump_chats(now)

    def _let_time_pass(self, now: float) -> None:
        while self._young and self._young[0][0] <= now:
            job = self.jobs.get(self._young.popleft()[1])
            if job is not None:
                self._age(job, now)
        while self._sleeping and self._sleeping[0][0] <= now:
            at, job_id = heappop(self._sleeping)
            job = self.jobs.get(job_id)
            if job is not None and job.phase is Phase.SLEEPING and job.not_before == at:
                self._wake(job, now)
        while self._parked and self._parked[0][0] <= now:
            self._place(self.bots[heappop(self._parked)[1]])
        if self.cache.expire(now):
            self._memory_short = False

    def _age(self, job: Job, now: float) -> None:
        job.level = self.policy.score.level(job, now)
        bot = self.bots[job.bot]
        for queue in (bot.queue, bot.loaded):
            if job.id in queue:
                queue.move(job.id, job.level)
                self._place(bot)

    def _park(self, bot: Bot, until: float) -> None:
        """Look at `bot` again at `until`; with FOREVER an event will place it."""
        if until < FOREVER:
            heappush(self._parked, (until, bot.slug))

    def _pump_sends(self, now: float) -> None:
        while (head := self._to_send.peek()) is not None:
            bot = self.bots[head[0]]
            lane, at = bot.next_lane(now)
            if lane is None or at > now:
                self._to_send.remove(bot.slug)
                self._park(bot, at)
                if FOREVER > at > now + self.policy.prefetch_horizon_s:
                    self._unload(bot, now)
                continue
            child = self.children.pick()
            if child is None:
                return
            first = bot.loaded.peek()
            assert first is not None
            self._to_send.remove(bot.slug)  # served: behind the others of its level
            self._send(bot, self.jobs[first[0]], lane, child, now)

    def _unload(self, bot: Bot, now: float) -> None:
        """Its lanes are paused for long: its bytes become ordinary, evictable cache entries."""
        for job_id in list(bot.loaded):
            self._release(self.jobs[job_id], now)

    def _pump_loads(self, now: float) -> None:
        while (head := self._to_load.peek()) is not None:
            bot = self.bots[head[0]]
            if self._memory_short or self._recalling >= self._recalling_max:
                return
            if self.children.pick() is None:
                return
            if not bot.room(now, self.policy.prefetch_horizon_s):
                self._to_load.remove(bot.slug)
                self._park(bot, self._room_at(bot, now))
                continue
            first = bot.queue.peek()
            assert first is not None
            job = self.jobs[first[0]]
            gate = self.buckets.get(job.bucket)
            if gate is not None and not gate.may_pass(now):
                self._to_load.remove(bot.slug)
                self._park(bot, gate.until if not gate.probing else FOREVER)
                continue
            bot.queue.remove(job.id)
            self._to_load.remove(bot.slug)
            if not self._begin(job, now):
                bot.queue.push(job.id, job.level, front=True)
                self._place(bot)
                return  # no slot or no memory: an answer will bring us here again
            self._place(bot)

    def _room_at(self, bot: Bot, now: float) -> float:
        """When to look again at a bot whose lanes take nothing more within the horizon."""
        _, at = bot.next_lane(now)
        if at <= now:
            return now + 1.0
        return max(at - self.policy.prefetch_horizon_s, now + 0.05)

    def _pump_listings(self, now: float) -> None:
        while (listing := self.listings.due(now)) and self.has_room_for(
            PAGE_KEYS * (1 + self.listings.under_way)
        ):
            gate = self.buckets.setdefault(listing.bucket, Gate())
            child = self.children.pick()
            if child is None:
                return
            if not gate.may_pass(now):
                listing.not_before = max(gate.until, now + 0.5)
                continue
            gate.enter()
            task = self._new_task()
            self.children.begin(child, task)
            self._out.append(Tell(child.index, self.listings.ask(task)))

    def _pump_chats(self, now: float) -> None:
        while self._unknown_chats and (child := self.children.pick()):
            lane = self._unknown_chats.popleft()
            task = self._new_task()
            self.children.begin(child, task)
            self.asking[task] = Asking(lane, child)
            self._out.append(Tell(child.index, verbs.AskChat(task, lane.bot, lane.chat_id)))

    def _pump_drain(self, now: float) -> None:
        if now >= self._drain_deadline:
            self._drain_deadline = FOREVER
            self.children.kill(self._out)
        elif not (self.fetching or self.sending or self.asking):
            self.children.retire(now, self._out)
        if self.children.all_stopped and not self._finished:
            self._finished = True
            for job in self.jobs.values():
                if job.state is JobState.RUNNING and job.phase is not Phase.UPLOADING:
                    job.happen(JobEvent.RELEASED)
                    self._out.append(records.Release(job.id, "", ""))
            self._out.append(Finish())

    # -- for eyes --------------------------------------------------------------------------------

    def readiness(self, now: float) -> list[tuple[str, str]]:
        """Why the daemon is not ready, as (code, message); empty when it is."""
        reasons: list[tuple[str, str]] = []
        if self.loading:
            reasons.append(("Loading", "the queue is still being read"))
        if self.draining:
            reasons.append(("Draining", "the daemon is stopping"))
        if self.stalled:
            reasons.append(("StoreStalled", self.stalled))
        if not self.children.ready:
            reasons.append(("NoChildren", "no child is up"))
        for bucket, gate in self.buckets.items():
            if not gate.is_open:
                reasons.append((gate.code, f"bucket {bucket}: {gate.detail}"))
        for bot in self.bots.values():
            if not bot.gate.is_open:
                reasons.append((bot.gate.code, f"bot {bot.slug}: {bot.gate.detail}"))
            closed = [lane for lane in bot.lanes if not lane.gate.is_open]
            reasons.extend(
                (lane.gate.code, f"bot {bot.slug}, chat {lane.chat_id}: {lane.gate.detail}")
                for lane in closed
            )
        return reasons

    def check(self) -> None:
        """Raise AssertionError when an invariant of the head of this file does not hold."""
        self.cache.check()
        self.children.check()
        pins: dict[str, int] = {}
        for job_id, sha256 in self._pinned.items():
            pins[sha256] = pins.get(sha256, 0) + 1
            assert self.jobs[job_id].phase in (Phase.LOADED, Phase.UPLOADING, Phase.RECALLING)
        for sha256, count in pins.items():
            entry = self.cache.pin(sha256)
            assert entry is not None
            assert entry.pins == count + 1, f"{sha256}: {entry.pins - 1} pins, {count} users"
            self.cache.unpin(sha256, entry.used)
        for bot in self.bots.values():
            mine = [job for job in self.jobs.values() if job.bot == bot.slug]
            assert bot.under_way == sum(job.phase in UNDER_WAY for job in mine), bot.slug
            assert len(bot.queue) == sum(job.phase is Phase.QUEUED for job in mine)
            assert len(bot.loaded) == sum(job.phase is Phase.LOADED for job in mine)
            in_flight = sum(s.job.bot == bot.slug for s in self.sending.values())
            assert sum(lane.in_flight for lane in bot.lanes) == in_flight
        joined = [job for followers in self._joined.values() for job in followers]
        assert all(job.phase is Phase.JOINED for job in joined)
        assert len(joined) == sum(j.phase is Phase.JOINED for j in self.jobs.values())
        waiting = [job for flight in self.fetching.values() for job in flight.waiters]
        assert len(waiting) == sum(j.phase is Phase.FETCHING for j in self.jobs.values())
        tasks = sum(len(child.tasks) for child in self.children.all)
        assert tasks >= len(self.fetching) + len(self.sending) + len(self.asking)
