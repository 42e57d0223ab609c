"""What a child can be asked to do. Being sent a verb *is* the permission: a child has no policy.

These are both the engine's commands and, encoded by `messages`, what goes over the pipe. `task` is
a number the engine never uses twice, so an answer to an older attempt cannot be mistaken. `row` is
the job-board row the child writes to while it works.
"""

from dataclasses import dataclass

from prewarmd.core.about import About


@dataclass(slots=True)
class Fetch:
    """GET an object into the arena.

    With `offset` -1 the size is not known: answer `Opened` once the head is in, and hold the body
    until `Into` or `Drop` comes. A size that differs from `size_bytes` is answered by `Opened` too.
    """

    task: int
    row: int
    job: int
    attempt: int
    bucket: str
    key: str
    offset: int
    size_bytes: int
    """-1: unknown."""
    etag: str
    """If-None-Match; "" for none. A 304 is answered by `Unchanged`."""
    sha256: str
    """What the bytes must hash to; "" when nobody knows yet."""


@dataclass(slots=True)
class Into:
    """Memory for a fetch that was opened: its body goes to this extent."""

    task: int
    offset: int
    size_bytes: int


@dataclass(slots=True)
class Drop:
    """Give a fetch up, or an upload that is not sealed: close its connection, then answer
    `FetchFailed` or `UploadFailed` with code Stopped, so that its slot and memory are known to be
    free. The uploads behind a fetch answer before it."""

    task: int


@dataclass(slots=True)
class Upload:
    """Send the extent to a chat; the answer is `Uploaded` or `UploadFailed`, or `FetchFailed` when
    its thumbnail could not be had: then nothing was sent.

    With `behind` the bytes are sent as they land, and the closing boundary is withheld until `Seal`
    comes. `Drop`, or a fetch that fails, ends it unsent: `UploadFailed` with code Stopped.
    """

    task: int
    row: int
    job: int
    attempt: int
    bot: str
    chat_id: int
    kind: str
    offset: int
    size_bytes: int
    file_name: str
    behind: int = 0
    """The fetch in the same child that it follows; 0: all bytes are here."""
    bucket: str = ""
    """Where the thumbnail is; "" when it has none."""
    about: About | None = None


@dataclass(slots=True)
class Relay:
    """Send an object that passes through a small window of the child's own.

    Once its bytes are through, and verified, the answer is `Passed`; then it waits for `Seal` or
    `Drop`, and ends as an `Upload` does. What goes wrong at the store is answered by `FetchFailed`,
    a size that differs from `size_bytes` by `Opened`.
    """

    task: int
    row: int
    job: int
    attempt: int
    bot: str
    chat_id: int
    kind: str
    bucket: str
    key: str
    size_bytes: int
    sha256: str
    """What the bytes must hash to; "" when nobody knows yet."""
    file_name: str
    about: About | None = None


@dataclass(slots=True)
class Forward:
    """Forward a message to a chat, for the file_id of its copy; answered as an `Upload` is."""

    task: int
    row: int
    job: int
    attempt: int
    bot: str
    chat_id: int
    kind: str
    from_chat_id: int
    message_id: int


@dataclass(slots=True)
class Resend:
    """Send a file_id to a chat; answered as an `Upload` is."""

    task: int
    row: int
    job: int
    attempt: int
    bot: str
    chat_id: int
    kind: str
    """What it is to Telegram."""
    file_id: str


@dataclass(slots=True)
class Link:
    """Send a URL of an object to a chat, for Telegram to fetch; answered as an `Upload` is."""

    task: int
    row: int
    job: int
    attempt: int
    bot: str
    chat_id: int
    kind: str
    bucket: str
    key: str
    size_bytes: int


@dataclass(slots=True)
class Seal:
    """Send the closing boundary of an upload that waits for it."""

    task: int


@dataclass(slots=True)
class List:
    """List one page of a bucket, keys after `after`; the answer is `Listed` or `ListFailed`."""

    task: int
    bucket: str
    prefix: str
    after: str


@dataclass(slots=True)
class Head:
    """Ask for the sizes of objects; the answer is `Headed` or `HeadFailed`."""

    task: int
    bucket: str
    keys: list[str]


@dataclass(slots=True)
class AskChat:
    """Ask what kind a chat is; the answer is `ChatKnown` or `ChatUnknown`."""

    task: int
    bot: str
    chat_id: int


Light = Forward | Resend | Link
"""Sends without bytes."""
Verb = Fetch | Into | Drop | Upload | Relay | Light | Seal | List | Head | AskChat
