"""The children as the engine sees them: who lives, who has a slot free, who is to be started.

What may follow what is CHILD_TRANSITIONS. A death before Hello is a boot failure: so many in a row,
over all children, and the daemon gives up rather than spin. Silence of the child's own loop is a
hang. Rows of the job board belong to slots: child i owns rows [i * slots, (i + 1) * slots), so
after its death exactly those tell how far it had got.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from prewarmd.core.backoff import RestartPolicy
from prewarmd.core.commands import Command, Finish, Kill, Retire, Spawn
from prewarmd.core.transitions import after

GAP_S = 5.0
"""A turn that comes so late means that we were stopped ourselves: nobody's silence counts then."""


class ChildState(StrEnum):
    """The words of `status`."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"
    BACKOFF = "backoff"
    STOPPED = "stopped"


class ChildEvent(StrEnum):
    """What can happen to a child."""

    SPAWNED = "spawned"
    GREETED = "greeted"
    """It said Hello."""
    RETIRED = "retired"
    """It is not needed any more."""
    DIED = "died"
    """It will be started again."""
    ENDED = "ended"
    """It exited, and that was wanted."""


CHILD_TRANSITIONS: dict[ChildState, dict[ChildEvent, ChildState]] = {
    ChildState.BACKOFF: {
        ChildEvent.SPAWNED: ChildState.STARTING,
        ChildEvent.RETIRED: ChildState.STOPPED,
    },
    ChildState.STARTING: {
        ChildEvent.GREETED: ChildState.READY,
        ChildEvent.DIED: ChildState.BACKOFF,
        ChildEvent.ENDED: ChildState.STOPPED,
    },
    ChildState.READY: {
        ChildEvent.RETIRED: ChildState.DRAINING,
        ChildEvent.DIED: ChildState.BACKOFF,
        ChildEvent.ENDED: ChildState.STOPPED,
    },
    ChildState.DRAINING: {
        ChildEvent.ENDED: ChildState.STOPPED,
    },
    ChildState.STOPPED: {},
}


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
    alone: bool = False
    """Its one task is a suspect's: nothing else is given to it."""
    done: int = 0
    killed: bool = False
    last_exit: str = ""

    def happen(self, event: ChildEvent, now: float) -> None:
        """Move to the state that follows; the only place that assigns `state`."""
        self.state = after(CHILD_TRANSITIONS, self.state, event, "child")
        self.since = now


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
        self.ward: Child | None = None
        """The child that takes nothing new, to be given to a suspect alone."""
        self._next = 0
        self._boot_failures = 0
        self._turned: float | None = None

    def pick(self) -> Child | None:
        """A ready child with a slot free; None when there is none. They take turns, which fills
        them as evenly as looking for the emptiest would. O(1) unless some are full."""
        children = self.all
        for _ in children:
            child = children[self._next]
            free = child.rows and child.state is ChildState.READY and not child.alone
            if free and child is not self.ward:
                return child
            self._next = (self._next + 1) % len(children)
        return None

    def may_take(self, child: Child) -> bool:
        """Whether `child` may begin one more task beside what it has."""
        is_free = child.rows and child.state is ChildState.READY and not child.alone
        return bool(is_free) and child is not self.ward

    def pick_alone(self) -> Child | None:
        """A ready child with nothing in hand, for a suspect; as long as there is none, the one
        with least in hand takes nothing new, until the turn ends. O(children)."""
        living = (c for c in self.all if c.state is ChildState.READY and c.rows and not c.alone)
        self.ward = min(living, key=lambda child: len(child.tasks), default=None)
        return self.ward if self.ward is not None and not self.ward.tasks else None

    def begin(self, child: Child, task: int, *, alone: bool = False) -> int:
        """Take a slot for `task`; the job-board row that goes with it."""
        self._next = (child.index + 1) % len(self.all)
        row = child.rows.pop()
        child.tasks[task] = row
        child.alone = alone
        return row

    def finish(self, child: Child, task: int) -> None:
        """The slot of `task` is free again."""
        child.rows.append(child.tasks.pop(task))
        child.alone = False
        child.done += 1

    def current(self, index: int, generation: int) -> Child | None:
        """The child meant by a message, unless it is from an earlier life."""
        child = self.all[index]
        return child if child.generation == generation else None

    def greeted(self, child: Child, pid: int, now: float) -> None:
        """It said Hello."""
        child.happen(ChildEvent.GREETED, now)
        child.pid, child.beat = pid, now
        self._boot_failures = 0

    def exited(self, child: Child, reason: str, now: float, jitter: float) -> list[int]:
        """It is dead: its tasks, and a new start in a while."""
        tasks = list(child.tasks)
        child.rows.extend(child.tasks.values())
        child.tasks.clear()
        child.alone = False
        booting = child.state is ChildState.STARTING
        healthy = not booting and now - child.since >= self.policy.healthy_s
        child.deaths = 1 if healthy else child.deaths + 1
        self._boot_failures = self._boot_failures + 1 if booting else 0
        child.pid, child.last_exit, child.killed = None, reason, False
        child.happen(ChildEvent.ENDED if self.draining else ChildEvent.DIED, now)
        if not self.draining:
            self.restarts += 1
            child.until = now + self.policy.delay_s(child.deaths + booting, jitter)
        return tasks

    def turn(self, now: float, out: list[Command]) -> bool:
        """Start who is due, end who is late or silent; False: it gives up, and all is over."""
        self.ward = None
        if self._turned is not None and now - self._turned > GAP_S:
            for child in self.all:
                child.beat, child.since = now, now
        self._turned = now
        if self._boot_failures >= self.policy.boot_failures and not self.draining:
            self._boot_failures = 0
            out.append(Finish(f"children die before they are up: {self._last_exit()}"))
            return False
        for child in self.all:
            self._turn_one(child, now, out)
        return True

    def _turn_one(self, child: Child, now: float, out: list[Command]) -> None:
        if child.state is ChildState.BACKOFF:
            if now >= child.until and not self.draining:
                child.generation += 1
                child.happen(ChildEvent.SPAWNED, now)
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
                child.happen(ChildEvent.RETIRED, now)
                out.append(Retire(child.index, child.generation))
            elif child.state is ChildState.STARTING and not child.killed:
                child.killed = True
                out.append(Kill(child.index, child.generation, "stopping"))
            elif child.state is ChildState.BACKOFF:
                child.happen(ChildEvent.RETIRED, now)

    def kill(self, now: float, out: list[Command]) -> None:
        """End every living child now."""
        for child in self.all:
            if child.state in (ChildState.STARTING, ChildState.READY, ChildState.DRAINING):
                if not child.killed:
                    child.killed = True
                    out.append(Kill(child.index, child.generation, "the drain took too long"))
            elif child.state is ChildState.BACKOFF:
                child.happen(ChildEvent.RETIRED, now)

    @property
    def all_stopped(self) -> bool:
        """Whether no child lives and none will be started."""
        return all(child.state is ChildState.STOPPED for child in self.all)

    @property
    def tasks(self) -> int:
        """How many are in flight. O(children)."""
        return sum(len(child.tasks) for child in self.all)

    @property
    def free_slots(self) -> int:
        """How many more could be. O(children)."""
        return sum(len(child.rows) for child in self.all if child.state is ChildState.READY)

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
