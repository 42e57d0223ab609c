"""Real media for the demo, tests and benchmarks: every file decodes, every size is exact.

A small original (a Pillow picture, a committed seed, a minimal PDF) is brought to the asked size by
padding that its format allows: a comment segment in JPEG, a private ancillary chunk in PNG, an
unknown RIFF chunk in WebP, a `free` box behind an MP4, an ID3v2 tag before an MP3, a comment in a
PDF. The padding is a pseudo-random stream of the seed number, so contents differ and do not
compress. Same arguments, same bytes.
"""

import hashlib
import io
import random
import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from importlib.resources import files

from PIL import Image


class Format(StrEnum):
    """What can be made; the value is the file's extension but for the silent MP4."""

    JPEG = "jpg"
    PNG = "png"
    WEBP = "webp"
    MP4 = "mp4"
    MP4_SILENT = "silent.mp4"
    MP3 = "mp3"
    PDF = "pdf"

    @property
    def extension(self) -> str:
        """As in a file name."""
        return self.rpartition(".")[2]


@lru_cache(maxsize=16)
def _seed(name: str) -> bytes:
    return (files("prewarmd.sandbox") / "seeds" / name).read_bytes()


def _noise(size_bytes: int, seed: int) -> bytes:
    return random.Random(seed).randbytes(size_bytes)


@lru_cache(maxsize=64)
def _picture(encoder: str, hue: int) -> bytes:
    """A 320 x 240 gradient of one hue."""
    image = Image.linear_gradient("L").resize((320, 240))
    colour = Image.merge("HSV", (image.point(lambda _: hue), image, image)).convert("RGB")
    out = io.BytesIO()
    colour.save(out, encoder, **({"quality": 80} if encoder != "PNG" else {}))
    return out.getvalue()


def _jpeg(size_bytes: int, seed: int) -> bytes:
    whole = _picture("JPEG", seed % 64 * 4)
    padding = size_bytes - len(whole)
    segments = bytearray()
    while padding:
        # A COM segment is 4 bytes and up to 65533 of text; never leave less than 4 over.
        body = min(padding - 4, 65_533)
        if 0 < padding - 4 - body < 4:
            body -= 4
        _need(body >= 0, len(whole) + 4, size_bytes)
        segments += b"\xff\xfe" + struct.pack(">H", body + 2) + _noise(body, seed + padding)
        padding -= 4 + body
    return whole[:2] + bytes(segments) + whole[2:]


def _png(size_bytes: int, seed: int) -> bytes:
    whole = _picture("PNG", seed % 64 * 4)
    body = size_bytes - len(whole) - 12
    _need(body >= 0, len(whole) + 12, size_bytes)
    content = b"prWm" + _noise(body, seed)
    chunk = struct.pack(">I", body) + content + struct.pack(">I", zlib.crc32(content))
    end = len(whole) - 12  # before IEND
    return whole[:end] + chunk + whole[end:]


def _webp(size_bytes: int, seed: int) -> bytes:
    """RIFF chunks are padded to even sizes, so an odd file ends in one byte outside the RIFF."""
    whole = _picture("WEBP", seed % 64 * 4)
    odd = size_bytes % 2
    body = size_bytes - odd - len(whole) - 8
    _need(body >= 0, len(whole) + 8, size_bytes)
    riff = whole[8:] + b"prWm" + struct.pack("<I", body) + _noise(body, seed)
    return b"RIFF" + struct.pack("<I", len(riff)) + riff + b"\0" * odd


def _mp4(name: str) -> Callable[[int, int], bytes]:
    def make_one(size_bytes: int, seed: int) -> bytes:
        whole = _seed(name)
        box = size_bytes - len(whole)
        _need(box >= 8, len(whole) + 8, size_bytes)
        return whole + struct.pack(">I", box) + b"free" + _noise(box - 8, seed)

    return make_one


def _mp3(size_bytes: int, seed: int) -> bytes:
    """An ID3v2.4 tag with one PRIV frame; its sizes are "synchsafe", seven bits a byte."""
    whole = _seed("tone.mp3")
    tag = size_bytes - len(whole) - 10
    owner = b"prewarmd\0"
    body = tag - 10
    _need(body >= len(owner), len(whole) + 20 + len(owner), size_bytes)
    # No byte with the high bit: a frame sync inside the tag could mislead a decoder.
    noise = bytes(byte & 0x7F for byte in _noise(body - len(owner), seed))
    frame = b"PRIV" + _synchsafe(body) + b"\0\0" + owner + noise
    return b"ID3\x04\0\0" + _synchsafe(tag) + frame + whole


def _synchsafe(number: int) -> bytes:
    return bytes(number >> shift & 0x7F for shift in (21, 14, 7, 0))


