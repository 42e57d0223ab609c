"""A job: one object of the store that one bot is to know under one kind.

Six durable states, and one table of what may follow what. `advance` is the only way from one
state to the next; an event that a state does not know raises and changes nothing. Stages finer
than these (fetching, uploading) are not durable: they live on the job board (`core.stage`) and in
the engine's memory.

At-least-once is stated, not hidden: a crash between Telegram's answer and our commit uploads
twice, into a warm-up chat, and is counted.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import NewType

from prewarmd.core.about import About
from prewarmd.core.ready_queue import Item
from prewarmd.core.shortcut import Shortcut
from prewarmd.core.transitions import after
from prewarmd.core.trouble import Trouble

JobId = NewType("JobId", int)
"""The store's row id; `public_id` is how it is spoken of outside."""

JOB_ID_MAX = (1 << 63) - 1
"""What a store's integer holds."""


class Word(StrEnum):
    """A word of a closed vocabulary. Enum hashes in Python code; these stand in keys on every
    path, so they hash as the strings that they are."""

    __hash__ = str.__hash__


class Kind(Word):
    """What a media is to Telegram; it decides the method, and binds the file_id (telegram.md 1)."""

    PHOTO = "photo"
    VIDEO = "video"
    DOCUMENT = "document"
    AUDIO = "audio"
    ANIMATION = "animation"
    VOICE = "voice"
    VIDEO_NOTE = "video_note"
    STICKER = "sticker"


class JobState(Word):
    """The durable states; the words are the same in SQL, JSON, metrics and logs."""

    QUEUED = "queued"
    """Acknowledged; will run when its turn comes."""
    RUNNING = "running"
    """With a child. Found so at a start, the supervisor died: see `JobEvent.ORPHANED`."""
    WAITING = "waiting"
    """Will be queued again at `not_before`."""
    READY = "ready"
    """The catalogue holds its file_id, committed."""
    FAILED = "failed"
    """Given up, with an error that names the reason. `retry` queues it again."""
    CANCELLED = "cancelled"
    """Taken back by a client before an upload began."""


UNFINISHED = frozenset({JobState.QUEUED, JobState.RUNNING, JobState.WAITING})
FINISHED = frozenset(JobState) - UNFINISHED


class JobEvent(Word):
    """What can happen to a job."""

    STARTED = "started"
    """Handed to a child."""
    COMPLETED = "completed"
    """Its file_id is known: by its own upload, or because the content was ready already."""
    FAILED = "failed"
    SNOOZED = "snoozed"
    """Must wait until a time; whether that charged an attempt is not this table's business."""
    RELEASED = "released"
    """Back in the queue, uncharged: nothing was wrong with the job."""
    WOKEN = "woken"
    """Its `not_before` has passed, or somebody asked for it now."""
    CANCELLED = "cancelled"
    RETRIED = "retried"
    """A person wants a finished job tried again."""
    ORPHANED = "orphaned"
    """Found `running` at a start: its supervisor died, the upload may have arrived."""


TRANSITIONS: dict[JobState, dict[JobEvent, JobState]] = {
    JobState.QUEUED: {
        JobEvent.STARTED: JobState.RUNNING,
        JobEvent.COMPLETED: JobState.READY,
        JobEvent.FAILED: JobState.FAILED,
        JobEvent.SNOOZED: JobState.WAITING,
        JobEvent.RELEASED: JobState.QUEUED,
        JobEvent.CANCELLED: JobState.CANCELLED,
    },
    JobState.RUNNING: {
        JobEvent.COMPLETED: JobState.READY,
        JobEvent.FAILED: JobState.FAILED,
        JobEvent.SNOOZED: JobState.WAITING,
        JobEvent.RELEASED: JobState.QUEUED,
        JobEvent.CANCELLED: JobState.CANCELLED,
        JobEvent.ORPHANED: JobState.QUEUED,
    },
    JobState.WAITING: {
        JobEvent.WOKEN: JobState.QUEUED,
        JobEvent.COMPLETED: JobState.READY,
        JobEvent.FAILED: JobState.FAILED,
        JobEvent.CANCELLED: JobState.CANCELLED,
    },
    JobState.READY: {},
    JobState.FAILED: {JobEvent.RETRIED: JobState.QUEUED},
    JobState.CANCELLED: {JobEvent.RETRIED: JobState.QUEUED},
}


