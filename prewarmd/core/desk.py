"""The desk: every unfinished job, and which pile it lies on.

A job is in one phase at a time: queued (in its bot's queue for its bucket), sleeping until a time,
or under way (fetching, recalling, joined, loaded, uploading). The desk moves it between phases,
writes the record that goes with each move, and keeps the two rotations that say whose turn is next:
`to_load` over (bot, bucket), `to_send` over bots, each at the level of its best job. So a bot's
turn comes by its best job, and behind the others of that level once it was served.

Leading and following: the first job that knows its (bot, content, kind) leads; who comes later with
the same joins it and shares the outcome.

Invariants, kept by `check`: a queue holds a job exactly when its phase says so; pins equal users.
Costs: O(1) a move, O(log n) in the number of sleeping jobs and parked bots.
"""

from collections import deque
from collections.abc import Sequence
from heapq import heappop, heappush

from prewarmd.core import records
from prewarmd.core.backoff import Rate
from prewarmd.core.cache import CacheIndex
from prewarmd.core.commands import Command
from prewarmd.core.extents import PAGE, Extent
from prewarmd.core.faults import Remedy
from prewarmd.core.gate import Gate
from prewarmd.core.jobs import Job, JobEvent, JobId, JobState, Kind, Phase
from prewarmd.core.lanes import FOREVER, Bot, Lane
from prewarmd.core.policy import BotSpec, EnginePolicy
from prewarmd.core.ready_queue import Item, ReadyQueue

UNDER_WAY = frozenset({Phase.FETCHING, Phase.RECALLING, Phase.LOADED})
"""What prefetching is bounded by: taken from the queue, not yet uploading."""
GOLDEN = 0.618033988749895
"""Steps of it spread evenly over [0, 1): one jitter becomes as many as a turn needs."""


