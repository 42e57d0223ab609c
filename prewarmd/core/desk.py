"""The desk: every unfinished job, and which pile it lies on.

A job is in one phase at a time: queued (in its bot's backlog for its bucket), sleeping until its
time, or under way (fetching, recalling, joined, loaded, trailing, uploading). The desk moves it
between phases and writes the record that goes with each move. Whose turn it is, the `roster` says;
which buckets answer, `buckets`; who shares whose outcome, `leaders`; what faults mean, `remedies`.

A job is a suspect once a child died with it in hand, or over the object that it wants (`trials`).
It then waits on another pile of its bot for a child that has nothing else to do: so a poisonous
job takes nobody with it, and an innocent one is cleared.

Invariants, kept by `check`: a pile holds a job exactly when its phase says so; pins equal users.
Costs: O(1) a move, O(log n) in the number of sleeping jobs.
"""

from collections import deque
from collections.abc import Sequence
from heapq import heappop, heappush

from prewarmd.core import records
from prewarmd.core.backoff import Rate
from prewarmd.core.bots import Bot
from prewarmd.core.buckets import Buckets
from prewarmd.core.cache import CacheIndex
from prewarmd.core.commands import Command
from prewarmd.core.extents import PAGE, Extent
from prewarmd.core.jobs import Job, JobEvent, JobId, JobState, Phase
from prewarmd.core.leaders import Leaders
from prewarmd.core.links import Links
from prewarmd.core.meter import Meter
from prewarmd.core.policy import BotSpec, EnginePolicy
from prewarmd.core.ready_queue import STARVED
from prewarmd.core.roster import Roster
from prewarmd.core.shortcut import ByFileId, ByMessage, ByUrl, Shortcut

UNDER_WAY = frozenset({Phase.FETCHING, Phase.RECALLING, Phase.LOADED})
"""What fetching ahead is bounded by: taken from the backlog, not yet uploading."""
GOLDEN = 0.618033988749895
"""Steps of it spread evenly over [0, 1): one jitter becomes as many as a turn needs."""


