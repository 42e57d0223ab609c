"""Shortcuts: ways to a file_id without the object's bytes.

What is known of a content may spare its download and its upload: a message that an earlier upload
left in a warm-up chat, the file_id that is in doubt, or a URL at which Telegram can fetch the
object itself. A shortcut costs a message as every send does, and no memory.

It is a try. What refuses it refuses the way, not the media: it is remembered, and the job goes on
by the next way that is known, in the end by its bytes. What stops everybody (a pause, a refused
chat, a broken connection) stops a shortcut like any upload, and it is tried again.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ByMessage:
    """Forward a message that bears the media: its copy bears a fresh file_id (telegram.md 3)."""

    chat_id: int
    message_id: int


@dataclass(frozen=True, slots=True)
class ByFileId:
    """Send the file_id, to see whether it is still good."""

    file_id: str
    actual_kind: str
    """What it is to Telegram, which decides the method."""


@dataclass(frozen=True, slots=True)
class ByUrl:
    """Let Telegram fetch the object."""


Shortcut = ByMessage | ByFileId | ByUrl
