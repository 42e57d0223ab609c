"""The bytes around a media in a multipart/form-data body: a head and a tail, the media between.

The media's part comes last, so that the tail is nothing but the closing boundary: until that is
sent, no server has a whole request. A file name is given always, with an extension: the Bot API
server takes a part without one for text, and derives the type from the extension.
"""

import re
from dataclasses import dataclass

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
NAME_MAX = 96


@dataclass(frozen=True, slots=True)
class Envelope:
    """Everything but the media."""

    head: bytes
    tail: bytes
    boundary: str

    def size_bytes(self, media_bytes: int) -> int:
        """The exact Content-Length."""
        return len(self.head) + media_bytes + len(self.tail)

    @property
    def content_type(self) -> str:
        """The header's value."""
        return f"multipart/form-data; boundary={self.boundary}"


def safe_name(name: str) -> str:
    """A file name that no parser can misread, with its extension kept."""
    name = name.rpartition("/")[2]
    stem, dot, extension = name.rpartition(".")
    if not dot:
        stem, extension = name, ""
    extension = _UNSAFE.sub("", extension)[:16]
    stem = _UNSAFE.sub("_", stem).strip("._")[: NAME_MAX - 17] or "media"
    return f"{stem}.{extension}" if extension else f"{stem}.bin"


def envelope(
    fields: dict[str, str],
    file_field: str,
    file_name: str,
    boundary: str,
    content_type: str,
    thumbnail: bytes = b"",
) -> Envelope:
    """The parts for `fields` (our own texts: no line breaks), for a `thumbnail` that is a JPEG, and
    for one file of `content_type`, whose bytes are left out."""
    if thumbnail:
        fields = {**fields, "thumbnail": "attach://thumb"}
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    if thumbnail:
        parts += (_file(boundary, "thumb", "thumb.jpg", "image/jpeg"), thumbnail, b"\r\n")
    parts.append(_file(boundary, file_field, safe_name(file_name), content_type))
    return Envelope(b"".join(parts), f"\r\n--{boundary}--\r\n".encode(), boundary)


def _file(boundary: str, field: str, file_name: str, content_type: str) -> bytes:
    """What stands before a file's bytes."""
    return (
        f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"; '
        f'filename="{file_name}"\r\nContent-Type: {content_type}\r\n\r\n'
    ).encode()
