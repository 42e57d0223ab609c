"""file_id and file_unique_id with the structure of real ones (design paper telegram.md, section 3).

A file_id is base64url(RLE of zeros(type and flags, data centre, file reference, media id, access
hash, for photos a size)) + version + 4. So its first four characters tell the kind, clients that
look inside find what they expect, and ids stay opaque to everybody else. The file reference names
the message, so two sends of one file give two file_ids with one file_unique_id.
"""

import base64
import hashlib
import re
import struct
from dataclasses import dataclass

_HAS_REFERENCE = 1 << 25
_DATA_CENTRE = 2
_VERSION = bytes([54, 4])
_BASE64URL = re.compile(r"[A-Za-z0-9_-]{20,300}")

TYPES: dict[str, int] = {
    "thumbnail": 0,
    "photo": 2,
    "voice": 3,
    "video": 4,
    "live_photo": 4,
    "document": 5,
    "sticker": 8,
    "audio": 9,
    "animation": 10,
    "video_note": 13,
}
"""What TDLib's FileType calls them; what is sent again of a live photo is its film."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The message that a file_id comes from; `when_s` is Unix time."""

    chat_id: int
    message_id: int
    when_s: int


def _squeeze(data: bytes) -> bytes:
    """Zeros as runs: a zero byte and how many."""
    return re.sub(rb"\0{1,255}", lambda run: bytes([0, len(run[0])]), data)


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _bytes_field(data: bytes) -> bytes:
    """TL's bytes: a length, the bytes, zeros up to a multiple of four."""
    whole = bytes([len(data)]) + data
    return whole + b"\0" * (-len(whole) % 4)


def _secret(*parts: object) -> bytes:
    return hashlib.sha256(repr(parts).encode()).digest()


def file_id(kind: str, bot_id: int, media_id: int, origin: Origin, size_letter: str = "") -> str:
    """The id that `bot_id` may send again; `size_letter` is a photo size's."""
    channel = origin.chat_id < 0
    reference = b"\x04" + struct.pack(">i", abs(origin.chat_id) % 2**31) if channel else b"\x01"
    reference += struct.pack(">ii", origin.message_id, origin.when_s)
    reference += _secret("reference", bot_id, media_id, origin)[:16]
    body = struct.pack("<ii", TYPES[kind] | _HAS_REFERENCE, _DATA_CENTRE)
    body += _bytes_field(reference)
    body += struct.pack("<q", media_id) + _secret("access", bot_id, media_id)[:8]
    if size_letter:
        body += struct.pack("<ii", 1, ord(size_letter))
    return _text(_squeeze(body) + _VERSION)


def file_unique_id(kind: str, media_id: int, size_letter: str = "") -> str:
    """The same for every bot and every send."""
    body = struct.pack("<iq", 1 if kind == "photo" else 2, media_id)
    return _text(_squeeze(body + size_letter.encode()))


def is_well_formed(text: str) -> bool:
    """Whether a text could be a file_id at all."""
    return bool(_BASE64URL.fullmatch(text))
