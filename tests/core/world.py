"""A small deterministic world around one engine: a clock, children, a bucket, Telegram, a store.

It performs the engine's commands as the shell, the children and the store would, only in simulated
time: events lie in a heap, the clock jumps to the next one or to the engine's own deadline. After
every turn the engine's invariants are checked, and the world's own:
every record is one that its job's durable state allows, nothing is uploaded twice with success
(memory and children are watched in `outside`), and the loop does not spin.

A test interferes through `fates`, `stall`, `hang` and `kill`.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256 as hash_of
from heapq import heappop

from prewarmd.core import commands, events, records, verbs
from prewarmd.core.about import About
from prewarmd.core.content import KeyPattern
from prewarmd.core.engine import Engine
from prewarmd.core.jobs import FINISHED, Job, JobId, JobState, Kind, advance
from prewarmd.core.policy import BotSpec, EnginePolicy
from tests.core.outside import Outside

LAYOUT = KeyPattern.parse("{bot}/{kind}/{sha256}.{ext}")
SPIN_TURNS = 200
"""So many turns at one moment without an event: the shell's loop would burn a processor."""


@dataclass
class Row:
    """A job as the store has it."""

    state: JobState = JobState.QUEUED
    code: str = ""
    attempt: int = 0
    maybe_sent: bool = False
    not_before: float = 0.0
    is_probe: bool = False
    history: list[records.Record] = field(default_factory=list)


def content_of(text: str) -> str:
    """The SHA-256 of an object whose bytes `text` stands for."""
    return hash_of(text.encode()).hexdigest()


