"""What a request tells of its file: sides, a duration, a thumbnail (telegram.md 1). Pure.

Telegram believes what it is told, and ignores without a word a thumbnail that it cannot use.
"""

from dataclasses import replace
from typing import Any

from prewarmd.sandbox.botapi.conversion import Upload
from prewarmd.sandbox.botapi.parameters import Parameters
from prewarmd.sandbox.botapi.sniff import Sniffed

THUMBNAIL_BYTES_MAX = 200 << 10
"""Excluded."""
THUMBNAIL_SIDE_MAX = 320

_TAKEN = {
    "video": {"width": "width", "height": "height", "duration": "duration_s"},
    "animation": {"width": "width", "height": "height", "duration": "duration_s"},
    "audio": {"duration": "duration_s"},
    "voice": {"duration": "duration_s"},
    "video_note": {"length": "width", "duration": "duration_s"},
}
"""Kind that is asked for -> parameter -> what of a file it tells."""
_THUMBNAILED = ("video", "animation", "audio", "document", "video_note")


def told(asked: str, sniffed: Sniffed, given: Parameters) -> Sniffed:
    """A file as it is shown: what was told of it goes before what its bytes say."""
    numbers: dict[str, Any] = {
        name: number
        for parameter, name in _TAKEN.get(asked, {}).items()
        if (number := given.number(parameter)) and number > 0
    }
    return replace(sniffed, **numbers) if numbers else sniffed


def thumbnail_of(asked: str, given: Parameters) -> Upload | None:
    """The file that is its thumbnail, if it has one that can be used."""
    name = given.text("thumbnail").removeprefix("attach://") or "thumbnail"
    found = given.files.get(name)
    if found is None or asked not in _THUMBNAILED:
        return None
    sniffed = found.sniffed
    is_small = max(sniffed.width, sniffed.height) <= THUMBNAIL_SIDE_MAX
    fits = sniffed.form == "jpeg" and found.size_bytes < THUMBNAIL_BYTES_MAX and is_small
    return found if fits else None
