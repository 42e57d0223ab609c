"""The child processes as a world: they boot, greet, beat, hold tasks, hang and die at any point.

What had a claim on memory keeps it until its child is dead: a hung child may go on writing. The
exit of a dead child is reported a little later than it died, and verbs told in between are lost
with it. What a child does with a verb is in `transfers`.
"""

from collections.abc import Callable
from random import Random
from typing import Any

from prewarmd.core import commands, events, reports
from tests.simulation import invariants
from tests.simulation.guilt import Guilt
from tests.simulation.invariants import Violation
from tests.simulation.memory import GARBAGE, Memory, Span
from tests.simulation.swarm import Swarm
from tests.simulation.telegram import Letter
from tests.simulation.timeline import Timeline

EXIT_S = 0.004
OBJECT_KEY, UPLOAD_KEY = 2, 3
"""The lengths of a download's key, (bucket, key), and of an upload's, (bot, content, kind)."""


class Work:
    """A task that a child has in hand."""

    __slots__ = ("began", "behind", "child", "code", "content", "etag", "is_alive", "is_dropped",
        "is_left", "is_sent", "key", "letter", "reads", "size_bytes", "span", "trailing",
        "verb")  # fmt: skip

    def __init__(
        self, child: "Child", verb: Any, key: tuple[str, ...] | None, began: float
    ) -> None:
        self.began = began
        self.child = child
        self.verb = verb
        self.key = key
        """What nobody else may be doing meanwhile."""
        self.is_alive = True
        self.is_dropped = False
        """The engine wants it given up."""
        self.is_left = False
        """A download that its job waits for no longer: Telegram refused what followed it."""
        self.is_sent = False
        """The last byte of an upload was handed over."""
        self.content = self.etag = self.code = ""
        self.size_bytes = 0
        self.span: Span | None = None
        self.reads = False
        """`span` is read, not written."""
        self.letter: Letter | None = None
        self.trailing: list[Work] = []
        """Uploads that follow this download..."""
        self.behind: Work | None = None
        """...and the download that this upload follows."""

    @property
    def may_speak(self) -> bool:
        """Whether its child would answer now."""
        return self.is_alive and not self.child.is_hung


class Child:
    """One life of a child."""

    __slots__ = ("generation", "index", "is_dead", "is_hung", "is_retiring", "is_up", "rows",
        "works")  # fmt: skip

    def __init__(self, index: int, generation: int) -> None:
        self.index = index
        self.generation = generation
        self.is_up = self.is_hung = self.is_dead = self.is_retiring = False
        self.works: dict[int, Work] = {}
        self.rows: set[int] = set()


