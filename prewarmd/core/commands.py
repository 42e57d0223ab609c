"""Everything the engine can ask of the shell, in the imperative. Records are commands too: all
records of one turn are one commit."""

from dataclasses import dataclass

from prewarmd.core.jobs import JobId, JobState, Kind
from prewarmd.core.records import Record
from prewarmd.core.verbs import Verb


@dataclass(slots=True)
class Tell:
    """Send a verb to a child. A Fetch or Into with an extent: back its memory first, and answer
    `MemoryRefused` when the system will not."""

    index: int
    verb: Verb


@dataclass(slots=True)
class Spawn:
    """Start a child; it greets or exits."""

    index: int
    generation: int


@dataclass(slots=True)
class Kill:
    """End a child with SIGKILL; its exit will be reported."""

    index: int
    generation: int
    reason: str


@dataclass(slots=True)
class Retire:
    """Ask a child to finish and exit."""

    index: int
    generation: int


@dataclass(slots=True)
class Recall:
    """Ask the catalogue; answered by `Recalled`."""

    job: JobId
    bot: str
    sha256: str
    kind: Kind


@dataclass(slots=True)
class SubmitPage:
    """Submit a listed page; answered by `PageSubmitted` (and `Admitted`)."""

    batch: int
    objects: list[tuple[str, int, str]]
    after: str
    done: bool


@dataclass(slots=True)
class FailBatch:
    """A listing cannot go on."""

    batch: int
    code: str
    detail: str


@dataclass(slots=True)
class Reply:
    """The answer to a client's question: None when done, else the state that forbids it.
    `known` False: the engine does not hold the job; the store decides."""

    ticket: int
    refused_by: JobState | None = None
    known: bool = True


@dataclass(slots=True)
class Finish:
    """Nothing is in flight and no child lives: the daemon may end. `failure` says why it must."""

    failure: str = ""


Command = Tell | Spawn | Kill | Retire | Recall | SubmitPage | FailBatch | Reply | Finish | Record
