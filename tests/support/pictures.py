"""Real pictures and what only looks like one, as a bucket may hold them."""

import io
import struct
from typing import Any

from PIL import Image

from prewarmd.sandbox.media import Format, make


def picture(encoder: str, width: int = 320, height: int = 240, **options: Any) -> bytes:
    """A picture by Pillow."""
    out = io.BytesIO()
    image = Image.linear_gradient("L").resize((width, height))
    (image if encoder == "GIF" else image.convert("RGB")).save(out, encoder, **options)
    return out.getvalue()


def exif(size_bytes: int) -> Image.Exif:
    """Metadata of about that size: they come before the frame, which tells the dimensions."""
    block = Image.Exif()
    block[0x010E] = "x" * size_bytes  # ImageDescription
    return block


def commented(jpeg: bytes, least_bytes: int) -> bytes:
    """The JPEG with at least that much in comments before its frame."""
    comment = b"\xff\xfe\xff\xff" + bytes(0xFFFF - 2)
    return jpeg[:2] + comment * (least_bytes // len(comment) + 1) + jpeg[2:]


def gif(width: int, height: int) -> bytes:
    """The screen's size alone changed: no decoder looks further for it."""
    whole = picture("GIF")
    return whole[:6] + struct.pack("<HH", width, height) + whole[10:]


FIT_JPEG = picture("JPEG")
FIT: dict[str, bytes] = {
    "jpeg": FIT_JPEG,
    "jpeg, progressive": picture("JPEG", progressive=True),
    "jpeg, 60 KB of EXIF first": picture("JPEG", exif=exif(60_000)),
    "jpeg, 1 MB of comments first": commented(picture("JPEG"), 1_000_000),
    "jpeg of 9500 + 500": picture("JPEG", 9500, 500),
    "jpeg of 20 to 1": picture("JPEG", 400, 20),
    "jpeg of 10 MiB": FIT_JPEG.ljust(10 << 20, b"\0"),
    "png": picture("PNG"),
    "png, one pixel": picture("PNG", 1, 1),
    "webp, lossy": picture("WEBP"),
    "webp, lossless": picture("WEBP", lossless=True),
    "webp, extended": picture("WEBP", exif=exif(100)),
    "gif": picture("GIF"),
    "gif, animated": picture("GIF", save_all=True, append_images=[Image.new("L", (320, 240))]),
    "bmp": picture("BMP"),
    "tiff": picture("TIFF"),
}
"""Photos to Telegram."""

UNFIT: dict[str, bytes] = {
    "jpeg of 10001 + 1": picture("JPEG", 10_001, 1),
    "jpeg of 9501 + 500": picture("JPEG", 9501, 500),
    "jpeg of 9999 + 1, 9999 to 1": picture("JPEG", 9999, 1),
    "jpeg of 21 to 1": picture("JPEG", 21, 1),
    "jpeg of 401 to 20": picture("JPEG", 20, 401),
    "jpeg of 11 MB": FIT_JPEG.ljust(11_000_000, b"\0"),
    "jpeg of 10 MiB and a byte": FIT_JPEG.ljust((10 << 20) + 1, b"\0"),
    "jpeg of 21 to 1, 1 MB of comments first": commented(picture("JPEG", 21, 1), 1_000_000),
    "png of 9001 + 1000": picture("PNG", 9001, 1000),
    "webp of 1 to 30": picture("WEBP", 10, 300),
    "webp, lossless, of 1 to 30": picture("WEBP", 10, 300, lossless=True),
    "gif of 40000 + 40000": gif(40_000, 40_000),
    "bmp of 21 to 1": picture("BMP", 21, 1),
    "tiff of 21 to 1": picture("TIFF", 21, 1),
    "jpeg, cut in its header": picture("JPEG")[:40],
    "png, cut in its header": picture("PNG")[:20],
    "webp, cut in its header": picture("WEBP")[:20],
    "gif, cut in its header": picture("GIF")[:8],
    "a page that says 404": b"<!DOCTYPE html><html><body>404 Not Found</body></html>",
    "one byte": b"\xff",
    "a film": make(Format.MP4, 500_000, 3),
    "jpeg 2000": b"\0\0\0\x0cjP  \r\n\x87\n" + b"\0" * 100,
    "icon": picture("ICO", 64, 64),
}
"""Photos to nobody."""
