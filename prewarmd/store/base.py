"""The store's contract, in lifecycle verbs. SQLite stands behind it now, PostgreSQL later.

Rules that every implementation keeps, and the conformance suite checks:

* A write's awaitable resolves after its commit returned, never before; if the commit failed it
  raises (`StoreUnwritableError`, `StoreDamagedError`) and nothing of it is visible.
* Writes take effect in the order they were asked for, whatever batches they are committed in.
* A record whose job is not in a state that allows it changes nothing (`jobs.states_before`).
* The store answers only what is committed. It never decides order: `claim` hands over pages by
  rising id, the engine orders what it holds.
* A slug's file_ids belong to `bot_id` (the number before the token's colon): a catalogue row of
  another bot_id is never answered as ready.
* Times are Unix seconds, UTC; the wall clock comes in through the constructor (`wall`), so that
  tests own it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from prewarmd.core.about import About
from prewarmd.core.jobs import JobId, JobState, Kind
from prewarmd.core.records import Record


@dataclass(frozen=True, slots=True)
class NewJob:
    """A submit, validated: bot is configured, key is clean, kind is decided."""

    bot: str
    bucket: str
    key: str
    kind: Kind
    sha256: str | None = None
    """Content known beforehand (given, or carried by the key), lower-case hex."""
    size_bytes: int | None = None
    etag: str | None = None
    """The ETag a listing saw; equal to the remembered one means unchanged, without asking."""
    priority: int | None = None
    about: About | None = None


@dataclass(frozen=True, slots=True)
class Admission:
    """What became of one submit, in the order given."""

    job: JobId
    state: JobState
    created: bool


@dataclass(slots=True)
class JobRow:
    """One row of `jobs`, with the file_id its content has for its bot today."""

    id: JobId
    bot: str
    bucket: str
    key: str
    kind: Kind
    state: JobState
    priority: int | None
    attempt: int
    maybe_sent: bool
    size_bytes: int | None
    sha256: str | None
    claimed: bool
    """`sha256` was promised at submit, before any byte was seen."""
    etag: str | None
    """As last seen for (bucket, key)."""
    etag_sha256: str | None
    """The content seen under `etag`."""
    seen_bytes: int | None
    """Its size then."""
    actual_kind: str | None
    file_id: str | None
    file_unique_id: str | None
    error_code: str | None
    error_message: str | None
    is_probe: bool
    """It sends a file_id that is ready once more, to see whether that is still good."""
    not_before_unix: float | None
    created_unix: float
    updated_unix: float
    about: About | None


@dataclass(slots=True)
class Submitted:
    """The outcome of a submit: one admission for each job, rows for those that were created
    unfinished (the engine takes them from here)."""

    admissions: list[Admission]
    rows: list[JobRow]


@dataclass(slots=True)
class MediaRow:
    """One `ready` row of the catalogue."""

    bot: str
    sha256: str
    kind: Kind
    actual_kind: str
    file_id: str
    file_unique_id: str
    ready_unix: float


@dataclass(frozen=True, slots=True)
class Recollection:
    """What the catalogue knows of a content for a bot: whether it is ready, by which file_id, and
    which message bears it (0: none that is known)."""

    ready: bool = False
    file_id: str = ""
    actual_kind: str = ""
    chat_id: int = 0
    message_id: int = 0


@dataclass(frozen=True, slots=True)
class Renewal:
    """What became of the word that a file_id is stale: another is ready by now, or a job is to
    find one (`submitted` then holds it)."""

    ready: MediaRow | None
    submitted: Submitted | None


@dataclass(frozen=True, slots=True)
class Message:
    """A message that bears a media. `media` is the number of the catalogue's row."""

    media: int
    sha256: str
    kind: Kind
    chat_id: int
    message_id: int
    ready_unix: float


@dataclass(slots=True)
class BatchRow:
    """A prefix being listed, and what became of its jobs."""

    id: int
    bot: str
    bucket: str
    prefix: str
    kind: Kind | None
    after: str
    """Checkpoint: keys up to here are submitted."""
    listed: int
    submitted: int
    ready: int
    failed: int
    cancelled: int
    listing_done: bool
    error_code: str | None
    error_message: str | None

    @property
    def finished(self) -> bool:
        """Whether nothing of it is left to do."""
        return self.listing_done and self.ready + self.failed + self.cancelled >= self.submitted


@dataclass(frozen=True, slots=True)
class HoldRow:
    """What is remembered of a chat (chat_id 0: of the whole bot): its limits, and the id that it
    has moved to, else 0."""

    bot: str
    chat_id: int
    until_unix: float
    factor: float
    updated_unix: float
    moved_to: int


@dataclass(slots=True)
class Counts:
    """Committed facts for `status`, kept as running sums (never a table scan per call)."""

    by_state: dict[JobState, int] = field(default_factory=dict)
    unfinished_by_kind: dict[Kind, int] = field(default_factory=dict)
    catalogue_rows: int = 0
    stale_bot_rows: dict[str, int] = field(default_factory=dict)
    """Catalogue rows per slug whose bot_id is no longer the slug's."""
    stale_rows: int = 0
    """Catalogue rows whose file_id Telegram does not take any more, and that are not renewed."""
    deduplicated: int = 0
    """Jobs that became ready without an upload of their own, since this start."""
    possible_duplicates: int = 0
    """Uploads repeated although an earlier one may have arrived, since this start."""


