"""What a file is, from its bytes: as much as the Bot API server looks at.

Only the beginning of a long file is kept (`HEAD_BYTES`); a photo is kept whole, which its limit of
10 MiB allows, because its frame may stand behind any amount of metadata.
"""

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from PIL import Image, UnidentifiedImageError

HEAD_BYTES = 256 << 10
_BOX = 8


@dataclass(frozen=True, slots=True)
class Sniffed:
    """`family`: image, video (with or without sound), audio, voice or other; `form`: jpeg, png,
    webp, gif, bmp, tiff, mp4, mp3, ogg, webm, tgs, or nothing."""

    family: str
    form: str = ""
    width: int = 0
    height: int = 0
    duration_s: int = 0
    has_sound: bool = True


OTHER = Sniffed("other")
STICKER_SIDES = (512, 512)
"""Of every sticker that moves (telegram.md 1); they are not looked into."""

_PICTURES = {
    b"\xff\xd8\xff": "jpeg",
    b"\x89PNG\r\n\x1a\n": "png",
    b"RIFF": "webp",
    b"GIF8": "gif",
    b"BM": "bmp",
    b"II*\0": "tiff",
    b"MM\0*": "tiff",
}
"""How they begin."""


def sniff(data: bytes | bytearray) -> Sniffed:
    """Read what `data` begins with."""
    head = bytes(data[:16])
    for beginning, form in _PICTURES.items():
        if head.startswith(beginning) and (form != "webp" or head[8:12] == b"WEBP"):
            return _image(data, form)
    if head[4:8] == b"ftyp":
        return _mp4(bytes(data[:HEAD_BYTES]))
    if head[:3] == b"ID3" or (len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0):
        return Sniffed("audio", "mp3", duration_s=1)
    if head[:4] == b"OggS":
        return Sniffed("voice", "ogg", duration_s=1)
    if head[:4] == b"\x1aE\xdf\xa3":  # EBML
        return Sniffed("other", "webm", *STICKER_SIDES)
    if head[:2] == b"\x1f\x8b":  # gzip
        return Sniffed("other", "tgs", *STICKER_SIDES)
    return OTHER


def _image(data: bytes | bytearray, form: str) -> Sniffed:
    try:
        with Image.open(io.BytesIO(data)) as image:  # reads the header only
            width, height = image.size
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError):
        return OTHER
    except Image.DecompressionBombError:  # beyond 180 million pixels
        return OTHER
    return Sniffed("image", form, width, height)


def _boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """(type, first byte of the body, end) of each ISO box that is there."""
    while start + _BOX <= end:
        size, name = struct.unpack_from(">I4s", data, start)
        body = start + _BOX
        if size == 1 and body + 8 <= end:
            (size,) = struct.unpack_from(">Q", data, body)
            body += 8
        if size < _BOX:
            return
        yield name, body, min(start + size, end)
        start += size


def _mp4(data: bytes) -> Sniffed:
    width = height = duration_s = 0
    handlers = set()
    for name, body, end in _boxes(data, 0, len(data)):
        if name != b"moov":
            continue
        for name, body, end in _boxes(data, body, end):  # noqa: B020, PLW2901  one level down
            if name == b"mvhd" and end - body >= 20:
                scale, ticks = struct.unpack_from(">II", data, body + 12)
                duration_s = round(ticks / scale) if scale else 0
            if name == b"trak":
                handler, size = _track(data, body, end)
                handlers.add(handler)
                if handler == b"vide":
                    width, height = size
    if b"vide" not in handlers:
        return Sniffed("audio", "mp4", duration_s=duration_s) if b"soun" in handlers else OTHER
    return Sniffed("video", "mp4", width, height, duration_s, b"soun" in handlers)


def _track(data: bytes, start: int, end: int) -> tuple[bytes, tuple[int, int]]:
    """A track's handler, and the size in its header."""
    handler, size = b"", (0, 0)
    for name, body, stop in _boxes(data, start, end):
        if name == b"tkhd" and stop - body >= 84:
            wide, high = struct.unpack_from(">II", data, stop - 8)
            size = (wide >> 16, high >> 16)
        if name == b"mdia":
            for inner, at, _ in _boxes(data, body, stop):
                if inner == b"hdlr":
                    handler = data[at + 8 : at + 12]
    return handler, size
