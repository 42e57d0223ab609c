"""A media's thumbnail: fetched by the child that sends it, and judged as Telegram judges it.

Telegram takes a JPEG below 200 kB whose sides have 320 pixels at most, as a file of the request
that uploads the media; what does not fit it ignores without a word (telegram.md 1). Here that is
an error before anything is sent: a media has its thumbnail for good or never.

Memory: BYTES_MAX for each upload in flight, and only if its object has no more than that.
"""

from typing import Protocol

import imagesize

from prewarmd.worker.landing import Landing, Memory
from prewarmd.worker.refusals import ObjectError
from prewarmd.worker.sense import Head

BYTES_MAX = 200_000
SIDE_MAX = 320
_JPEG = b"\xff\xd8\xff"


class ThumbnailError(ObjectError):
    """It cannot be had, or would not be used; nothing was sent."""


class Getter(Protocol):
    """Who GETs objects."""

    async def get(self, bucket: str, key: str, etag: str, landing: Landing, memory: Memory) -> str:
        """See `Fetcher.get`."""
        ...


async def fetch_thumbnail(getter: Getter, bucket: str, key: str) -> bytes:
    """The thumbnail under a key. Raises ThumbnailError: about the object in words of its own,
    about the store in the store's."""

    async def memory(size_bytes: int, _: str) -> memoryview:
        if size_bytes > BYTES_MAX:
            raise _unfit(key, f"has {size_bytes} bytes; it may have {BYTES_MAX}")
        return memoryview(bytearray(size_bytes))

    landing = Landing(None, lambda _: None)
    try:
        await getter.get(bucket, key, "", landing, memory)
    except ThumbnailError:
        raise
    except ObjectError as error:
        raise _named(key, error) from None
    assert landing.view is not None
    data = bytes(landing.view)
    check_thumbnail(key, data)
    return data


def check_thumbnail(key: str, data: bytes) -> None:
    """Raises ThumbnailError when Telegram would ignore it."""
    if not data.startswith(_JPEG):
        raise _unfit(key, "is no JPEG")
    width, height = imagesize.get(Head(memoryview(data)), exif_rotation=False)
    if min(width, height) <= 0:
        raise _unfit(key, "is no JPEG whose size can be read")
    if max(width, height) > SIDE_MAX:
        raise _unfit(key, f"has {width} x {height} pixels; its sides may have {SIDE_MAX}")


def _named(key: str, error: ObjectError) -> ThumbnailError:
    match error.code:
        case "NoSuchKey":
            return ThumbnailError("NoThumbnail", f"{_shown(key)}: {error.detail}")
        case "EmptyObject":
            return _unfit(key, "has no bytes")
        case code:
            return ThumbnailError(code, f"thumbnail {_shown(key)}: {error.detail}")


def _unfit(key: str, rule: str) -> ThumbnailError:
    return ThumbnailError("UnfitThumbnail", f"{_shown(key)} {rule}")


def _shown(key: str) -> str:
    return repr(key if len(key) <= 128 else "..." + key[-125:])
