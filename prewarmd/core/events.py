"""Everything that can happen to the engine, in the past tense."""

from dataclasses import dataclass, field

from prewarmd.core.jobs import Job, JobId
from prewarmd.core.records import Hold
from prewarmd.core.reports import Report


@dataclass(slots=True)
class Admitted:
    """These jobs are committed and unfinished; from now on the engine holds them."""

    jobs: list[Job]


@dataclass(slots=True)
class Loaded:
    """Everything the store held at the start has been admitted."""


@dataclass(slots=True)
class HoldsRemembered:
    """What earlier lives of the daemon were told by Telegram; comes before any job does."""

    holds: list[Hold]


@dataclass(slots=True)
class CancelAsked:
    """A client takes a job back; answered by `Reply` with the state that forbids it, or None."""

    ticket: int
    job: JobId


@dataclass(slots=True)
class WakeAsked:
    """A client wants a waiting job now; answered like `CancelAsked`."""

    ticket: int
    job: JobId


@dataclass(slots=True)
class Forgotten:
    """The store cancelled a job that the engine did not hold at the time."""

    job: JobId


@dataclass(slots=True)
class Recalled:
    """The catalogue's answer: whether a content that the job had is ready for its bot, by which
    file_id, and which message bears it (0: none that is known)."""

    job: JobId
    sha256: str
    ready: bool
    file_id: str = ""
    actual_kind: str = ""
    chat_id: int = 0
    message_id: int = 0


@dataclass(slots=True)
class BatchOpened:
    """A prefix is to be listed from its checkpoint on."""

    batch: int
    bucket: str
    prefix: str
    after: str


@dataclass(slots=True)
class PageSubmitted:
    """A listed page and its checkpoint are committed."""

    batch: int
    after: str
    done: bool


@dataclass(slots=True)
class ChildGreeted:
    """A child said Hello: it is up and speaks our protocol."""

    index: int
    generation: int
    pid: int


@dataclass(slots=True)
class ChildBeat:
    """A child's loop is alive."""

    index: int
    generation: int


@dataclass(slots=True)
class ChildReported:
    """A child answered a verb."""

    index: int
    generation: int
    report: Report


@dataclass(slots=True)
class ChildExited:
    """A child is confirmed dead. `sent` holds its upload tasks that may have arrived: the job
    board says that their last byte was handed to the socket."""

    index: int
    generation: int
    reason: str
    sent: frozenset[int] = field(default_factory=frozenset)
    killed: bool = False
    """By SIGKILL: an operator's, the system's when memory ran out, or ours when it hung. Nothing
    that it did itself."""


@dataclass(slots=True)
class MemoryRefused:
    """The system did not back the extent of a Fetch or an Into, which was not sent. `told` says
    that the child knows the task already (it was an Into)."""

    task: int
    detail: str
    told: bool


@dataclass(slots=True)
class StoreStalled:
    """The store cannot be written; what is decided meanwhile waits in memory."""

    detail: str


@dataclass(slots=True)
class StoreRecovered:
    """The store takes writes again."""


@dataclass(slots=True)
class DrainAsked:
    """Finish what is in flight, start nothing; at `deadline` stop all the same."""

    deadline: float


@dataclass(slots=True)
class Ticked:
    """Time passed; the engine's `next_deadline` may be due."""


Event = (
    Admitted
    | Loaded
    | HoldsRemembered
    | CancelAsked
    | WakeAsked
    | Forgotten
    | Recalled
    | BatchOpened
    | PageSubmitted
    | ChildGreeted
    | ChildBeat
    | ChildReported
    | ChildExited
    | MemoryRefused
    | StoreStalled
    | StoreRecovered
    | DrainAsked
    | Ticked
)