def advance(state: JobState, event: JobEvent) -> JobState:
    """What `state` becomes when `event` happens; raises IllegalTransitionError naming both."""
    return after(TRANSITIONS, state, event, "job")


def states_before(event: JobEvent) -> frozenset[JobState]:
    """The states in which `event` may happen: a store write's precondition."""
    return frozenset(state for state, row in TRANSITIONS.items() if event in row)


class Phase(Word):
    """Where the engine has a job: finer than its state, in memory only."""

    QUEUED = "queued"
    """In its bot's ready queue."""
    SLEEPING = "sleeping"
    """Waiting for `not_before`."""
    FETCHING = "fetching"
    """Waits for a flight: a GET that brings its object into the arena."""
    RECALLING = "recalling"
    """Its content became known; the catalogue is being asked whether it is ready already."""
    JOINED = "joined"
    """Another job of the same (bot, content, kind) is ahead; shares its outcome."""
    LOADED = "loaded"
    """Bytes pinned in the arena; waits for its bot's lane."""
    TRAILING = "trailing"
    """On its way to Telegram while its bytes still come; the closing boundary is withheld until its
    content is known to be whole, and new to its bot."""
    UPLOADING = "uploading"
    """With a child, on its way to Telegram."""


@dataclass(slots=True, eq=False)
class Job(Item):
    """An unfinished job as the engine holds it. Times are the engine's monotonic seconds."""

    id: JobId
    bot: str
    bucket: str
    key: str
    kind: Kind
    created: float
    priority: int | None = None
    """0..255, replaces the score; larger first."""
    sha256: str | None = None
    """The content, once known: claimed by the client, carried by the key, or hashed."""
    claimed: bool = False
    """`sha256` was promised before any byte was seen, so a fetch must verify it."""
    size_bytes: int | None = None
    etag: str | None = None
    """The ETag under which this key was last seen, for a conditional request."""
    etag_sha256: str | None = None
    """The content seen then."""
    attempt: int = 0
    """Charged attempts so far."""
    maybe_sent: bool = False
    """An upload of it may have arrived unanswered."""
    trouble: Trouble | None = None
    """What befell it in this life of the daemon; None while nothing did."""
    starved: bool = False
    """It had waited so long that it went before all levels."""
    relay: bool = False
    """Its object is too large for the cache: it passes through a child."""
    shortcut: Shortcut | None = None
    """The way by which it is sent without its bytes, while it is loaded or on its way."""
    is_probe: bool = False
    """It finds out whether a file_id that is ready is still good."""
    suspect: bool = False
    """A child died with it in hand, or over its object: until it has done well, it has a child for
    itself."""
    not_before: float = 0.0
    about: About | None = None
    """What its client said of the media; most say nothing."""
    state: JobState = JobState.QUEUED
    phase: Phase = Phase.QUEUED

    @property
    def is_light(self) -> bool:
        """Whether its bytes take no memory here."""
        return self.relay or self.shortcut is not None

    @property
    def file_name(self) -> str:
        """What its media is called."""
        return self.key.rpartition("/")[2] or self.key

    @property
    def thumbnail(self) -> str:
        """The key of its thumbnail; "" when it has none."""
        return self.about.thumbnail if self.about else ""

    def in_trouble(self) -> Trouble:
        """What befell it, to be added to."""
        if self.trouble is None:
            self.trouble = Trouble()
        return self.trouble

    def happen(self, event: JobEvent) -> None:
        """Move to the state that follows; the only place that assigns `state`."""
        self.state = after(TRANSITIONS, self.state, event, "job")


def public_id(job: JobId) -> str:
    """The opaque text by which clients know a job."""
    return f"j{job:08x}"


def parse_public_id(text: str) -> JobId | None:
    """The job meant by `text`, or None when it is no id of ours."""
    digits = text[1:]
    if text[:1] != "j" or not 8 <= len(digits) <= 16 or digits.strip("0123456789abcdef"):
        return None
    number = int(digits, 16)
    return JobId(number) if number <= JOB_ID_MAX else None
