"""What the engine wants written down, in a job's own words. One turn's records are one commit.

Each record carries its precondition by meaning: the store applies it only where the job's state
allows the event (`jobs.states_before`), so a record that comes late changes nothing.
"""

from dataclasses import dataclass

from prewarmd.core.jobs import JobEvent, JobId


@dataclass(slots=True)
class Start:
    """queued -> running, handed to a child under this attempt number."""

    job: JobId
    attempt: int


@dataclass(slots=True)
class Complete:
    """-> ready, by an upload of its own: the catalogue gets its row in the same commit."""

    job: JobId
    bot: str
    sha256: str
    kind: str
    actual_kind: str
    size_bytes: int
    file_id: str
    file_unique_id: str
    chat_id: int
    message_id: int
    duplicates: int = 0
    """1 when an earlier attempt may have arrived too."""
    waited_s: float = 0.0
    """From its enqueueing to now; for telemetry."""


@dataclass(slots=True)
class Join:
    """-> ready without an upload of its own: the catalogue holds (bot, sha256, kind) already."""

    job: JobId
    bot: str
    sha256: str
    size_bytes: int
    waited_s: float = 0.0


@dataclass(slots=True)
class Fail:
    """-> failed, with a code of `faults.FAULTS`; `maybe_sent`: an upload may have arrived."""

    job: JobId
    code: str
    detail: str
    attempt: int
    maybe_sent: bool = False


@dataclass(slots=True)
class Snooze:
    """-> waiting until `not_before` (engine time; the shell turns it into wall time)."""

    job: JobId
    not_before: float
    code: str
    detail: str
    attempt: int
    maybe_sent: bool


@dataclass(slots=True)
class Wake:
    """waiting -> queued."""

    job: JobId


@dataclass(slots=True)
class Release:
    """-> queued, uncharged; `code` "" when there is nothing to tell."""

    job: JobId
    code: str
    detail: str


@dataclass(slots=True)
class Cancel:
    """-> cancelled."""

    job: JobId


@dataclass(slots=True)
class See:
    """The object under (bucket, key) has this ETag and content, as the store said when it was
    `asked` (engine time), which is a GET's duration ago."""

    bucket: str
    key: str
    etag: str
    sha256: str
    size_bytes: int
    asked: float


@dataclass(slots=True)
class Hold:
    """Nothing is sent to a chat (0: to any of the bot's) until `until` (engine time), and its pace
    is `factor` times the documented one. A restart must not fire into a running penalty.
    `moved_to`: the id that the chat has by now; 0 while it is the one it had."""

    bot: str
    chat_id: int
    until: float
    factor: float
    moved_to: int = 0


@dataclass(slots=True)
class FileIdStale:
    """Telegram does not take this file_id any more; what is ready by now may be another."""

    bot: str
    sha256: str
    kind: str
    file_id: str
    detail: str


@dataclass(slots=True)
class MessageGone:
    """The message that bore a media cannot be forwarded."""

    bot: str
    sha256: str
    kind: str
    chat_id: int
    message_id: int


Jobless = See | Hold | FileIdStale | MessageGone
"""What says nothing of a job."""
Record = Start | Complete | Join | Fail | Snooze | Wake | Release | Cancel | Jobless

EVENT_OF: dict[type[Record], JobEvent] = {
    Start: JobEvent.STARTED,
    Complete: JobEvent.COMPLETED,
    Join: JobEvent.COMPLETED,
    Fail: JobEvent.FAILED,
    Snooze: JobEvent.SNOOZED,
    Wake: JobEvent.WOKEN,
    Release: JobEvent.RELEASED,
    Cancel: JobEvent.CANCELLED,
}
"""What each says of a job."""