def _pdf(size_bytes: int, seed: int) -> bytes:
    """One page that says what it is; the padding is a comment before the objects."""
    text = f"BT /F1 24 Tf 40 400 Td (prewarmd {seed}) Tj ET".encode()
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        (
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 420 595] /Contents 4 0 R "
            b"/Resources << /Font << /F1 5 0 R >> >> >>"
        ),
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(text), text),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]

    def assemble(padding: int) -> bytes:
        hexed = _noise((padding + 1) // 2, seed).hex()[:padding].encode()
        out = bytearray(b"%PDF-1.4\n%" + hexed + b"\n")
        offsets = []
        for number, body in enumerate(objects, 1):
            offsets.append(len(out))
            out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
        start = len(out)
        out += b"xref\n0 6\n0000000000 65535 f \n"
        out += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
        # The offset is written with ten digits so that the size does not depend on itself.
        out += b"trailer\n<< /Size 6 /Root 1 0 R >>\nstartxref\n%010d\n%%%%EOF\n" % start
        return bytes(out)

    least = len(assemble(0))
    _need(size_bytes >= least, least, size_bytes)
    return assemble(size_bytes - least)


def _need(fits: bool, least: int, size_bytes: int) -> None:
    if not fits:
        raise ValueError(f"{size_bytes} bytes are too few; this format needs about {least}")


_MAKERS: dict[Format, Callable[[int, int], bytes]] = {
    Format.JPEG: _jpeg,
    Format.PNG: _png,
    Format.WEBP: _webp,
    Format.MP4: _mp4("bars.mp4"),
    Format.MP4_SILENT: _mp4("bars-silent.mp4"),
    Format.MP3: _mp3,
    Format.PDF: _pdf,
}


def make(format: Format, size_bytes: int, seed: int) -> bytes:  # noqa: A002  the word for it
    """A file of exactly `size_bytes`; ValueError names the least size when that is too few."""
    made = _MAKERS[format](size_bytes, seed)
    assert len(made) == size_bytes, f"{format} came out at {len(made)} bytes, not {size_bytes}"
    return made


def bench_photo(size_bytes: int, index: int) -> bytes:
    """A distinct valid JPEG, cheap enough for thousands: one shared padding, one counter."""
    return _bench_base(size_bytes, index % 16).replace(b"@" * 16, b"%016d" % index, 1)


@lru_cache(maxsize=4096)
def _bench_base(size_bytes: int, hue: int) -> bytes:
    whole = _jpeg(size_bytes - 20, hue)
    return whole[:2] + b"\xff\xfe" + struct.pack(">H", 18) + b"@" * 16 + whole[2:]


@dataclass(frozen=True, slots=True)
class Medium:
    """One object of a plan; its bytes are made when wanted."""

    bot: str
    kind: str
    key: str
    format: Format
    size_bytes: int
    seed: int

    def data(self) -> bytes:
        """The file."""
        return make(self.format, self.size_bytes, self.seed)


_MIX: tuple[tuple[str, Format, int, int], ...] = (
    ("photo", Format.JPEG, 30_000, 400_000),
    ("photo", Format.JPEG, 20_000, 90_000),
    ("photo", Format.PNG, 150_000, 900_000),
    ("video", Format.MP4, 500_000, 6_000_000),
    ("photo", Format.JPEG, 30_000, 400_000),
    ("audio", Format.MP3, 300_000, 5_000_000),
    ("photo", Format.WEBP, 30_000, 200_000),
    ("document", Format.PDF, 20_000, 1_500_000),
    ("photo", Format.JPEG, 400_000, 2_000_000),
    ("photo", Format.JPEG, 20_000, 300_000),
)
"""What a bot's media look like: mostly photos."""


def demo_set(count: int, bots: Sequence[str], seed: int = 7) -> list[Medium]:
    """`count` media for `bots`: mostly keys that carry their hash, some content shared between
    bots, some stored twice for one bot under plain keys."""
    chance = random.Random(seed)
    plan: list[Medium] = []
    number = 0
    while len(plan) < count:
        kind, form, least, most = _MIX[number % len(_MIX)]
        size_bytes = chance.randint(least, most)
        if number == 3 and count >= 30:
            size_bytes = 25_000_000
        content = seed * 1_000_003 + number
        bot = bots[number % len(bots)]
        digest = hashlib.sha256(make(form, size_bytes, content)).hexdigest()
        if number % 10 == 1:  # shared by every bot
            owners, keys = list(bots), [f"{b}/{kind}/{digest}.{form.extension}" for b in bots]
        elif number % 10 == 4:  # twice for one bot, under names that say nothing
            owners = [bot, bot]
            keys = [f"uploads/{bot}/holiday-{number}-{n}.{form.extension}" for n in (1, 2)]
        elif number % 10 == 8:
            owners, keys = [bot], [f"uploads/{bot}/picture-{number}.{form.extension}"]
        else:
            owners, keys = [bot], [f"{bot}/{kind}/{digest}.{form.extension}"]
        plan += [
            Medium(owner, kind, key, form, size_bytes, content)
            for owner, key in zip(owners, keys, strict=True)
        ]
        number += 1
    return plan[:count]