class Desk:
    """Jobs, bots, bucket gates and the cache's pins. `out` collects a turn's commands."""

    def __init__(self, policy: EnginePolicy, bots: Sequence[BotSpec]) -> None:
        self.policy = policy
        self.jobs: dict[JobId, Job] = {}
        self.bots = {spec.slug: self._bot(spec) for spec in bots}
        self.buckets: dict[str, Gate] = {}
        self.cache = CacheIndex(policy.cache_bytes // PAGE * PAGE, policy.cache_items, policy.ttl_s)
        self.pinned: dict[JobId, str] = {}
        self.memory_short = False
        """A reservation failed, and nothing was given back since."""
        self.recalling = 0
        self.recalled: set[JobId] = set()
        """Leaders of which the catalogue said "not ready"."""
        self.to_load: ReadyQueue[tuple[str, str]] = ReadyQueue()
        self.to_send: ReadyQueue[str] = ReadyQueue()
        self.ready_rate = Rate()
        self.out: list[Command] = []
        self.jitter = 0.0
        self._task = 0
        self._leaders: dict[tuple[str, str, Kind], Job] = {}
        self._joined: dict[JobId, list[Job]] = {}
        self._young: deque[tuple[float, JobId]] = deque()
        self._sleeping: list[tuple[float, JobId]] = []
        self._parked: list[tuple[float, str]] = []

    def _bot(self, spec: BotSpec) -> Bot:
        limits = self.policy.limits
        lanes = [
            Lane(spec.slug, chat, kind, limits.pace(kind), in_flight_max=limits.in_flight_max)
            for chat, kind in spec.chats
        ]
        return Bot(spec.slug, lanes, limits.bot_pace())

    def next_task(self) -> int:
        """A number that no task had before."""
        self._task += 1
        return self._task

    def next_jitter(self) -> float:
        """In [0, 1)."""
        self.jitter = (self.jitter + GOLDEN) % 1.0
        return self.jitter

    # -- whose turn it is ------------------------------------------------------------------------

    def place(self, bot: Bot) -> None:
        """Let the pump look at `bot` again: it has work, or may do it now."""
        for bucket, queue in bot.queues.items():
            _rotate(self.to_load, (bot.slug, bucket), queue)
        _rotate(self.to_send, bot.slug, bot.loaded)

    def place_all(self) -> None:
        """The same for every bot: something they share is open again."""
        for bot in self.bots.values():
            self.place(bot)

    def park(self, bot: Bot, until: float) -> None:
        """Look at `bot` again at `until`; with FOREVER an event will place it."""
        if until < FOREVER:
            heappush(self._parked, (until, bot.slug))

    def let_time_pass(self, now: float) -> None:
        """Wake, age and place what is due."""
        while self._young and self._young[0][0] <= now:
            job = self.jobs.get(self._young.popleft()[1])
            if job is not None:
                self._age(job, now)
        while self._sleeping and self._sleeping[0][0] <= now:
            at, job_id = heappop(self._sleeping)
            job = self.jobs.get(job_id)
            if job is not None and job.phase is Phase.SLEEPING and job.not_before == at:
                self.wake(job, now)
        while self._parked and self._parked[0][0] <= now:
            self.place(self.bots[heappop(self._parked)[1]])
        if self.cache.expire(now):
            self.memory_short = False

    def _age(self, job: Job, now: float) -> None:
        job.level = self.policy.score.level(job, now)
        bot = self.bots[job.bot]
        for queue in (bot.queue(job.bucket), bot.loaded):
            if job.id in queue:
                queue.move(job.id, job.level)
                self.place(bot)

    def next_deadline(self) -> float:
        """When something of it is due although nothing happens."""
        heaps = (self._sleeping, self._parked, self._young)
        deadline = min((heap[0][0] for heap in heaps if heap), default=FOREVER)
        expiry = self.cache.expires_at()
        return deadline if expiry is None else min(deadline, expiry)

    # -- a job's moves ---------------------------------------------------------------------------

    def admit(self, job: Job, now: float) -> None:
        """A committed job comes in; one whose bot is not configured stays in the store."""
        if job.id in self.jobs or job.bot not in self.bots:
            return
        self.jobs[job.id] = job
        ages_at = self.policy.score.ages_at(job, now)
        if ages_at is not None:
            # Admissions come in order of creation, so this stays sorted but for clock steps,
            # which only make a job age late.
            self._young.append((ages_at, job.id))
        if job.state is JobState.WAITING or job.not_before > now:
            self._sleep(job)
        else:
            self._enqueue(job, now)

    def enter(self, job: Job, phase: Phase) -> None:
        """The only place that changes a phase; keeps the counts of what is under way."""
        bot = self.bots[job.bot]
        bot.under_way += (phase in UNDER_WAY) - (job.phase in UNDER_WAY)
        self.recalling += (phase is Phase.RECALLING) - (job.phase is Phase.RECALLING)
        job.phase = phase

    def _enqueue(self, job: Job, now: float, *, front: bool = False) -> None:
        self.enter(job, Phase.QUEUED)
        bot = self.bots[job.bot]
        job.level = self.policy.score.level(job, now)
        bot.queue(job.bucket).push(job.id, job.level, front=front)
        self.place(bot)

    def _sleep(self, job: Job) -> None:
        self.enter(job, Phase.SLEEPING)
        heappush(self._sleeping, (job.not_before, job.id))

    def start(self, job: Job) -> None:
        """It leaves the queue; a record unless it is running already."""
        if job.state is JobState.QUEUED:
            job.happen(JobEvent.STARTED)
            self.out.append(records.Start(job.id, job.attempt + 1))

    def load(self, job: Job, now: float) -> None:
        """Its bytes are pinned and its content is new to its bot: it waits for a lane."""
        self.enter(job, Phase.LOADED)
        job.level = self.policy.score.level(job, now)
        bot = self.bots[job.bot]
        bot.loaded.push(job.id, job.level)
        self.place(bot)

    def release(self, job: Job, now: float, code: str = "", detail: str = "") -> None:
        """Back to the queue, uncharged and in front: its turn had come."""
        self.unpin(job, now)
        self.set_down(job, now)
        self.put_back(job, now, code, detail)

    def put_back(self, job: Job, now: float, code: str = "", detail: str = "") -> None:
        """As `release`, but it still leads, and keeps what the catalogue said."""
        job.happen(JobEvent.RELEASED)
        self.out.append(records.Release(job.id, code, detail))
        self._enqueue(job, now, front=True)

    def _snooze(self, job: Job, delay_s: float, code: str, detail: str, now: float) -> None:
        self.unpin(job, now)
        self.set_down(job, now)
        job.happen(JobEvent.SNOOZED)
        job.not_before = now + delay_s
        self._sleep(job)
        self.out.append(
            records.Snooze(job.id, job.not_before, code, detail, job.attempt, job.maybe_sent)
        )

    def wake(self, job: Job, now: float) -> None:
        """Its time has come, or somebody asked for it now."""
        if job.state is JobState.WAITING:
            job.happen(JobEvent.WOKEN)
            self.out.append(records.Wake(job.id))
        job.not_before = 0.0
        self._enqueue(job, now)

    def _charge(self, job: Job, code: str, detail: str, now: float, *, late: bool) -> None:
        """The job failed on its own account: try again later, or give up."""
        job.attempt += 1
        if job.attempt >= self.policy.retry.attempts:
            self.fail(job, code, detail, now)
            return
        retry, jitter = self.policy.retry, self.next_jitter()
        delay = retry.late_delay_s if late else retry.delay_s
        self._snooze(job, delay(job.attempt, jitter), code, detail, now)

    def fail(self, job: Job, code: str, detail: str, now: float) -> None:
        """For good."""
        job.happen(JobEvent.FAILED)
        self.out.append(records.Fail(job.id, code, detail, job.attempt))
        self.forget(job, now)

    def join(self, job: Job, sha256: str, size_bytes: int, now: float) -> None:
        """Ready without an upload of its own."""
        job.happen(JobEvent.COMPLETED)
        self.out.append(
            records.Join(job.id, job.bot, sha256, size_bytes, waited_s=now - job.created)
        )
        self.ready_rate.count(now)
        self.forget(job, now)

    def forget(self, job: Job, now: float) -> None:
        """The job is finished, or no longer ours: no trace of it stays."""
        self.unpin(job, now)
        self.set_down(job, now)
        bot = self.bots[job.bot]
        bot.queue(job.bucket).remove(job.id)
        self.enter(job, Phase.QUEUED)
        del self.jobs[job.id]
        self.place(bot)

    def remedy(self, job: Job, remedy: Remedy, code: str, detail: str, now: float) -> None:
        """What a fault means for the job itself."""
        match remedy:
            case Remedy.GIVE_UP:
                self.fail(job, code, detail, now)
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
                self.release(job, now, code, detail)

    def orphaned(self, job: Job, reason: str, now: float, *, sent: bool) -> None:
        """Its child died: free of charge the first time, for who is there at every death may be
        the cause of it."""
        job.deaths += 1
        job.maybe_sent |= sent
        if job.deaths > 1:
            self._charge(job, "MaybeSent" if sent else "ChildDied", reason, now, late=sent)
        elif sent:
            delay_s = self.policy.retry.late_delay_s(1, self.next_jitter())
            self._snooze(job, delay_s, "MaybeSent", reason, now)
        else:
            self.release(job, now, "ChildDied", reason)

    # -- leading and following -------------------------------------------------------------------

    def follow(self, job: Job) -> bool:
        """Join whoever is ahead with the same content for the same bot; else lead."""
        assert job.sha256 is not None
        leader = self._leaders.setdefault((job.bot, job.sha256, job.kind), job)
        if leader is job:
            return False
        self.start(job)
        self.enter(job, Phase.JOINED)
        self._joined.setdefault(leader.id, []).append(job)
        return True

    def take_followers(self, job: Job) -> list[Job]:
        """Who followed it, theirs to be decided now."""
        return self._joined.pop(job.id, [])

    def set_down(self, job: Job, now: float) -> None:
        """It leads nobody and follows nobody; who followed it is on its own again. Somebody else
        may lead now, so what the catalogue said is not the last word any more."""
        self.bots[job.bot].loaded.remove(job.id)
        self.recalled.discard(job.id)
        if job.sha256 is None:
            return
        content = (job.bot, job.sha256, job.kind)
        leader = self._leaders.get(content)
        if leader is job:
            del self._leaders[content]
            for follower in reversed(self._joined.pop(job.id, [])):
                self.put_back(follower, now)
        elif leader is not None and job in self._joined.get(leader.id, ()):
            self._joined[leader.id].remove(job)

    # -- what jobs share: memory and buckets -----------------------------------------------------

    def pin(self, job: Job, sha256: str) -> None:
        """Keep a content's bytes for the job."""
        assert self.cache.pin(sha256) is not None
        self.pinned[job.id] = sha256

    def unpin(self, job: Job, now: float) -> None:
        """It does not need its bytes any more."""
        sha256 = self.pinned.pop(job.id, None)
        if sha256 is not None:
            self.cache.unpin(sha256, now)
            self.memory_short = False

    def give_back(self, extent: Extent) -> None:
        """Memory that was reserved and not filled."""
        self.cache.give_back(extent)
        self.memory_short = False

    def gate(self, bucket: str) -> Gate:
        """The bucket's gate."""
        return self.buckets.setdefault(bucket, Gate())

    def open_bucket(self, bucket: str) -> None:
        """It answered."""
        if self.gate(bucket).accept():
            self.place_all()

    def leave_bucket(self, bucket: str) -> None:
        """A request ended that says nothing about the bucket; a closed one may be probed again."""
        gate = self.gate(bucket)
        if gate.probing:
            gate.leave()
            self.place_all()

    def close_bucket(self, bucket: str, code: str, detail: str, now: float) -> float:
        """It refused us; when it may be probed."""
        gate = self.gate(bucket)
        gate.refuse(code, detail, now)
        for bot in self.bots.values():
            self.park(bot, gate.until)
        return gate.until

    def check(self) -> None:
        """Raise AssertionError when an invariant of the head of this file does not hold."""
        self.cache.check()
        pins: dict[str, int] = {}
        for job_id, sha256 in self.pinned.items():
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
            queued = sum(map(len, bot.queues.values()))
            assert queued == sum(job.phase is Phase.QUEUED for job in mine)
            assert len(bot.loaded) == sum(job.phase is Phase.LOADED for job in mine)
        joined = [job for followers in self._joined.values() for job in followers]
        assert all(job.phase is Phase.JOINED for job in joined)
        assert len(joined) == sum(j.phase is Phase.JOINED for j in self.jobs.values())
        for content, leader in self._leaders.items():
            assert self.jobs[leader.id] is leader
            assert (leader.bot, leader.sha256, leader.kind) == content
        assert self.recalled <= self.jobs.keys()


def _rotate(rotation: ReadyQueue[Item], turn: Item, queue: ReadyQueue[JobId]) -> None:
    """Give `turn` the place that the best of `queue` earns, or none."""
    head = queue.peek()
    if head is None:
        rotation.remove(turn)
    elif turn in rotation:
        rotation.move(turn, head[1])
    else:
        rotation.push(turn, head[1])
