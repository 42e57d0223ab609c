"""The children as the engine sees them: who lives, who has a slot free, who is to be started.

starting -> ready -> (draining) -> stopped; any death leads to backoff and a new start. A death
before Hello is a boot failure: so many in a row, over all children, and the daemon gives up rather
than spin. Silence of the child's own loop is a hang. Rows of the job board belong to slots: child
i owns rows [i * slots, (i + 1) * slots), so after its death exactly those tell how far it had got.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from prewarmd.core.backoff import RestartPolicy
from prewarmd.core.commands import Command, Finish, Kill, Retire, Spawn

GAP_S = 5.0
"""A turn that comes so late means that we were stopped ourselves: nobody's silence counts then."""


class ChildState(StrEnum):
    """The words of `status`."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    BACKOFF = "backoff"
    STOPPED = "stopped"


@dataclass(slots=True, eq=False)
class Child:
    """One of the worker processes."""

    index: int
    rows: list[int]
    """Free rows of the job board."""
    state: ChildState = ChildState.BACKOFF
    generation: int = 0
    pid: int | None = None
    tasks: dict[int, int] = field(default_factory=dict)
    """task -> row, in flight."""
    since: float = 0.0
    """When it entered its state."""
    beat: float = 0.0
    until: float = 0.0
    """End of its backoff."""
    deaths: int = 0
    """In a row, without a healthy life between."""
    done: int = 0
    killed: bool = False
    last_exit: str = ""


class Children:
    """All of them. Methods append what is to be done to `out`."""

    def __init__(self, workers: int, slots: int, policy: RestartPolicy) -> None:
        self.policy = policy
        self.slots = slots
        self.all = [
            Child(index, list(range((index + 1) * slots - 1, index * slots - 1, -1)))
            for index in range(workers)
        ]
        self.restarts = 0
        self.draining = False
        self._boot_failures = 0
        self._turned: float | None = None

    def pick(self) -> Child | None:
        """The ready child with most slots free; None when there is none. O(children)."""
        best = None
        for child in self.all:
            if child.state is not ChildState.READY or not child.rows:
                continue
            if best is None or len(child.rows) > len(best.rows):
                best = child
        return best

    def begin(self, child: Child, task: int) -> int:
        """Take a slot for `task`; the job-board row that goes with it."""
        row = child.rows.pop()
        child.tasks[task] = row
        return row

    def finish(self, child: Child, task: int) -> None:
        """The slot of `task` is free again."""
        child.rows.append(child.tasks.pop(task))
        child.done += 1

    def current(self, index: int, generation: int) -> Child | None:
        """The child meant by a message, unless it is from an earlier life."""
        child = self.all[index]
        return child if child.generation == generation else None

    def greeted(self, child: Child, pid: int, now: float) -> None:
        """It said Hello."""
        child.state, child.pid, child.since, child.beat = ChildState.READY, pid, now, now
        self._boot_failures = 0

    def exited(self, child: Child, reason: str, now: float, jitter: float) -> list[int]:
        """It is dead: its tasks, and a new start in a while."""
        tasks = list(child.tasks)
        child.rows.extend(child.tasks.values())
        child.tasks.clear()
        booting = child.state is ChildState.STARTING
        healthy = not booting and now - child.since >= self.policy.healthy_s
        child.deaths = 1 if healthy else child.deaths + 1
        self._boot_failures = self._boot_failures + 1 if booting else 0
        child.pid, child.last_exit, child.since, child.killed = None, reason, now, False
        if self.draining:
            child.state = ChildState.STOPPED
        else:
            self.restarts += 1
            child.state = ChildState.BACKOFF
            child.until = now + self.policy.delay_s(child.deaths + booting, jitter)
        return tasks

    def turn(self, now: float, out: list[Command]) -> None:
        """Start who is due, end who is late or silent."""
        if self._turned is not None and now - self._turned > GAP_S:
            for child in self.all:
                child.beat, child.since = now, now
        self._turned = now
        if self._boot_failures >= self.policy.boot_failures and not self.draining:
            self._boot_failures = 0
            out.append(Finish(f"children die before they are up: {self._last_exit()}"))
        for child in self.all:
            self._turn_one(child, now, out)

    def _turn_one(self, child: Child, now: float, out: list[Command]) -> None:
        if child.state is ChildState.BACKOFF:
            if now >= child.until and not self.draining:
                child.generation += 1
                child.state, child.since = ChildState.STARTING, now
                out.append(Spawn(child.index, child.generation))
        elif not child.killed and (late := self._lateness(child, now)):
            child.killed = True
            out.append(Kill(child.index, child.generation, late))

    def _lateness(self, child: Child, now: float) -> str:
        if child.state is ChildState.STARTING and now >= child.since + self.policy.boot_s:
            return f"not up after {self.policy.boot_s:g} s"
        if child.state is ChildState.READY and now >= child.beat + self.policy.silence_s:
            return f"silent for {self.policy.silence_s:g} s"
        return ""

    def _last_exit(self) -> str:
        return next((c.last_exit for c in self.all if c.last_exit), "no reason known")

    def retire(self, now: float, out: list[Command]) -> None:
        """Ask every living child to exit."""
        for child in self.all:
            if child.state is ChildState.READY:
                child.state, child.since = ChildState.DRAINING, now
                out.append(Retire(child.index, child.generation))
            elif child.state is ChildState.STARTING and not child.killed:
                child.killed = True
                out.append(Kill(child.index, child.generation, "stopping"))
            elif child.state is ChildState.BACKOFF:
                child.state = ChildState.STOPPED

    def kill(self, out: list[Command]) -> None:
        """End every living child now."""
        for child in self.all:
            if child.state in (ChildState.STARTING, ChildState.READY, ChildState.DRAINING):
                if not child.killed:
                    child.killed = True
                    out.append(Kill(child.index, child.generation, "the drain took too long"))
            else:
                child.state = ChildState.STOPPED

    @property
    def all_stopped(self) -> bool:
        """Whether no child lives and none will be started."""
        return all(child.state is ChildState.STOPPED for child in self.all)

    @property
    def ready(self) -> int:
        """How many are up."""
        return sum(child.state is ChildState.READY for child in self.all)

    def next_deadline(self) -> float:
        """When `turn` has something to do although nothing happens."""
        deadline = float("inf")
        for child in self.all:
            if child.killed or child.state in (ChildState.STOPPED, ChildState.DRAINING):
                continue
            if child.state is ChildState.BACKOFF:
                if not self.draining:
                    deadline = min(deadline, child.until)
                continue
            if self._turned is not None:
                # Often enough that our own idleness is never taken for having been stopped.
                deadline = min(deadline, self._turned + 0.8 * GAP_S)
            if child.state is ChildState.STARTING:
                deadline = min(deadline, child.since + self.policy.boot_s)
            else:
                deadline = min(deadline, child.beat + self.policy.silence_s)
        return deadline

    def check(self) -> None:
        """Raise AssertionError when rows and tasks do not add up."""
        for child in self.all:
            rows = sorted([*child.rows, *child.tasks.values()])
            assert rows == list(range(child.index * self.slots, (child.index + 1) * self.slots))
            assert not child.tasks or child.state in (ChildState.READY, ChildState.DRAINING)