class World(Outside):
    """The shell's loop and a store, around one engine."""

    def __init__(
        self,
        bots: Sequence[BotSpec | str] = ("alpha", "beta"),
        policy: EnginePolicy | None = None,
    ) -> None:
        specs = [
            BotSpec(bot, ((100 + number, "private"),)) if isinstance(bot, str) else bot
            for number, bot in enumerate(bots)
        ]
        self.policy = policy or EnginePolicy(workers=2, slots=4)
        self.engine = Engine(self.policy, specs)
        super().__init__(self.policy.slots, self.policy.cache_bytes)
        self.commit_s = 0.001
        self.seen: dict[tuple[str, str], tuple[str, str]] = {}
        self.holds: dict[tuple[str, int], records.Hold] = {}
        self.rows: dict[JobId, Row] = {}
        self.catalogue: dict[tuple[str, str, str], records.Complete | None] = {}
        self.stale: set[tuple[str, str, str]] = set()
        """Of the catalogue's: file_ids that are good no more."""
        self.gone: set[tuple[int, int]] = set()
        """(chat, message) that cannot be forwarded, as far as anyone knows."""
        self.out: list[tuple[float, commands.Command]] = []
        self.replies: dict[int, commands.Reply] = {}
        self.finished: commands.Finish | None = None
        self.turns = 0
        self._unwritten: list[records.Record | commands.Recall | commands.Reply] = []
        self._forgotten: set[JobId] = set()
        self._stalled = False
        self._spins = 0
        self.put(events.Loaded())
        self.run(0.1)

    # -- what a test does ------------------------------------------------------------------------

    def store_object(self, key: str, text: str = "", size: int = 5000, bucket: str = "m") -> str:
        """Put an object into the bucket; its SHA-256."""
        sha256 = content_of(text or key)
        self.objects[bucket, key] = (sha256, size, f'"{sha256[:8]}-{self._number()}"')
        return sha256

    def submit(
        self, bot: str, key: str, kind: Kind = Kind.PHOTO, *, bucket: str = "m",
        sha256: str | None = None, size_bytes: int | None = None, priority: int | None = None,
        maybe_sent: bool = False, about: About | None = None, is_probe: bool = False,
    ) -> JobId:  # fmt: skip
        """A committed job; what is remembered of its key comes along, as from the store."""
        carried = LAYOUT.match(key)
        promised = sha256 or (carried.sha256 if carried else None)
        etag, etag_sha256 = self.seen.get((bucket, key), (None, None))
        job = JobId(self._number())
        self.rows[job] = Row(is_probe=is_probe)
        self.put(
            events.Admitted([
                Job(
                    job, bot, bucket, key, kind, self.now, priority, promised,
                    claimed=promised is not None, size_bytes=size_bytes, etag=etag,
                    etag_sha256=etag_sha256, maybe_sent=maybe_sent, about=about,
                    is_probe=is_probe,
                )
            ])
        )  # fmt: skip
        return job

    def ask(self, make: Callable[[int, JobId], events.Event], job: JobId) -> commands.Reply:
        """Cancel or wake a job: the engine's answer."""
        ticket = self._number()
        self.put(make(ticket, job))
        self.turn()
        self.run(2 * self.commit_s)
        return self.replies[ticket]

    def forget(self, job: JobId) -> None:
        """The store cancels a job that the engine was thought not to hold."""
        self.rows[job].state = JobState.CANCELLED
        self._forgotten.add(job)
        self.put(events.Forgotten(job))

    def stall(self) -> None:
        """The store cannot be written from now on."""
        self._stalled = True
        self.put(events.StoreStalled("disk full"))

    def recover(self) -> None:
        """It can again; what waited is committed."""
        self._stalled = False
        self.put(events.StoreRecovered())
        self._commit()

    def run(self, seconds: float) -> None:
        """Let time pass."""
        end = self.now + seconds
        while self._advance(end):
            pass
        self.now = end

    def finish(self, limit_s: float = 3600.0) -> None:
        """Run until every job is finished."""
        end = self.now + limit_s
        while any(row.state not in FINISHED for row in self.rows.values()):
            if not self._advance(end):
                left = {
                    job: (row.state, row.code, held.phase if held else "not held")
                    for job, row in self.rows.items()
                    if row.state not in FINISHED
                    for held in [self.engine.desk.jobs.get(job)]
                }
                raise AssertionError(
                    f"unfinished after {limit_s} s: {left}; {self.engine.readiness(self.now)}"
                )

    def state(self, job: JobId) -> JobState:
        """Of a job, as the store has it."""
        return self.rows[job].state

    def all_of(self, kind: type[verbs.Verb]) -> list[verbs.Verb]:
        """Every verb of that type that was told to a child."""
        return [verb for _, verb in self.told if isinstance(verb, kind)]

    @property
    def gets(self) -> list[str]:
        """The keys that were fetched, in order."""
        return [verb.key for _, verb in self.told if isinstance(verb, verbs.Fetch)]

    @property
    def uploads(self) -> list[JobId]:
        """The jobs that were uploaded, in order."""
        return [JobId(verb.job) for _, verb in self.told if isinstance(verb, verbs.Upload)]

    def check_quiet(self) -> None:
        """All is done: no slot, pin, memory, gate or leader is left behind."""
        engine = self.engine
        assert engine.desk.jobs == {}
        assert engine.downloads.fetching == {}
        assert engine.downloads._flights == {}
        assert engine.downloads.trials.open == {}
        assert engine.uploads.sending == {}
        assert all(not child.tasks for child in engine.children.all)
        assert not any(process.works for process in self._processes.values())
        held = sum(e.extent.size_bytes for e in engine.desk.cache._entries.values())
        assert engine.desk.cache.used_bytes == held, "reserved memory leaked"
        assert all(entry.pins == 0 for entry in engine.desk.cache._entries.values())
        assert engine.desk.leaders._leaders == {}
        assert engine.desk.leaders._followers == {}
        assert engine.desk.pinned == {}
        assert engine.desk.recalled == set()
        assert not any(lane.in_flight for bot in engine.desk.bots.values() for lane in bot.lanes)
        assert not engine.desk.recalling

    # -- turns -----------------------------------------------------------------------------------

    def turn(self) -> None:
        """One turn of the shell's loop, with all that has happened."""
        inbox, self._inbox = list(self._inbox), deque()
        self.turns += 1
        out = self.engine.turn(inbox, self.now, (self.turns * 0.7548776662466927) % 1.0)
        self.engine.check()
        for command in out:
            self.out.append((self.now, command))
            self._perform(command)

    def _advance(self, end: float) -> bool:
        """Whatever is next, at or before `end`, and the turn it leads to; whether there was any."""
        if not self._inbox:
            deadline = max(self.now, self.engine.next_deadline(self.now))
            at = min(deadline, self._heap[0][0] if self._heap else deadline)
            if at > end:
                return False
            self._spins = self._spins + 1 if at == self.now else 0
            assert self._spins < SPIN_TURNS, f"the loop spins at {at}"
            self.now = at
            if not self._heap or self._heap[0][0] > at:
                self.put(events.Ticked())
            while self._heap and self._heap[0][0] == at:
                heappop(self._heap)[2]()
        if self._inbox:
            self.turn()
        return True

    # -- the shell -------------------------------------------------------------------------------

    def _perform(self, command: commands.Command) -> None:
        match command:
            case commands.Tell(index, verb):
                self._tell(index, verb)
            case commands.Spawn(index, generation):
                self._spawn(index, generation)
            case commands.Kill(index, generation, reason):
                if self._is(index, generation):
                    self._later(0.001, lambda: self._kill(index, generation, reason))
            case commands.Retire(index, generation):
                if self._is(index, generation):
                    self._processes[index].retiring = True
                    self._leave_if_done(index)
            case commands.Finish():
                assert self.finished is None, "finished twice"
                self.finished = command
            case commands.SubmitPage(batch, _, after, done):
                self._later(
                    self.commit_s, lambda: self.put(events.PageSubmitted(batch, after, done))
                )
            case commands.FailBatch():
                pass
            case _:
                self._unwritten.append(command)
                self._later(self.commit_s, self._commit)

    def _commit(self) -> None:
        """Write in order; catalogue questions and replies wait for what was decided before."""
        while self._unwritten and not self._stalled:
            command = self._unwritten.pop(0)
            match command:
                case commands.Recall(job, bot, sha256, kind):
                    self.put(self._recall(job, (bot, sha256, kind)))
                case commands.Reply(ticket):
                    self.replies[ticket] = command
                case records.See(bucket, key, etag, sha256):
                    self.seen[bucket, key] = (etag, sha256)
                case records.Hold(bot, chat_id):
                    self.holds[bot, chat_id] = command
                case records.FileIdStale(bot, sha256, kind):
                    self.stale.add((bot, sha256, kind))
                case records.MessageGone(_, _, _, chat_id, message_id):
                    self.gone.add((chat_id, message_id))
                case _:
                    self._write(command)

    def _recall(self, job: JobId, content: tuple[str, str, str]) -> events.Recalled:
        known, sha256 = self.catalogue.get(content), content[1]
        if known is None:
            return events.Recalled(job, sha256, content in self.catalogue)
        message = (known.chat_id, known.message_id)
        kept = (0, 0) if message in self.gone else message
        return events.Recalled(
            job, sha256, content not in self.stale, known.file_id, known.actual_kind, *kept
        )

    def _write(self, record: records.Record) -> None:
        assert not isinstance(record, records.Jobless)
        if record.job in self._forgotten:
            return  # its state does not allow it any more: the store changes nothing
        row = self.rows[record.job]
        row.state = advance(row.state, records.EVENT_OF[type(record)])
        row.history.append(record)
        match record:
            case records.Complete(_, bot, sha256, kind):
                content = (bot, sha256, kind)
                is_new = content not in self.catalogue or content in self.stale
                assert is_new or row.is_probe, f"{record} was uploaded twice"
                self.catalogue[content] = record
                self.stale.discard(content)
            case records.Join(job, bot, sha256):
                assert any(known[:2] == (bot, sha256) for known in self.catalogue), job
            case records.Fail(_, code, _, attempt, maybe_sent):
                row.code, row.attempt, row.maybe_sent = code, attempt, maybe_sent
            case records.Snooze(_, not_before, code, _, attempt, maybe_sent):
                row.not_before, row.code = not_before, code
                row.attempt, row.maybe_sent = attempt, maybe_sent
            case records.Release(_, code):
                row.code = code
            case _:
                pass
