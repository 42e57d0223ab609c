"""What is outside of the engine, as far as children reach: time, the bucket, memory, Telegram.

Each verb takes its time and is answered as a child would answer it; `fates` says what happens
instead of success. Kept true here: memory is never written while somebody reads or writes it, an
upload finds the bytes of its object where it was told, and no child has more tasks than slots.
"""

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from heapq import heappush

from prewarmd.core import events, reports, verbs
from prewarmd.core.faults import FAULTS, Remedy

_OF_TELEGRAM = (Remedy.PAUSE_CHAT, Remedy.CLOSE_CHAT, Remedy.CLOSE_BOT, Remedy.RETRY_LATE)
"""Refusals that a relay, or an upload with a thumbnail, meets at its far end."""


@dataclass(frozen=True)
class Refused:
    """The verb is answered by a failure; `arrived`: Telegram has the message all the same; `late`:
    the first bytes of the object had landed."""

    code: str
    retry_after_s: float = 0.0
    migrated_to: int = 0
    arrived: bool = False
    late: bool = False


@dataclass(frozen=True)
class Dies:
    """The child dies half-way through; `sent`: after the last byte of this upload."""

    sent: bool = False


@dataclass(frozen=True)
class NoMemory:
    """The system does not back the extent: the verb is not sent."""


Fate = Refused | Dies | NoMemory
Fates = Callable[[verbs.Verb], Fate | None]


@dataclass(frozen=True)
class Message:
    """One that Telegram has."""

    at: float
    bot: str
    chat_id: int
    kind: str
    sha256: str
    job: int


@dataclass
class Working:
    """A task that a child has in hand."""

    verb: verbs.Verb
    content: str = ""
    etag: str = ""
    size_bytes: int = 0
    offset: int = -1
    sent: bool = False
    fate: "Fate | None" = None


@dataclass
class Process:
    """One life of a child."""

    generation: int
    up: bool = False
    hung: bool = False
    retiring: bool = False
    works: dict[int, Working] = field(default_factory=dict)


