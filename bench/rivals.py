"""Queues beside ours, and the loop that drives them all: see `bench.queue`.

`heapq` (with the lazy deletion of its own documentation), `asyncio.PriorityQueue` (the same) and
`sortedcontainers` need a dict from job to entry for what we need none for. The seed's algorithm is
written again as it was: a list; an enqueue scans it for a duplicate, and sorts all of it at every
tenth; `shift` takes from the front; scores go stale in between.
"""

import asyncio
import heapq
import importlib
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, Protocol

from prewarmd.core.jobs import Job
from prewarmd.core.ready_queue import ReadyQueue

NOW = 1.0
PUSH, POP, REMOVE, MOVE = range(4)


@dataclass(frozen=True, slots=True)
class Round:
    """Operations, as three lists of one length."""

    verbs: list[int]
    jobs: list[int]
    """Numbers of jobs; of a pop, the one that comes out."""
    levels: list[int]


class Queue(Protocol):
    """What is measured. `replay` gives the seconds of CPU that a round took."""

    def fill(self, jobs: Sequence[Job], levels: Sequence[int]) -> None: ...
    def replay(self, plan: Round, jobs: Sequence[Job | None]) -> float: ...


class Nothing:
    """The loop alone."""

    def fill(self, jobs: Sequence[Job], levels: Sequence[int]) -> None:
        pass

    def replay(self, plan: Round, jobs: Sequence[Job | None]) -> float:
        began = time.process_time()
        for verb, _job, _level in zip(plan.verbs, jobs, plan.levels, strict=True):
            # As many questions as the others ask.
            if verb == PUSH or verb == POP or verb == REMOVE:  # noqa: SIM109
                pass
        return time.process_time() - began


class Ours:
    """What runs in production."""

    def __init__(self) -> None:
        self.queue: ReadyQueue[Any] = ReadyQueue(600.0)

    def fill(self, jobs: Sequence[Job], levels: Sequence[int]) -> None:
        for job, level in zip(jobs, levels, strict=False):
            self.queue.push(job, level, 0.0)

    def replay(self, plan: Round, jobs: Sequence[Any]) -> float:
        push, peek, serve = self.queue.push, self.queue.peek, self.queue.serve
        remove, move, now = self.queue.remove, self.queue.move, NOW
        began = time.process_time()
        for verb, job, level in zip(plan.verbs, jobs, plan.levels, strict=True):
            if verb == PUSH:
                push(job, level, now)
            elif verb == POP:
                serve(peek(now), now)
            elif verb == REMOVE:
                remove(job)
            else:
                move(job, level)
        return time.process_time() - began


class Rival(ABC):
    """One that is driven by four methods."""

    def fill(self, jobs: Sequence[Job], levels: Sequence[int]) -> None:
        for job, level in zip(jobs, levels, strict=False):
            self.push(job, level)

    @abstractmethod
    def push(self, job: Job, level: int) -> None: ...

    @abstractmethod
    def pop(self) -> Job: ...

    @abstractmethod
    def remove(self, job: Job) -> None: ...

    def move(self, job: Job, level: int) -> None:
        self.remove(job)
        self.push(job, level)

    def replay(self, plan: Round, jobs: Sequence[Any]) -> float:
        push, pop, remove, move = self.push, self.pop, self.remove, self.move
        began = time.process_time()
        for verb, job, level in zip(plan.verbs, jobs, plan.levels, strict=True):
            if verb == PUSH:
                push(job, level)
            elif verb == POP:
                pop()
            elif verb == REMOVE:
                remove(job)
            else:
                move(job, level)
        return time.process_time() - began


class Heapq(Rival):
    """With lazy deletion, as its documentation has it."""

    def __init__(self) -> None:
        self.heap: list[list[Any]] = []
        self.entries: dict[Job, list[Any]] = {}
        self.numbers = count()

    def push(self, job: Job, level: int) -> None:
        entry = [-level, next(self.numbers), job]
        self.entries[job] = entry
        heapq.heappush(self.heap, entry)

    def pop(self) -> Job:
        while True:
            job: Job | None = heapq.heappop(self.heap)[2]
            if job is not None:
                del self.entries[job]
                return job

    def remove(self, job: Job) -> None:
        self.entries.pop(job)[2] = None


class PriorityQueue(Heapq):
    """asyncio's."""

    def __init__(self) -> None:
        super().__init__()
        self.queue: asyncio.PriorityQueue[list[Any]] = asyncio.PriorityQueue()

    def push(self, job: Job, level: int) -> None:
        entry = [-level, next(self.numbers), job]
        self.entries[job] = entry
        self.queue.put_nowait(entry)

    def pop(self) -> Job:
        while True:
            job: Job | None = self.queue.get_nowait()[2]
            if job is not None:
                del self.entries[job]
                return job


class Sorted(Rival):
    """sortedcontainers."""

    def __init__(self) -> None:
        self.entries: dict[Job, tuple[int, int, Job]] = {}
        self.numbers = count()
        self.list: Any = importlib.import_module("sortedcontainers").SortedList()

    def fill(self, jobs: Sequence[Job], levels: Sequence[int]) -> None:
        for job, level in zip(jobs, levels, strict=False):
            self.entries[job] = (-level, next(self.numbers), job)
        self.list.update(self.entries.values())

    def push(self, job: Job, level: int) -> None:
        entry = self.entries[job] = (-level, next(self.numbers), job)
        self.list.add(entry)

    def pop(self) -> Job:
        job: Job = self.list.pop(0)[2]
        del self.entries[job]
        return job

    def remove(self, job: Job) -> None:
        self.list.remove(self.entries.pop(job))


@dataclass(slots=True)
class Scored:
    """An item of the seed's queue."""

    key: str
    score: int
    job: Job


class Seed(Rival):
    """The seed's. It does not hold the order exactly, so now and then a victim has gone already."""

    def __init__(self) -> None:
        self.list: list[Scored] = []
        self.enqueued = 0

    def fill(self, jobs: Sequence[Job], levels: Sequence[int]) -> None:
        self.list = [Scored(j.key, level, j) for j, level in zip(jobs, levels, strict=False)]
        self.list.sort(key=lambda item: -item.score)

    def _find(self, key: str) -> Scored | None:
        for item in self.list:
            if item.key == key:
                return item
        return None

    def push(self, job: Job, level: int) -> None:
        if self._find(job.key) is None:
            self.list.append(Scored(job.key, level, job))
            self.enqueued += 1
            if self.enqueued % 10 == 0:
                self.list.sort(key=lambda item: -item.score)

    def pop(self) -> Job:
        return self.list.pop(0).job

    def remove(self, job: Job) -> None:
        if item := self._find(job.key):
            self.list.remove(item)

    def move(self, job: Job, level: int) -> None:
        if item := self._find(job.key):
            item.score = level


RIVALS: dict[str, type[Queue]] = {
    "ours": Ours,
    "heapq": Heapq,
    "asyncio": PriorityQueue,
    "sorted": Sorted,
    "seed": Seed,
}
