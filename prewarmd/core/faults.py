"""Every way in which work on a job goes wrong, as one table of data.

A child reports a code and never decides; the engine looks the code up here. A job's `error.code`
is always a key of this table. Facts about Telegram's answers: the Bot API error catalogue
(design paper telegram.md, section 5); about R2's: its error-code page.

Only what is a job's own doing burns its attempts. A server that fails may fail for everybody, so
such a failure is charged by evidence alone: when, since the job's last failure, the same upstream
has served somebody else. An outage charges nobody, however long it lasts.
"""

from dataclasses import dataclass
from enum import StrEnum


class Remedy(StrEnum):
    """What the engine does about a fault."""

    GIVE_UP = "give_up"
    """It will never succeed: the job fails at once."""
    RETRY = "retry"
    """Surely not sent: wait with back-off."""
    RETRY_LATE = "retry_late"
    """Maybe sent: mark it, and wait longer before it is tried again."""
    RELEASE = "release"
    """Not the job's doing: back to the queue, uncharged."""
    PAUSE_CHAT = "pause_chat"
    """A rate limit: its lane waits for `retry_after_s`, the job is released."""
    CLOSE_CHAT = "close_chat"
    """The warm-up chat refuses us: close the lane, look again later, the job is released."""
    CLOSE_KIND = "close_kind"
    """The warm-up chat refuses this kind alone: others still go there, the job is released."""
    CLOSE_BOT = "close_bot"
    """The bot's token is refused: close the bot, look again later, the job is released."""
    CLOSE_BUCKET = "close_bucket"
    """The bucket refuses us: close it, probe later, the job is released."""


class Charge(StrEnum):
    """Whether a fault burns one of the job's attempts."""

    NEVER = "never"
    EVIDENCE = "evidence"
    """When the upstream has served somebody else since the job's last failure."""
    ALWAYS = "always"


@dataclass(frozen=True, slots=True)
class Fault:
    """One code: what it means to a person and what is done about it. `strains`: so many of it in a
    row mean that the upstream is down. `is_ours`: nobody was asked, so it tells nothing of a chat
    or a bot. `is_verdict`: told twice in a row, it is believed; chat and bot are good enough to say
    so."""

    remedy: Remedy
    meaning: str
    charge: Charge = Charge.NEVER
    strains: bool = False
    is_ours: bool = False
    is_verdict: bool = False


FAULTS: dict[str, Fault] = {
    # The object.
    "NoSuchKey": Fault(Remedy.GIVE_UP, "the bucket holds no such object"),
    "Sha256Mismatch": Fault(Remedy.GIVE_UP, "the object's bytes are not the promised ones"),
    "TooLarge": Fault(Remedy.GIVE_UP, "larger than Telegram, or the cache, takes"),
    "EmptyObject": Fault(Remedy.GIVE_UP, "the object has no bytes; Telegram refuses empty files"),
    "UnfitPhoto": Fault(
        Remedy.GIVE_UP, "Telegram would not take it as a photo; nothing was sent", is_ours=True
    ),
    "NoThumbnail": Fault(
        Remedy.GIVE_UP, "the bucket holds no such thumbnail; nothing was sent", is_ours=True
    ),
    "UnfitThumbnail": Fault(
        Remedy.GIVE_UP, "Telegram would not use the thumbnail; nothing was sent", is_ours=True
    ),
    # The store.
    "BadCredentials": Fault(Remedy.CLOSE_BUCKET, "the store refuses our credentials"),
    "NoSuchBucket": Fault(Remedy.CLOSE_BUCKET, "the store has no such bucket"),
    "StoreUnreachable": Fault(Remedy.CLOSE_BUCKET, "the store cannot be reached"),
    "StoreError": Fault(
        Remedy.RETRY, "the store answered with an error of its own", Charge.EVIDENCE, strains=True
    ),
    "StoreTimeout": Fault(Remedy.RETRY, "the store went silent", Charge.EVIDENCE, strains=True),
    "ShortBody": Fault(
        Remedy.RETRY, "the download ended before all bytes had come", Charge.EVIDENCE, strains=True
    ),
    "ObjectChanged": Fault(Remedy.RELEASE, "the object changed while it was read"),
    # Telegram.
    "TooManyRequests": Fault(Remedy.PAUSE_CHAT, "Telegram asks for a pause"),
    "ChatRefused": Fault(Remedy.CLOSE_CHAT, "the bot may not post to its warm-up chat"),
    "ChatNotFound": Fault(Remedy.CLOSE_CHAT, "the warm-up chat does not exist for this bot"),
    "KindRefused": Fault(
        Remedy.CLOSE_KIND, "the warm-up chat takes no media of this kind; others do go there"
    ),
    "ChatMigrated": Fault(Remedy.CLOSE_CHAT, "the warm-up chat has moved to another id"),
    "Unauthorized": Fault(Remedy.CLOSE_BOT, "Telegram refuses the bot's token"),
    "MessageGone": Fault(Remedy.GIVE_UP, "the message that bore the media cannot be forwarded"),
    "UrlRefused": Fault(Remedy.GIVE_UP, "Telegram could not fetch the object by its URL"),
    "MediaRefused": Fault(Remedy.GIVE_UP, "Telegram refuses this media"),
    "PhotoNotProcessed": Fault(
        Remedy.RETRY_LATE,
        "Telegram says that it cannot process the photo, which it also says of good ones",
        Charge.ALWAYS,
        is_verdict=True,
    ),
    # Perhaps it is our request, and not the media: five in a row, and the bot waits, or a queue
    # would fail, job by job.
    "RequestRefused": Fault(
        Remedy.RETRY,
        "Telegram refuses the request: a fault in prewarmd itself, or a server that is too old",
        Charge.ALWAYS,
        strains=True,
        is_verdict=True,
    ),
    "UnknownRefusal": Fault(
        Remedy.RETRY,
        "Telegram refuses the request, in words that prewarmd does not know",
        Charge.ALWAYS,
        strains=True,
        is_verdict=True,
    ),
    "TelegramUnreachable": Fault(
        Remedy.RETRY, "Telegram cannot be reached", Charge.EVIDENCE, strains=True
    ),
    "UploadCut": Fault(
        Remedy.RETRY,
        "the connection broke before the last byte was sent",
        Charge.EVIDENCE,
        strains=True,
    ),
    "TelegramError": Fault(
        Remedy.RETRY_LATE,
        "Telegram answered with an error of its own",
        Charge.EVIDENCE,
        strains=True,
    ),
    "NoAnswer": Fault(
        Remedy.RETRY_LATE, "sent in full, but no answer came", Charge.ALWAYS, strains=True
    ),
    "BadAnswer": Fault(
        Remedy.RETRY_LATE,
        "sent in full, but the answer cannot be read",
        Charge.ALWAYS,
        strains=True,
    ),
    "NoFileId": Fault(Remedy.GIVE_UP, "Telegram's answer bears no file_id"),
    # Ours.
    "ChildDied": Fault(Remedy.RELEASE, "its process died before the last byte was sent"),
    "MaybeSent": Fault(
        Remedy.RETRY_LATE, "its process died after the last byte was sent", Charge.ALWAYS
    ),
    "Poison": Fault(Remedy.GIVE_UP, "each process that takes it dies"),
    "NoMemory": Fault(Remedy.RETRY, "the system gave no memory for the download"),
    "Stopped": Fault(Remedy.RELEASE, "the daemon was stopped"),
    "Bug": Fault(Remedy.RETRY, "a fault in prewarmd itself; the log has the trace", Charge.ALWAYS),
}
