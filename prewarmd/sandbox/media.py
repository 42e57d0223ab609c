"""Real media for the demo, tests and benchmarks: every file decodes, every size is exact.

A small original (a Pillow picture, a committed seed, a minimal PDF) is brought to the asked size by
padding that its format allows: a comment segment in JPEG, a private ancillary chunk in PNG, an
unknown RIFF chunk in WebP, a comment in a GIF, a `free` box behind an MP4, an ID3v2 tag before an
MP3, padded tags in an Ogg, a comment in a PDF or before a sticker. The padding is a pseudo-random
stream of the seed number, so contents differ and do not compress. Same arguments, same bytes.
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
    """What can be made; the value is the file's extension but for some MP4s."""

    JPEG = "jpg"
    PNG = "png"
    WEBP = "webp"
    MP4 = "mp4"
    MP4_SILENT = "silent.mp4"
    MP4_SQUARE = "square.mp4"
    MP3 = "mp3"
    OGG = "ogg"
    GIF = "gif"
    TGS = "tgs"
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


def _gif(size_bytes: int, seed: int) -> bytes:
    """Two pictures in turn; the comment is in blocks of up to 255 bytes."""
    one, other = (Image.linear_gradient("L").resize((64, 48)).rotate(n) for n in (0, 180))
    out = io.BytesIO()
    one.save(out, "GIF", save_all=True, append_images=[other], duration=200, loop=0)
    whole = out.getvalue()
    start = 13 + 3 * 2 ** ((whole[10] & 7) + 1)  # behind the global colour table
    left = size_bytes - len(whole) - 3
    _need(left >= 2, len(whole) + 5, size_bytes)
    blocks = bytearray()
    while left:
        body = min(left - 1, 255)
        if left - 1 - body == 1:  # no block is empty but the last
            body -= 1
        blocks += bytes([body]) + _noise(body, seed + left)
        left -= 1 + body
    return whole[:start] + b"\x21\xfe" + bytes(blocks) + b"\0" + whole[start:]


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


@lru_cache
def _ogg_table() -> list[int]:
    """Of its checksum: the polynomial of CRC-32, neither reflected nor inverted."""
    table = []
    for byte in range(256):
        value = byte << 24
        for _ in range(8):
            value = (value << 1 ^ (0x104C11DB7 if value >> 31 else 0)) & 0xFFFFFFFF
        table.append(value)
    return table


def _ogg_page(
    kind: int, granule: int, serial: int, number: int, sizes: bytes, body: bytes
) -> bytes:
    """One page: `sizes` are those of its segments."""
    head = struct.pack("<4sBBqIII", b"OggS", 0, kind, granule, serial, number, 0)
    page = bytearray(head + bytes([len(sizes)]) + sizes + body)
    crc, table = 0, _ogg_table()
    for byte in page:
        crc = (crc << 8 & 0xFFFFFFFF) ^ table[crc >> 24 ^ byte]
    struct.pack_into("<I", page, 22, crc)
    return bytes(page)


def _ogg(size_bytes: int, seed: int) -> bytes:
    """The seed has three pages: what it is, its tags, its sound. The second becomes as many as it
    takes; what stands behind the tags is padding (RFC 7845, 5.2)."""
    whole = _seed("tone.ogg")
    serial, second = struct.unpack_from("<I", whole, 14)[0], whole.index(b"OggS", 1)
    third = whole.index(b"OggS", second + 1)
    tags = whole[second + 28 : third]
    # A page has 27 bytes, up to 255 segments of 255, and one less full where a packet ends: so
    # one size in 256 takes another page.
    pages: list[bytes] = []
    text = tags + b"\0"
    left = size_bytes - second - (len(whole) - third)
    _need(left >= 27 + 2 + len(text) and left != 27 + 256, len(whole) + 256, size_bytes)

    def page(segments: int, last: int) -> bytes:
        nonlocal text
        body = (text + _noise(255 * segments, seed + len(pages)))[: 255 * (segments - 1) + last]
        sizes, text = b"\xff" * (segments - 1) + bytes([last]), b""
        granule = -1 if last == 255 else 0  # no packet ends here
        return _ogg_page(1 if pages else 0, granule, serial, len(pages) + 1, sizes, body)

    while left >= 27 + 256 * 255 or (left > 27 and (left - 27) % 256 == 0):
        segments = 128 if left >= 27 + 256 * 255 else 1
        pages.append(page(segments, 255))
        left -= len(pages[-1])
    segments = (left - 27 - 1) // 256 + 1
    pages.append(page(segments, left - 27 - segments - 255 * (segments - 1)))
    granule, count = struct.unpack_from("<q", whole, third + 6)[0], whole[third + 26]
    sound = whole[third + 27 :]
    last = _ogg_page(4, granule, serial, len(pages) + 1, sound[:count], sound[count:])
    return whole[:second] + b"".join(pages) + last


_STILL = b'{"tgs":1,"v":"5.5.2","fr":60,"ip":0,"op":60,"w":512,"h":512,"layers":[]}'


def _tgs(size_bytes: int, seed: int) -> bytes:
    """A sticker without a picture: gzip with a comment."""
    packer = zlib.compressobj(wbits=-15)
    packed = packer.compress(_STILL) + packer.flush()
    packed += struct.pack("<II", zlib.crc32(_STILL), len(_STILL))
    body = size_bytes - len(packed) - 11
    _need(body >= 0, len(packed) + 11, size_bytes)
    comment = _noise((body + 1) // 2, seed).hex()[:body].encode()
    return b"\x1f\x8b\x08\x10\0\0\0\0\0\xff" + comment + b"\0" + packed


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
    Format.MP4_SQUARE: _mp4("bars-square.mp4"),
    Format.MP3: _mp3,
    Format.OGG: _ogg,
    Format.GIF: _gif,
    Format.TGS: _tgs,
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
    ("photo", Format.JPEG, 30_000, 400_000),
    ("photo", Format.JPEG, 20_000, 90_000),
    ("animation", Format.GIF, 60_000, 400_000),
    ("video", Format.MP4_SILENT, 100_000, 3_000_000),
    ("photo", Format.JPEG, 30_000, 400_000),
    ("voice", Format.OGG, 10_000, 120_000),
    ("sticker", Format.WEBP, 20_000, 60_000),
    ("video_note", Format.MP4_SQUARE, 200_000, 2_000_000),
    ("photo", Format.JPEG, 400_000, 2_000_000),
    ("sticker", Format.TGS, 5_000, 40_000),
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