class Children:
    """All of them."""

    def __init__(
        self,
        swarm: Swarm,
        timeline: Timeline,
        put: Callable[[events.Event], None],
        memory: Memory,
        dice: Random,
    ) -> None:
        self.swarm = swarm
        self.living: list[Child | None] = [None] * swarm.workers
        """By index; a dead one until its exit is reported."""
        self.gone: list[int] = []
        """Whose exit was reported since the last turn."""
        self.guilt = Guilt(swarm.ttl_s, 2 * swarm.turn_s + 2 * EXIT_S)
        self.boot_failures = 0
        """Deaths before a greeting, in a row."""
        self.working = 0
        """Tasks in hand, of all."""
        self.lose: Callable[[Letter], None]
        """Called with an upload that is under way when its child dies."""
        self._timeline, self._put, self._memory = timeline, put, memory
        self._random = dice.random
        self._busy: dict[tuple[str, ...], Work] = {}
        self._shaken: dict[object, bool] = {}
        """Jobs and keys that were in hand when a child died, in this life of the engine."""
        self._task = 0
        self._life = 0
        """Of the engine."""

    # -- lives -----------------------------------------------------------------------------------

    def spawn(self, command: commands.Spawn) -> None:
        """A child starts; it greets, dies before, or never gets so far."""
        if self.living[command.index] is not None:
            raise Violation("one_life_at_a_time", f"{command}")
        child = self.living[command.index] = Child(command.index, command.generation)
        boot_s = self.swarm.boot_s * (0.5 + self._random())
        if self._random() >= self.swarm.boot_faults:
            self._timeline.after(boot_s, self._greet, child)
        elif self._random() < 0.8:
            self._timeline.after(boot_s, self.die_of_itself, child)

    def _greet(self, child: Child) -> None:
        if child.is_dead:
            return
        child.is_up = True
        self.boot_failures = 0
        self._put(events.ChildGreeted(child.index, child.generation, 1000 + child.generation))
        self._timeline.after(self.swarm.beat_s, self._beat, child)

    def _beat(self, child: Child) -> None:
        if not (child.is_dead or child.is_hung):
            self._put(events.ChildBeat(child.index, child.generation))
            self._timeline.after(self.swarm.beat_s, self._beat, child)

    def kill(self, command: commands.Kill) -> None:
        """The engine wants it dead."""
        child = self.living[command.index]
        if child is not None and child.generation == command.generation:
            self._timeline.after(0.001, self.die, (child, "killed by SIGKILL"))

    def retire(self, command: commands.Retire) -> None:
        """It is to finish and leave."""
        child = self.living[command.index]
        if child is not None and child.generation == command.generation:
            child.is_retiring = True
            self._leave_if_done(child)

    def _leave_if_done(self, child: Child) -> None:
        if child.is_retiring and not child.works and not child.is_hung:
            self._timeline.after(0.001, self.die, (child, "exited with 0"))

    def hang(self, child: Child) -> None:
        """Its loop stands still: it neither beats nor answers."""
        child.is_hung = True

    def die_of_itself(self, child: Child) -> None:
        """Nobody told it to."""
        self.die((child, "killed by SIGSEGV"))

    def miss(self, verb: Any) -> None:
        """A verb is lost with its child, whose exit is heard of in the same turn: nobody is to be
        blamed for that. Who was given up in that turn was not in hand any more, as far as the
        engine could know."""
        self.guilt.miss(verb.task)

    def die_of(self, work: Work) -> None:
        """A task killed it. A download that is being given up is nobody's any more."""
        if not work.is_dropped:
            self.guilt.died_of(work, self._timeline.now)
        self.die_of_itself(work.child)

    def die(self, whom: tuple[Child, str]) -> None:
        """A child is dead; its exit will be known in a moment."""
        child, reason = whom
        if child.is_dead:
            return
        child.is_dead = True
        sent = []
        for task, work in child.works.items():
            work.is_alive = False
            if work.is_sent:
                sent.append(task)
            self._set_down(work)
            self._shake(work)
            if work.letter is not None:
                self.lose(work.letter)
        killed = "SIGKILL" in reason
        exited = events.ChildExited(child.index, child.generation, reason, frozenset(sent), killed)
        self._timeline.after(EXIT_S * self._random(), self._exited, (child, exited))

    def _exited(self, whom: tuple[Child, events.ChildExited]) -> None:
        child, exited = whom
        if self.living[child.index] is not child:
            return  # the supervisor died meanwhile
        self.living[child.index] = None
        self.gone.append(child.index)
        self.boot_failures += not child.is_up
        now, last_task = self._timeline.now, self._task
        self.guilt.exited(child, killed=exited.killed, last_task=last_task, now=now)
        self._put(exited)
        if child.works and self._random() < self.swarm.stale_reports:
            self._timeline.after(2.0 * self._random(), self._say_late, (self._life, child))

    def _say_late(self, whom: tuple[int, Child]) -> None:
        """Something from an earlier life, which concerns nobody any more."""
        life, child = whom
        if life != self._life:
            return
        index, generation = child.index, child.generation
        task = next(iter(child.works))
        late = reports.FetchFailed(task, "Stopped", "from an earlier life")
        self._put(events.ChildReported(index, generation, late))
        after = self.living[index]
        if after is not None and after.generation > generation:
            self._put(events.ChildBeat(index, generation))
            self._put(events.ChildGreeted(index, generation, 1000 + generation))
            self._put(events.ChildExited(index, generation, "once more", frozenset()))

    def crash(self) -> None:
        """The supervisor died: no child outlives it."""
        for child in self.living:
            if child is not None:
                self.die((child, "its pipe was closed"))
        self.living = [None] * len(self.living)
        self._life += 1
        self.boot_failures = 0
        self._shaken.clear()
        self.guilt.begin_anew()
        self._task = 0

    # -- tasks -----------------------------------------------------------------------------------

    def take(self, child: Child, verb: Any, key: tuple[str, ...] | None = None) -> Work:
        """A child begins a task; `key` is what nobody else may be doing meanwhile."""
        task, row, works = verb.task, getattr(verb, "row", None), child.works
        slots = self.swarm.slots
        invariants.task_is_new(task, self._task)
        self._task = task
        if row is not None:
            taken = row in child.rows
            invariants.slot_is_free(child.index, row, len(works), slots, taken)
            child.rows.add(row)
        elif len(works) >= slots:
            raise Violation("slot_is_free", f"child {child.index}: {len(works)} of {slots}")
        work = Work(child, verb, key, self._timeline.now)
        if child.is_dead:  # lost with it, but in its hand as far as the engine knows
            work.is_alive = False
            works[task] = work
            self._shake(work)
            return work
        self.claim(work, key)
        works[task] = work
        self.working += 1
        return work

    def claim(self, work: Work, key: tuple[str, ...] | None) -> None:
        """From now on nobody else may be doing that."""
        work.key, verb = key, work.verb
        if key is not None:
            other = self._busy.get(key)
            if other is not None:
                # Whoever was there when a child died comes again alone, beside those who were not;
                # and what an object held longer ago than is believed is asked for anew.
                shaken = key in self._shaken or not self._shaken.keys().isdisjoint(
                    (verb.job, other.verb.job)
                )
                old_at = other.began + self.swarm.ttl_s
                old = len(key) == OBJECT_KEY and old_at <= self._timeline.now
                invariants.single_flight(key, not (shaken or old) or len(key) == UPLOAD_KEY)
            self._busy[key] = work

    def _shake(self, work: Work) -> None:
        """It was in a child's hand that died; an upload that is not sealed yet has no key."""
        if work.key is not None:
            self._shaken[work.key] = True
        if hasattr(work.verb, "job"):
            self._shaken[work.verb.job] = True

    def _set_down(self, work: Work) -> None:
        """It has no claim on anything any more."""
        self.working -= 1
        if work.key is not None and self._busy.get(work.key) is work:
            del self._busy[work.key]
        span = work.span
        if span is not None:
            work.span = None
            if work.reads:
                self._memory.let_go(span)
            else:
                self._memory.written(span, GARBAGE)

    def skip(self, task: int) -> None:
        """A task was given a number, and never came to a child."""
        self._task = task

    def drop(self, work: Work) -> None:
        """It is being given up: whoever comes now may do the same anew."""
        work.is_dropped = True
        if work.key is not None and self._busy.get(work.key) is work:
            del self._busy[work.key]

    def say(self, work: Work, report: reports.Report) -> None:
        """The task ends so. Only for a work that `may_speak`."""
        child = work.child
        del child.works[work.verb.task]
        row = getattr(work.verb, "row", None)
        if row is not None:
            child.rows.discard(row)
        work.is_alive = False
        self._set_down(work)
        if type(report) is reports.Fetched:
            self.guilt.landed(work.verb)
        self._put(events.ChildReported(child.index, child.generation, report))
        if child.is_retiring:
            self._leave_if_done(child)
