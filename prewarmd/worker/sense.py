"""What the first bytes of a media tell: its type, a picture's size, whether it passes as a photo.

Telegram refuses photos that are too large, too long, too narrow or no pictures (telegram.md 1 and
5), and says so only after the last byte. Here that is known before the first one is sent. Pure: it
looks at no more than what has landed, so an upload can begin before the rest is there, and what
cannot be seen yet is unknown, never guessed: Telegram judges it then. No picture is decoded.

Cost: 30 to 45 us for a picture, 3 to 12 for the rest, and never more than `READS_MAX` small reads,
whatever the bytes are (0.6 ms). The media is not copied, but for the `TYPE_BYTES` at its beginning.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import filetype
import imagesize

from prewarmd.core.content import EXTENSIONS
from prewarmd.core.jobs import Kind
from prewarmd.core.policy import PHOTO_BYTES_MAX
from prewarmd.worker.answers import Refused

PHOTO_SIDES_MAX = 10_000
"""Width and height together, in pixels."""
PHOTO_RATIO_MAX = 20
TYPE_BYTES = 8192
"""As much as filetype looks at."""
READS_MAX = 1024
"""A JPEG's frame may stand behind any number of segments, at three reads each: enough for 10 MB of
the longest. The bound is for garbage, which is searched for a marker byte by byte."""
OCTETS = "application/octet-stream"

PHOTO_EXTENSIONS: dict[str, tuple[str, ...]] = {
    "image/jpeg": ("jpg", "jpeg"),
    "image/png": ("png",),
    "image/apng": ("png",),
    "image/gif": ("gif",),
    "image/bmp": ("bmp",),
    "image/tiff": ("tif",),
    "image/webp": ("jpg", "jpeg", "png"),
}
"""What sendPhoto takes, and under which names: "use one of .jpg, .jpeg, .gif, .png, .tif or .bmp"
(Bot API server, PHOTO_EXT_INVALID). WebP is read as well, but has no name in that list; a photo's
name is not kept, and its bytes decide what it is."""


def _moving(head: bytes) -> Any:
    """Pictures that may move, or films."""
    return filetype.video_match(head) or filetype.image_match(head)


_MATCHERS: dict[Kind, Callable[[bytes], Any]] = {
    Kind.PHOTO: filetype.image_match,
    Kind.VIDEO: filetype.video_match,
    Kind.AUDIO: filetype.audio_match,
    Kind.ANIMATION: _moving,
    Kind.VOICE: filetype.audio_match,
    Kind.VIDEO_NOTE: filetype.video_match,
    Kind.STICKER: _moving,
}
"""A document is none: nothing depends on its type."""


@dataclass(frozen=True, slots=True)
class Sensed:
    """How a media is to be sent: as what, under which name."""

    kind: Kind
    file_name: str
    content_type: str
    width: int = 0
    """In pixels; 0 when unknown."""
    height: int = 0
    refusal: Refused | None = None
    """Why Telegram would refuse it, or would have refused it as what was asked for."""


def sense(prefix: memoryview, size_bytes: int, kind: Kind, file_name: str) -> Sensed:
    """Look at a media of `size_bytes` that is wanted as `kind`, of which `prefix` has landed. Never
    raises; 64 KiB tell everything of nearly all media."""
    match = _MATCHERS.get(kind)
    found = match(bytes(prefix[:TYPE_BYTES])) if match else None
    content_type = found.mime if found else OCTETS
    name = _named(file_name, kind, content_type, found.extension) if found else file_name
    if kind is not Kind.PHOTO:
        sides = _measure(prefix, size_bytes) if content_type == "image/gif" else UNKNOWN
        return Sensed(kind, name, content_type, *(sides if min(sides) > 0 else UNKNOWN))
    if content_type in PHOTO_EXTENSIONS:
        width, height = _measure(prefix, size_bytes)
    else:
        is_short = found is None and len(prefix) < min(size_bytes, TYPE_BYTES)
        width, height = UNKNOWN if is_short else NO_PICTURE
    refusal = _misfit(width, height, size_bytes)
    return Sensed(kind, name, content_type, max(0, width), max(0, height), refusal)


def sendable(
    prefix: memoryview, size_bytes: int, kind: Kind, file_name: str, *, fall_back: bool
) -> Sensed | Refused:
    """As `sense`; what would be refused is `Refused`, unless it is a photo and may `fall_back` to a
    document."""
    sensed = sense(prefix, size_bytes, kind, file_name)
    if sensed.refusal is None:
        return sensed
    if fall_back and kind is Kind.PHOTO:
        return replace(sensed, kind=Kind.DOCUMENT, file_name=file_name)
    return sensed.refusal


def _named(file_name: str, kind: Kind, content_type: str, extension: str) -> str:
    """Under an extension by which the server takes it for what it is."""
    stem, dot, given = file_name.rpartition(".")
    stem, given = (stem, given.lower()) if dot else (file_name, "")
    if kind is Kind.PHOTO:
        names = PHOTO_EXTENSIONS.get(content_type, (given,))
        return file_name if given in names else f"{stem}.{names[0]}"
    return file_name if given in EXTENSIONS[kind] else f"{stem}.{extension}"


UNKNOWN, NO_PICTURE = (0, 0), (-1, -1)
"""In the place of width and height."""


def _measure(prefix: memoryview, size_bytes: int) -> tuple[int, int]:
    """Width and height, or one of the above."""
    head = Head(prefix)
    # Turned or not: no rule tells width from height.
    width, height = imagesize.get(head, exif_rotation=False)
    if (width, height) == (-1, -1):
        return NO_PICTURE if len(prefix) == size_bytes and not head.is_spent else UNKNOWN
    # A JPEG may leave its height for later, as 0; a GIF's sides above 32767 come out negative.
    return (width, height) if width and height else UNKNOWN


def _misfit(wide: int, high: int, size_bytes: int) -> Refused | None:
    """The first limit that a photo breaks."""
    if size_bytes > PHOTO_BYTES_MAX:
        return _unfit(f"{size_bytes} bytes; a photo may have {PHOTO_BYTES_MAX}")
    if min(wide, high) < 0:
        return _unfit("it is no picture that Telegram takes as a photo")
    if wide + high > PHOTO_SIDES_MAX:
        rule = f"a photo may have {PHOTO_SIDES_MAX} in width and height together"
        return _unfit(f"{wide} x {high} pixels; {rule}")
    if max(wide, high) > PHOTO_RATIO_MAX * min(wide, high):
        rule = f"the longer side of a photo may be {PHOTO_RATIO_MAX} times the other"
        return _unfit(f"{wide} x {high} pixels; {rule}")
    return None


def _unfit(reason: str) -> Refused:
    return Refused("UnfitPhoto", reason)


class Head:
    """A file, as far as it has landed: read where it lies, a few bytes at a time."""

    def __init__(self, prefix: memoryview, reads_max: int = READS_MAX) -> None:
        self.reads = 0
        self._reads_max = reads_max
        self._prefix = prefix
        self._at = 0

    @property
    def is_spent(self) -> bool:
        """Whether it was read so often that it now looks as if it had ended."""
        return self.reads >= self._reads_max

    def read(self, size: int = -1) -> bytes:
        """As of any file: fewer than `size` bytes at its end."""
        if self.is_spent:
            return b""
        self.reads += 1
        end = self._at + size if size >= 0 else len(self._prefix)
        data = bytes(self._prefix[self._at : end])
        self._at += len(data)
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """As of any file: a place behind its end is one. What would lie before its beginning is
        that."""
        start = (0, self._at, len(self._prefix))[whence]
        self._at = max(0, start + offset)
        return self._at

    def tell(self) -> int:
        """As of any file."""
        return self._at
