"""The job board: one fixed record per slot, written by the child that owns the slot.

This is the queue's shared-memory half. `status` sees live progress without asking anyone, and after
a SIGKILL the supervisor knows how far each of the dead child's tasks had got.

A record is nine u64, written by single `memoryview.cast("Q")` stores: `struct.pack_into` is seen
half written, or zeroed, by another process. The first is a sequence number, odd while a record is
being replaced; a reader takes a record only when the number is even and the same before and after.
A writer that died in the middle leaves it odd for ever: the record is then returned as `torn`, and
must be taken for the worst it may mean. x86-64 keeps the order of these stores.
"""

from dataclasses import dataclass

from prewarmd.core.stage import Stage
from prewarmd.ipc.memory import Memory

_FIELDS = 16
"""u64 per row: nine in use, a row is two cache lines so that children do not share one."""
_SEQUENCE, _TASK, _JOB, _STAGE, _TOTAL, _DONE, _STARTED, _STAGED, _ATTEMPT = range(9)
_TRIES = 64


@dataclass(slots=True)
class Record:
    """What a row says. Times are `time.monotonic_ns` of the machine, the same in all processes."""

    task: int
    job: int
    stage: Stage
    bytes_total: int
    bytes_done: int
    started_ns: int
    stage_ns: int
    attempt: int
    torn: bool = False
    """Its writer died while replacing it; any stage may have been reached."""


class Row:
    """A child's hand on one row."""

    __slots__ = ("_at", "_words")

    def __init__(self, words: memoryview, index: int) -> None:
        self._words = words
        self._at = index * _FIELDS

    def begin(
        self, task: int, job: int, attempt: int, stage: Stage, bytes_total: int, now_ns: int
    ) -> None:
        """Replace the record: a task starts."""
        words, at = self._words, self._at
        sequence = words[at] | 1
        words[at] = sequence
        words[at + _TASK] = task
        words[at + _JOB] = job
        words[at + _STAGE] = stage
        words[at + _TOTAL] = bytes_total
        words[at + _DONE] = 0
        words[at + _STARTED] = now_ns
        words[at + _STAGED] = now_ns
        words[at + _ATTEMPT] = attempt
        words[at] = sequence + 1

    def advance(self, stage: Stage, now_ns: int) -> None:
        """The next stage is reached. One store decides; the time stamp follows."""
        self._words[self._at + _STAGE] = stage
        self._words[self._at + _STAGED] = now_ns

    def total(self, bytes_total: int) -> None:
        """The size became known."""
        self._words[self._at + _TOTAL] = bytes_total

    def progress(self, bytes_done: int) -> None:
        """So many bytes are done."""
        self._words[self._at + _DONE] = bytes_done


class Board(Memory):
    """All rows. Children write their own, the supervisor reads."""

    @classmethod
    def of(cls, rows: int) -> "Board":
        """A board of so many rows, all idle."""
        return cls.create("prewarmd-board", rows * _FIELDS * 8)

    def __init__(self, fd: int, size_bytes: int) -> None:
        super().__init__(fd, size_bytes)
        self._words = memoryview(self.map).cast("Q")

    @property
    def rows(self) -> int:
        """How many there are."""
        return self.size_bytes // (_FIELDS * 8)

    def row(self, index: int) -> Row:
        """The writer's side of one row."""
        return Row(self._words, index)

    def read(self, index: int) -> Record | None:
        """A whole record, or None when the row was never used."""
        words, at = self._words, index * _FIELDS
        torn = True
        values: list[int] = []
        for _ in range(_TRIES):
            before = words[at]
            values = words[at + 1 : at + 9].tolist()
            if not before & 1 and words[at] == before:
                torn = False
                break
        if not torn and values[_STAGE - 1] == Stage.IDLE:
            return None
        stage = values[_STAGE - 1]
        return Record(
            task=values[_TASK - 1],
            job=values[_JOB - 1],
            stage=Stage(min(stage, Stage.ANSWERED)),
            bytes_total=values[_TOTAL - 1],
            bytes_done=values[_DONE - 1],
            started_ns=values[_STARTED - 1],
            stage_ns=values[_STAGED - 1],
            attempt=values[_ATTEMPT - 1],
            torn=torn,
        )

    def close(self) -> None:
        """Unmap and close."""
        self._words.release()
        super().close()