class Outside:
    """Time, the children, the bucket and Telegram."""

    def __init__(self, slots: int, cache_bytes: int) -> None:
        self.now = 1000.0
        self.boot_s, self.get_s, self.upload_s = 0.01, 0.02, 0.05
        self.fates: Fates = lambda verb: None
        self.landing_from_bytes = 1 << 62
        """Of objects of such a size children tell when their first bytes have landed."""
        self.objects: dict[tuple[str, str], tuple[str, int, str]] = {}
        self.messages: list[Message] = []
        self.answered: Counter[tuple[str, str, str]] = Counter()
        self.told: list[tuple[float, verbs.Verb]] = []
        self._slots, self._cache_bytes = slots, cache_bytes
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._inbox: deque[events.Event] = deque()
        self._processes: dict[int, Process] = {}
        self._memory: list[tuple[int, int, str]] = []  # offset, end, content
        self._sent: dict[int | str, str] = {}
        """Message or file_id -> content."""
        self._numbers = 0

    def put(self, event: events.Event) -> None:
        """For the next turn."""
        self._inbox.append(event)

    def hang(self, index: int) -> None:
        """The child's loop stands still."""
        self._processes[index].hung = True

    def kill(self, index: int, reason: str = "killed by SIGKILL") -> None:
        """The child dies now."""
        if process := self._processes.pop(index, None):
            sent = frozenset(task for task, work in process.works.items() if work.sent)
            killed = "SIGKILL" in reason
            self.put(events.ChildExited(index, process.generation, reason, sent, killed))

    def _later(self, delay_s: float, what: Callable[[], None]) -> None:
        heappush(self._heap, (self.now + delay_s, self._number(), what))

    def _number(self) -> int:
        self._numbers += 1
        return self._numbers

    def _is(self, index: int, generation: int) -> bool:
        process = self._processes.get(index)
        return process is not None and process.generation == generation

    def _spawn(self, index: int, generation: int) -> None:
        assert index not in self._processes, "two lives of one child"
        self._processes[index] = Process(generation)

        def hello() -> None:
            if self._is(index, generation):
                self._processes[index].up = True
                self.put(events.ChildGreeted(index, generation, 1000 + index))
                self._later(1.0, beat)

        def beat() -> None:
            if self._is(index, generation):
                if not self._processes[index].hung:
                    self.put(events.ChildBeat(index, generation))
                self._later(1.0, beat)

        if self.boot_s < float("inf"):
            self._later(self.boot_s, hello)

    def _kill(self, index: int, generation: int, reason: str) -> None:
        if self._is(index, generation):
            self.kill(index, reason)

    def _leave_if_done(self, index: int) -> None:
        process = self._processes[index]
        if process.retiring and not process.works:
            self._later(0.001, lambda: self._kill(index, process.generation, "exited with 0"))

    def _tell(self, index: int, verb: verbs.Verb) -> None:
        fate = self.fates(verb)
        if isinstance(fate, NoMemory):
            assert isinstance(verb, verbs.Fetch | verbs.Into)
            told = isinstance(verb, verbs.Into)
            self.put(events.MemoryRefused(verb.task, "no memory", told))
            return
        self.told.append((self.now, verb))
        process = self._processes.get(index)
        if process is None:
            return  # it died a moment ago; its exit is on its way
        match verb:
            case verbs.Into(task, offset, size_bytes):
                work = process.works[task]
                assert work.size_bytes == size_bytes
                self._receive(index, process, work, offset, fate)
            case verbs.Drop(task):
                if task in process.works:  # else its answer is on its way already
                    self._answer(index, task, 0.001, self._stopped(process.works[task]))
            case verbs.Seal(task):
                if task in process.works:  # else Telegram refused it before
                    self._deliver(index, process, process.works[task])
            case _:
                assert verb.task not in process.works
                assert len(process.works) < self._slots, "more tasks than slots"
                process.works[verb.task] = Working(verb, fate=fate)
                self._begin(index, process, process.works[verb.task], fate)

    def _begin(self, index: int, process: Process, work: Working, fate: Fate | None) -> None:
        match work.verb:
            case verbs.Fetch() as verb:
                self._fetch(index, process, work, verb, fate)
            case verbs.Upload() as verb:
                self._upload(index, process, work, verb)
            case verbs.Relay() as verb:
                self._relay(index, process, work, verb)
            case verbs.Forward() | verbs.Resend() | verbs.Link() as verb:
                work.content = self._content_of(verb)
                self._deliver(index, process, work)
            case verbs.List(task, bucket):
                page = [
                    (k, o[1], o[2]) for (b, k), o in sorted(self.objects.items()) if b == bucket
                ]
                failed = fate.code if isinstance(fate, Refused) else ""
                self._doom(index, process, fate)
                self._answer(
                    index, task, self.get_s,
                    reports.ListFailed(task, failed, "") if failed
                    else reports.Listed(task, page, ""),
                )  # fmt: skip
            case verbs.Head(task, bucket, keys):
                failed = fate.code if isinstance(fate, Refused) else ""
                self._doom(index, process, fate)
                sizes = [self.objects.get((bucket, key), ("", -1))[1] for key in keys]
                self._answer(
                    index, task, self.get_s,
                    reports.HeadFailed(task, failed, "") if failed
                    else reports.Headed(task, sizes),
                )  # fmt: skip
            case verbs.AskChat(task):
                code = fate.code if isinstance(fate, Refused) else ""
                self._doom(index, process, fate)
                self._answer(
                    index, task, self.get_s,
                    reports.ChatUnknown(task, code, "") if code
                    else reports.ChatKnown(task, "private"),
                )  # fmt: skip

    def _doom(self, index: int, process: Process, fate: Fate | None) -> None:
        if isinstance(fate, Dies):
            self._later(self.get_s / 2, lambda: self._kill(index, process.generation, "died"))

    def _answer(self, index: int, task: int, delay_s: float, report: reports.Report) -> None:
        """The task ends so; nothing comes when the child has died, or hangs."""
        process = self._processes[index]

        def say() -> None:
            if self._is(index, process.generation) and not process.hung and task in process.works:
                work = process.works.pop(task)
                if isinstance(report, reports.FetchFailed):
                    self._stop_behind(index, process, task)
                if isinstance(report, reports.Uploaded):
                    assert isinstance(work.verb, verbs.Upload | verbs.Relay | verbs.Light)
                    self.answered[work.verb.bot, work.content, work.verb.kind] += 1
                self.put(events.ChildReported(index, process.generation, report))
                self._leave_if_done(index)

        self._later(delay_s, say)

    def _fetch(
        self, index: int, process: Process, work: Working, verb: verbs.Fetch, fate: Fate | None
    ) -> None:
        self._doom(index, process, fate)
        task = verb.task
        known = self.objects.get((verb.bucket, verb.key))
        if isinstance(fate, Refused) and not fate.late:
            failed = reports.FetchFailed(task, fate.code, "as the test wants")
            self._answer(index, task, self.get_s, failed)
        elif known is None:
            self._answer(index, task, self.get_s, reports.FetchFailed(task, "NoSuchKey", ""))
        elif verb.etag == known[2]:
            self._answer(index, task, self.get_s, reports.Unchanged(task))
        else:
            work.content, work.size_bytes, work.etag = known
            if verb.size_bytes != work.size_bytes or verb.offset < 0:
                opened = reports.Opened(task, work.size_bytes, work.etag)
                report = events.ChildReported(index, process.generation, opened)
                self._later(self.get_s / 2, lambda: self._go_on(index, task, report))
            else:
                self._receive(index, process, work, verb.offset, fate)

    def _go_on(self, index: int, task: int, report: events.ChildReported) -> None:
        """A task says how far it is."""
        living = self._is(index, report.generation) and not self._processes[index].hung
        if living and task in self._processes[index].works:  # else it was dropped meanwhile
            self.put(report)

    def _receive(
        self, index: int, process: Process, work: Working, offset: int, fate: Fate | None
    ) -> None:
        """The body lands in its extent, to which nobody else may have a claim."""
        verb = work.verb
        assert isinstance(verb, verbs.Fetch)
        end = offset + work.size_bytes
        assert end <= self._cache_bytes
        for other in (w for p in self._processes.values() for w in p.works.values()):
            busy = other.offset >= 0 and other.offset < end
            assert not (busy and offset < other.offset + other.size_bytes), "memory in use"
        self._memory = [m for m in self._memory if m[1] <= offset or m[0] >= end]
        self._memory.append((offset, end, work.content))
        work.offset = offset
        task, content = verb.task, work.content
        report: reports.Report = reports.Fetched(task, work.size_bytes, content, work.etag)
        if verb.sha256 and verb.sha256 != content:
            report = reports.FetchFailed(task, "Sha256Mismatch", "")
        if isinstance(fate, Refused):
            report = reports.FetchFailed(task, fate.code, "")
        self._doom(index, process, fate)
        if work.size_bytes >= self.landing_from_bytes:
            landing = events.ChildReported(
                index, process.generation, reports.Landing(task, work.size_bytes)
            )
            self._later(self.get_s / 4, lambda: self._go_on(index, task, landing))
        self._answer(index, task, self.get_s, report)

    def _upload(self, index: int, process: Process, work: Working, verb: verbs.Upload) -> None:
        work.offset, work.size_bytes = verb.offset, verb.size_bytes
        here = [m for m in self._memory if m[0] == verb.offset]
        assert here, "the bytes of an upload are not in memory"
        work.content = here[0][2]
        fate = work.fate
        if verb.bucket and isinstance(fate, Refused) and not _is_of_telegram(fate):
            failed = reports.FetchFailed(verb.task, fate.code, "as the test wants")
            self._answer(index, verb.task, self.get_s, failed)
            return
        if not verb.behind or isinstance(work.fate, Refused | Dies):
            self._deliver(index, process, work)

    def _relay(self, index: int, process: Process, work: Working, verb: verbs.Relay) -> None:
        task, fate = verb.task, work.fate
        known = self.objects.get((verb.bucket, verb.key))
        self._doom(index, process, fate)
        if isinstance(fate, Refused) and _is_of_telegram(fate):
            self._deliver(index, process, work)
        elif isinstance(fate, Refused):
            self._answer(index, task, self.get_s, reports.FetchFailed(task, fate.code, ""))
        elif known is None:
            self._answer(index, task, self.get_s, reports.FetchFailed(task, "NoSuchKey", ""))
        elif verb.sha256 not in ("", known[0]):
            self._answer(index, task, self.get_s, reports.FetchFailed(task, "Sha256Mismatch", ""))
        else:
            work.content, work.size_bytes, work.etag = known
            report: reports.Report = reports.Passed(task, work.size_bytes, work.content, work.etag)
            if work.size_bytes != verb.size_bytes:
                report = reports.Opened(task, work.size_bytes, work.etag)
            event = events.ChildReported(index, process.generation, report)
            self._later(self.get_s, lambda: self._go_on(index, task, event))

    @staticmethod
    def _stopped(work: Working) -> reports.Report:
        if isinstance(work.verb, verbs.Fetch):
            return reports.FetchFailed(work.verb.task, "Stopped", "")
        assert isinstance(work.verb, verbs.Upload | verbs.Relay | verbs.Light)
        assert not work.sent, "a sealed upload is dropped"
        return reports.UploadFailed(work.verb.task, "Stopped", "", 0, 0)

    def _stop_behind(self, index: int, process: Process, fetch: int) -> None:
        """A GET failed: the uploads that follow it are gone before that is told."""
        for task, work in list(process.works.items()):
            if isinstance(work.verb, verbs.Upload) and work.verb.behind == fetch:
                del process.works[task]
                self.put(events.ChildReported(index, process.generation, self._stopped(work)))

    def _deliver(self, index: int, process: Process, work: Working) -> None:
        """An upload goes on to its end."""
        verb, fate = work.verb, work.fate
        assert isinstance(verb, verbs.Upload | verbs.Relay | verbs.Light)
        message = Message(self.now, verb.bot, verb.chat_id, verb.kind, work.content, verb.job)
        arrives = fate is None or (isinstance(fate, Refused) and fate.arrived)

        def hand_over() -> None:
            if not self._is(index, process.generation):
                return
            if isinstance(fate, Dies):
                work.sent = fate.sent
                if fate.sent:
                    self.messages.append(replace(message, at=self.now))
                self._kill(index, process.generation, "died")
            else:
                work.sent = True
                if arrives:
                    self.messages.append(replace(message, at=self.now))

        self._later(self.upload_s / 2, hand_over)
        report: reports.Report
        if isinstance(fate, Refused):
            report = reports.UploadFailed(
                verb.task, fate.code, "as the test wants", fate.retry_after_s, fate.migrated_to
            )
        else:
            name = f"F{verb.bot}{verb.task}"
            self._sent[name] = self._sent[verb.task] = work.content
            report = reports.Uploaded(verb.task, name, "U" + name, verb.kind, verb.task, 0.1)
        self._answer(index, verb.task, self.upload_s, report)

    def _content_of(self, verb: verbs.Light) -> str:
        """What Telegram sends without being given it."""
        match verb:
            case verbs.Forward(message_id=message_id):
                return self._sent[message_id]
            case verbs.Resend(file_id=file_id):
                return self._sent[file_id]
            case verbs.Link(bucket=bucket, key=key):
                return self.objects[bucket, key][0]


def _is_of_telegram(fate: Refused) -> bool:
    return FAULTS[fate.code].remedy in _OF_TELEGRAM


def fates_of(*fates: Fate, of: type[verbs.Verb], key: str = "", bot: str = "") -> Fates:
    """The first verbs of a type (for a key, or a bot) meet these fates; the later ones succeed."""
    left = deque(fates)

    def decide(verb: verbs.Verb) -> Fate | None:
        mine = isinstance(verb, of)
        mine = mine and (not key or getattr(verb, "key", getattr(verb, "file_name", "")) == key)
        mine = mine and (not bot or getattr(verb, "bot", "") == bot)
        return left.popleft() if mine and left else None

    return decide