class Desk:
    """Jobs, and the cache's pins. `out` collects a turn's commands."""

    def __init__(self, policy: EnginePolicy, bots: Sequence[BotSpec]) -> None:
        self.policy = policy
        self.jobs: dict[JobId, Job] = {}
        self.roster = Roster(policy, bots)
        self.bots = self.roster.bots
        self.buckets = Buckets(self.roster)
        self.leaders = Leaders()
        self.links = Links(bots)
        self.cache = CacheIndex(policy.cache_bytes // PAGE * PAGE, policy.cache_items, policy.ttl_s)
        self.pinned: dict[JobId, str] = {}
        self.memory_short = False
        """A job that could be sent at once found no memory, and none was given back since."""
        self.ahead_short = False
        """One that would only have been fetched ahead found none."""
        self.bytes_under_way = 0
        """Of jobs in a phase of UNDER_WAY, as far as their sizes are known."""
        self.recalling = 0
        self.recalled: set[JobId] = set()
        """Leaders of which the catalogue said "not ready"."""
        self.sizeless: deque[JobId] = deque()
        """Queued without a size, so perhaps at the wrong level: somebody may ask the store."""
        self.downloading = Meter(policy.download_bytes_per_s)
        self.uploading = Meter(policy.upload_bytes_per_s)
        self.ready_rate = Rate()
        self.out: list[Command] = []
        self.jitter = 0.0
        self.last_task = 0
        self._young: deque[JobId] = deque()
        self._sleeping: list[tuple[float, JobId]] = []

    def next_task(self) -> int:
        """A number that no task had before."""
        self.last_task += 1
        return self.last_task

    def next_jitter(self) -> float:
        """In [0, 1)."""
        self.jitter = (self.jitter + GOLDEN) % 1.0
        return self.jitter

    # -- time ------------------------------------------------------------------------------------

    def let_time_pass(self, now: float) -> None:
        """Wake what is due."""
        while self._sleeping and self._sleeping[0][0] <= now:
            at, job_id = heappop(self._sleeping)
            job = self.jobs.get(job_id)
            if job is not None and job.phase is Phase.SLEEPING and job.not_before == at:
                self.wake(job, now)
        self.roster.let_time_pass(now)
        if self.cache.expire(now):
            self.memory_freed()

    def let_age(self, now: float) -> None:
        """Jobs whose youth is over go down a few levels: before anybody comes in, who would stand
        before them there. Admissions come in order of creation, so the first of the young is the
        oldest of them."""
        young_s = self.policy.score.young_s
        while self._young:
            job = self.jobs.get(self._young[0])
            if job is not None:
                if job.created + young_s > now:
                    return
                self.relevel(job, now)
            self._young.popleft()

    def relevel(self, job: Job, now: float) -> None:
        """Its score is another now."""
        pile = job.queue
        if pile is not None and job.level != STARVED:
            pile.move(job, self.policy.score.level(job, now))
            self.roster.touch(self.bots[job.bot])

    def next_deadline(self, now: float) -> float:
        """When something of it is due although nothing happens. Ageing needs no turn: it lets
        nobody start who could not."""
        deadline = self.roster.next_deadline()
        if self._sleeping:
            deadline = min(deadline, self._sleeping[0][0])
        for meter in (self.downloading, self.uploading):
            if meter.paid_at > now:
                deadline = min(deadline, meter.paid_at)
        expiry = self.cache.expires_at()
        return deadline if expiry is None else min(deadline, expiry)

    # -- a job's moves ---------------------------------------------------------------------------

    def admit(self, job: Job, now: float) -> None:
        """A committed job comes in; one whose bot is not configured stays in the store."""
        bot = self.bots.get(job.bot)
        if job.id in self.jobs or bot is None:
            return
        self.jobs[job.id] = job
        job.bot, job.bucket = bot.slug, bot.backlog(job.bucket).bucket  # one string for all jobs
        if self.policy.score.ages_at(job, now) is not None:
            self._young.append(job.id)
        if job.size_bytes is None and job.priority is None and self.policy.size_probe:
            self.sizeless.append(job.id)
        if job.state is JobState.WAITING or job.not_before > now:
            self._sleep(job)
        else:
            self._enqueue(job, now)

    def enter(self, job: Job, phase: Phase) -> None:
        """The only place that changes a phase; keeps the counts of what is under way."""
        was = job.phase
        if phase is was:
            return
        job.phase = phase
        more = (phase in UNDER_WAY) - (was in UNDER_WAY)
        if more:
            self.bots[job.bot].under_way += more
            if not (job.relay or job.shortcut):
                self.bytes_under_way += more * (job.size_bytes or 0)
        if phase is Phase.RECALLING:
            self.recalling += 1
        elif was is Phase.RECALLING:
            self.recalling -= 1

    def learn_size(self, job: Job, size_bytes: int) -> None:
        """The only place that changes a size once a job is in."""
        if job.phase in UNDER_WAY and not job.is_light:
            self.bytes_under_way += size_bytes - (job.size_bytes or 0)
        job.size_bytes = size_bytes

    def relay(self, job: Job, *, is_relay: bool, by: Shortcut | None = None) -> None:
        """Whether its bytes pass through a child, or are not needed `by` a shortcut: then they take
        no memory here."""
        was_light = job.is_light
        job.relay, job.shortcut = is_relay, by
        if job.phase in UNDER_WAY and job.is_light != was_light:
            self.bytes_under_way += (job.size_bytes or 0) * (1 if was_light else -1)

    def _enqueue(self, job: Job, now: float, *, front: bool = False) -> None:
        self.enter(job, Phase.QUEUED)
        job.starved = False
        job.shortcut = None
        bot = self.bots[job.bot]
        pile = bot.pile(job)
        assert pile is not None
        pile.push(job, self.policy.score.level(job, now), now, front=front)
        self.roster.touch(bot)

    def _sleep(self, job: Job) -> None:
        self.enter(job, Phase.SLEEPING)
        job.shortcut = None
        heappush(self._sleeping, (job.not_before, job.id))

    def start(self, job: Job, phase: Phase) -> None:
        """It leaves its pile for work; a record unless it is running already."""
        if job.ring is not None:
            self.unpile(job)
        self.enter(job, phase)
        if job.state is JobState.QUEUED:
            job.happen(JobEvent.STARTED)
            self.out.append(records.Start(job.id, job.attempt + 1))

    def load(self, job: Job, now: float) -> None:
        """It waits for a lane: its bytes are pinned and its content is new to its bot, or it is to
        be relayed."""
        self.enter(job, Phase.LOADED)
        bot = self.bots[job.bot]
        level = STARVED if job.starved else self.policy.score.level(job, now)
        pile = bot.loaded_alone if job.suspect else bot.loaded
        pile.push(job, level, now)
        if not job.is_light:
            self.memory_short = False  # there is one more that may have to go
        self.roster.touch(bot)

    def unpile(self, job: Job) -> None:
        """It leaves the pile on which it lies."""
        job.ring.queue.remove(job)

    def release(self, job: Job, now: float, code: str = "", detail: str = "") -> None:
        """Back to its backlog, uncharged and in front: its turn had come."""
        self.unpin(job, now)
        self.set_down(job, now)
        self.put_back(job, now, code, detail)

    def give_up_shortcut(self, job: Job, code: str, detail: str, now: float) -> None:
        """The way by which it was sent leads nowhere; nobody takes it again, and the job finds
        another."""
        assert job.sha256 is not None
        content = (job.bot, job.sha256, job.kind)
        match job.shortcut:
            case ByMessage(chat_id, message_id):
                self.out.append(records.MessageGone(*content, chat_id, message_id))
            case ByFileId(file_id, _):
                self.out.append(records.FileIdStale(*content, file_id, detail))
            case ByUrl():
                self.links.refuse(job, now)
            case None:
                raise AssertionError(f"{job} has no shortcut")
        self.release(job, now, code, detail)

    def put_back(self, job: Job, now: float, code: str = "", detail: str = "") -> None:
        """As `release`, but it still leads, and keeps what the catalogue said."""
        job.happen(JobEvent.RELEASED)
        self.out.append(records.Release(job.id, code, detail))
        self._enqueue(job, now, front=True)

    def set_aside(self, job: Job, now: float) -> None:
        """It waits for a child of its own from now on."""
        job.suspect = True
        if job.ring is None:
            self.put_back(job, now)
        else:
            self.unpile(job)
            self._enqueue(job, now)

    def snooze(self, job: Job, delay_s: float, code: str, detail: str, now: float) -> None:
        """Uncharged, or charged already."""
        self.unpin(job, now)
        self.set_down(job, now)
        if job.ring is not None:
            self.unpile(job)
        job.happen(JobEvent.SNOOZED)
        job.not_before = now + delay_s
        self._sleep(job)
        self.roster.touch(self.bots[job.bot])  # there is room for another
        self.out.append(
            records.Snooze(job.id, job.not_before, code, detail, job.attempt, job.maybe_sent)
        )

    def sleep_if_refused(self, job: Job, now: float) -> bool:
        """Let a job sleep of whose kind no chat of its bot takes any; whether it does."""
        refusal = self.bots[job.bot].refusal(job.kind, now)
        if refusal is None:
            return False
        lane, at = refusal
        gate = lane.refusals[job.kind]
        self.snooze(job, at - now, gate.code, gate.detail, now)
        return True

    def wake(self, job: Job, now: float) -> None:
        """Its time has come, or somebody asked for it now."""
        if job.state is JobState.WAITING:
            job.happen(JobEvent.WOKEN)
            self.out.append(records.Wake(job.id))
        job.not_before = 0.0
        self._enqueue(job, now)

    def fail(self, job: Job, code: str, detail: str, now: float) -> None:
        """For good."""
        job.happen(JobEvent.FAILED)
        self.out.append(records.Fail(job.id, code, detail, job.attempt, job.maybe_sent))
        self.forget(job, now)

    def join(self, job: Job, sha256: str, size_bytes: int, now: float) -> None:
        """Ready without an upload of its own."""
        job.happen(JobEvent.COMPLETED)
        self.out.append(
            records.Join(job.id, job.bot, sha256, size_bytes, waited_s=now - job.created)
        )
        self.ready_rate.count(now)
        self.forget(job, now)

    def join_all(self, job: Job, now: float) -> None:
        """The catalogue holds its content: it is ready, and so is whoever followed it. A probe is
        not: Telegram has not been asked."""
        assert job.sha256 is not None
        for each in (*self.leaders.take_followers(job), job):
            if each.is_probe and each is not job:
                self.put_back(each, now)
            else:
                self.join(each, job.sha256, each.size_bytes or job.size_bytes or 0, now)

    def forget(self, job: Job, now: float) -> None:
        """The job is finished, or no longer ours: no trace of it stays."""
        self.unpin(job, now)
        self.set_down(job, now)
        if job.ring is not None:
            self.unpile(job)
        if job.phase in UNDER_WAY:
            self.enter(job, Phase.QUEUED)
        del self.jobs[job.id]
        self.roster.touch(self.bots[job.bot])

    # -- leading and following -------------------------------------------------------------------

    def follow(self, job: Job) -> bool:
        """Join whoever is ahead with the same content for the same bot; False: it leads itself."""
        if self.leaders.lead(job):
            return False
        self.start(job, Phase.JOINED)
        return True

    def set_down(self, job: Job, now: float) -> None:
        """It leads nobody and follows nobody; who followed it is on its own again. Somebody else
        may lead now, so what the catalogue said is not the last word any more."""
        if job.phase is Phase.LOADED:
            self.unpile(job)
        self.recalled.discard(job.id)
        for follower in reversed(self.leaders.leave(job)):
            self.put_back(follower, now)

    def know(self, job: Job, sha256: str, now: float) -> None:
        """Its content, whatever it was believed to be."""
        if job.sha256 != sha256:
            if job.sha256 is not None:
                self.set_down(job, now)
            job.sha256 = sha256

    # -- what jobs share: memory -----------------------------------------------------------------

    def pin(self, job: Job, sha256: str) -> None:
        """Keep a content's bytes for the job."""
        assert self.cache.pin(sha256) is not None
        self.pinned[job.id] = sha256

    def unpin(self, job: Job, now: float) -> None:
        """It does not need its bytes any more."""
        sha256 = self.pinned.pop(job.id, None)
        if sha256 is not None:
            self.cache.unpin(sha256, now)
            self.memory_freed()

    def give_back(self, extent: Extent) -> None:
        """Memory that was reserved and not filled."""
        self.cache.give_back(extent)
        self.memory_freed()

    def memory_freed(self) -> None:
        """Who found none may try again."""
        self.memory_short = self.ahead_short = False

    def give_up_one_ahead(self, now: float) -> bool:
        """Let go of bytes that were fetched ahead for a bot that cannot send yet, the worst job's
        first; whether there were any."""
        while self.roster.ahead:
            bot = next(reversed(self.roster.ahead))
            worst = bot.loaded.last() or bot.loaded_alone.last()
            if worst is not None:
                self.release(worst, now)
                return True
            del self.roster.ahead[bot]
        return False

    def check(self) -> None:
        """Raise AssertionError when an invariant of the head of this file does not hold."""
        self.cache.check()
        self.roster.check()
        self._check_pins()
        mine: dict[str, list[Job]] = {slug: [] for slug in self.bots}
        for job in self.jobs.values():
            mine[job.bot].append(job)
        for bot in self.bots.values():
            self._check_bot(bot, mine[bot.slug])
        assert self.bytes_under_way == sum(
            job.size_bytes or 0
            for job in self.jobs.values()
            if job.phase in UNDER_WAY and not job.is_light
        )
        self.leaders.check(self.jobs)
        assert self.recalled <= self.jobs.keys()

    def _check_bot(self, bot: Bot, mine: list[Job]) -> None:
        assert bot.under_way == sum(job.phase in UNDER_WAY for job in mine), bot.slug
        for job in mine:
            assert job.queue is bot.pile(job), f"{job} lies on {job.queue}"

    def _check_pins(self) -> None:
        pins: dict[str, int] = {}
        for job_id, sha256 in self.pinned.items():
            pins[sha256] = pins.get(sha256, 0) + 1
            assert self.jobs[job_id].phase in (
                Phase.LOADED, Phase.TRAILING, Phase.UPLOADING, Phase.RECALLING,
            )  # fmt: skip
        for sha256, users in pins.items():
            entry = self.cache.find(sha256)
            assert entry is not None
            assert entry.pins == users, f"{sha256}: {entry.pins} pins, {users} users"
