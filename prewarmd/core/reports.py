"""What a child answers. Past tense: each has happened. The engine takes them as events."""

from dataclasses import dataclass


@dataclass(slots=True)
class Opened:
    """A fetch's head is in and it needs an extent of `size_bytes`."""

    task: int
    size_bytes: int
    etag: str


@dataclass(slots=True)
class Fetched:
    """All bytes are in the extent; length and hash were verified."""

    task: int
    size_bytes: int
    sha256: str
    etag: str


@dataclass(slots=True)
class Landing:
    """The first bytes of a large object are in its extent: enough to tell what it is."""

    task: int
    size_bytes: int


@dataclass(slots=True)
class Passed:
    """All bytes of a relay went through, and length and hash were verified; it waits for `Seal`."""

    task: int
    size_bytes: int
    sha256: str
    etag: str


@dataclass(slots=True)
class Unchanged:
    """The store says the object is still the one with the ETag we asked about."""

    task: int


@dataclass(slots=True)
class FetchFailed:
    """`code` is a key of `core.faults.FAULTS`, `detail` a line for a person."""

    task: int
    code: str
    detail: str


@dataclass(slots=True)
class Uploaded:
    """Telegram's answer bears a file_id. `actual_kind` is the key it was found under."""

    task: int
    file_id: str
    file_unique_id: str
    actual_kind: str
    message_id: int
    answer_s: float
    """From the last byte to the answer."""
    detail: str = ""
    """Why the child sent it as another kind than was asked for; "" when it did not."""


@dataclass(slots=True)
class UploadFailed:
    """`retry_after_s` 0 when Telegram named none."""

    task: int
    code: str
    detail: str
    retry_after_s: float
    migrated_to: int
    """The chat's new id, else 0."""
    answer_s: float = 0.0
    """From the last byte to the answer; 0 when it came before."""


@dataclass(slots=True)
class Listed:
    """One page; `objects` are (key, size, etag), `after` is "" when there is no more."""

    task: int
    objects: list[tuple[str, int, str]]
    after: str


@dataclass(slots=True)
class ListFailed:
    """A page could not be had; `code` as in `FetchFailed`."""

    task: int
    code: str
    detail: str


@dataclass(slots=True)
class Headed:
    """Sizes in the order of the keys asked about; -1 where the store had nothing to say."""

    task: int
    sizes: list[int]


@dataclass(slots=True)
class HeadFailed:
    """No size could be had; `code` as in `FetchFailed`."""

    task: int
    code: str
    detail: str


@dataclass(slots=True)
class ChatKnown:
    """getChat answered: `kind` is private, group, supergroup or channel."""

    task: int
    kind: str


@dataclass(slots=True)
class ChatUnknown:
    """getChat was refused or not answered; `code` is a key of FAULTS."""

    task: int
    code: str
    detail: str


Report = (
    Opened
    | Landing
    | Fetched
    | Passed
    | Unchanged
    | FetchFailed
    | Uploaded
    | UploadFailed
    | Listed
    | ListFailed
    | Headed
    | HeadFailed
    | ChatKnown
    | ChatUnknown
)