@dataclass(frozen=True, slots=True)
class JobQuery:
    """A page of jobs, newest first."""

    state: JobState | None = None
    bot: str | None = None
    before: JobId | None = None
    """Exclusive: continue below this id."""
    limit: int = 100


class JobStore(Protocol):
    """Everything durable. Opened once, by the one daemon that owns the state directory."""

    bot_ids: Mapping[str, int]
    """slug -> bot_id, as configured now."""

    async def submit(self, jobs: Sequence[NewJob]) -> Submitted:
        """Admit all jobs or none, in one commit.

        For each: an unfinished job of the same (bot, bucket, key, kind) or (bot, sha256, kind) is
        that job, created False. Content is known when `sha256` is given, when `etag` equals the
        remembered one, or when the key was seen within `ttl_s`; known content that is ready for
        the bot answers `ready` at once: the ready job of the same (bot, bucket, key, kind) with
        created False where there is one, else a new row in state ready with created True. Anything
        else is a new queued row, whose JobRow carries the remembered (etag, etag_sha256). What is
        known `about` the media counts in a new row alone: a job that exists keeps its own.
        """
        ...

    async def apply(self, records: Sequence[Record]) -> None:
        """Write one turn of the engine, in order, in one commit."""
        ...

    async def recall(self, asked: Sequence[tuple[str, str, Kind]]) -> list[Recollection]:
        """What is known of each (bot, sha256, kind), as of everything written before this call."""
        ...

    async def stale(self, bot: str, sha256: str, kind: Kind, file_id: str | None) -> Renewal | None:
        """A client says that the file_id of a content (this one, if it names one) is good no more:
        the content is not ready from then on, and the job is admitted, in one commit, that will
        make it so again. None when the catalogue has no such content of the bot, or does not know
        its object. Another file_id than the ready one changes nothing."""
        ...

    async def probe(self, chance: float) -> list[JobRow]:
        """Admit a job that finds out whether a file_id is still good, of a media chosen by
        `chance` (in [0, 1)) among all that are ready; none when there is none."""
        ...

    async def messages(self, bot: str, before_unix: float, after: int, limit: int) -> list[Message]:
        """A page of the messages that are kept of a bot's media which were ready before then, by
        rising `media`, above `after`."""
        ...

    async def forget_messages(self, bot: str, gone: Sequence[tuple[int, int]]) -> int:
        """These (media, message_id) are deleted: nobody is to forward them; how many were known."""
        ...

    async def adopt_orphans(self) -> int:
        """At start: every `running` row becomes queued and maybe_sent, uncharged; how many."""
        ...

    async def holds(self) -> list[HoldRow]:
        """What was remembered of the limits of bots that are still the slug's."""
        ...

    async def claim(self, after: JobId, limit: int) -> list[JobRow]:
        """A page of unfinished rows with ids above `after`, rising. Empty: there is no more."""
        ...

    async def retry(self, job: JobId) -> JobRow | JobState | None:
        """failed or cancelled -> queued with attempt 0: the row. Otherwise the state that forbids
        it (`queued` also when another unfinished job is the same), or None when unknown."""
        ...

    async def cancel(self, job: JobId) -> JobState | None:
        """queued or waiting -> cancelled, for a job the engine does not hold. The state it has
        now, or None when unknown."""
        ...

    async def add_batch(self, bot: str, bucket: str, prefix: str, kind: Kind | None) -> BatchRow:
        """Acknowledge a prefix: it will be listed whatever happens."""
        ...

    async def submit_page(
        self, batch: int, jobs: Sequence[NewJob], listed: int, after: str, done: bool
    ) -> Submitted:
        """`submit` for one listed page plus the batch's checkpoint, in one commit."""
        ...

    async def fail_batch(self, batch: int, code: str, detail: str) -> None:
        """The listing cannot go on (bucket gone); what was submitted stays."""
        ...

    async def open_batches(self) -> list[BatchRow]:
        """Batches whose listing is not done."""
        ...

    async def batch(self, batch: int) -> BatchRow | None:
        """One batch with its counts."""
        ...

    async def job(self, job: JobId) -> JobRow | None:
        """One job."""
        ...

    async def jobs(self, query: JobQuery) -> list[JobRow]:
        """A page of jobs."""
        ...

    async def media(self, bot: str, sha256: str, kind: Kind) -> MediaRow | None:
        """The catalogue's ready row for a content."""
        ...

    async def media_by_key(
        self, bot: str, bucket: str, key: str, kind: Kind | None
    ) -> MediaRow | None:
        """The ready row for the content last seen under a key, or last made ready for it."""
        ...

    async def latest_job(
        self,
        bot: str,
        *,
        bucket: str | None = None,
        key: str | None = None,
        sha256: str | None = None,
        kind: Kind | None = None,
    ) -> JobRow | None:
        """The newest job for a key or a content (of a kind): what a 404 tells the state of."""
        ...

    def counts(self) -> Counts:
        """Committed sums."""
        ...

    async def close(self) -> None:
        """Finish what was asked, checkpoint, close. Idempotent."""
        ...
