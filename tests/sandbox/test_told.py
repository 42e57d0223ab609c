"""What a request tells of its file, as an answer shows it."""

from typing import Any

import pytest

from prewarmd.sandbox.media import Format, make
from tests.sandbox.asking import Client
from tests.support.pictures import picture

THUMBNAIL = picture("JPEG", 320, 180)
TOLD = {"width": 1280, "height": 720, "duration": 33}


def film(seed: int) -> bytes:
    return make(Format.MP4, 200_000, seed)


@pytest.mark.parametrize(
    ("method", "kind", "form"),
    [
        ("sendVideo", "video", Format.MP4),
        ("sendAnimation", "animation", Format.MP4_SILENT),
        ("sendAudio", "audio", Format.MP3),
        ("sendVideoNote", "video_note", Format.MP4_SQUARE),
        ("sendVoice", "voice", Format.OGG),
        ("sendDocument", "document", Format.PDF),
    ],
)
async def test_each_kind_shows_what_its_method_takes(
    alpha: Client, method: str, kind: str, form: Format
) -> None:
    """By whatever name it is attached; and again by its file_id."""
    sent = await alpha.result(
        method, chat_id=alpha.chat(), thumb=THUMBNAIL, thumbnail="attach://thumb", length=500,
        **TOLD, **{kind: make(form, 200_000, 81)},
    )  # fmt: skip
    again = await alpha.result(method, chat_id=alpha.chat(), **{kind: sent[kind]["file_id"]})
    for shown in (sent[kind], again[kind]):
        assert shown.get("duration", 33) == 33
        assert (shown.get("width", 1280), shown.get("height", 720)) == (1280, 720)
        assert shown.get("length", 500) == 500
        assert ("thumbnail" in shown) is (kind != "voice")
        if kind != "voice":
            small = shown["thumbnail"]
            assert small["file_id"].startswith("AAMC")
            assert (small["width"], small["height"]) == (320, 180)
            assert small["file_size"] == len(THUMBNAIL)
            got = await alpha.result("getFile", file_id=small["file_id"])
            assert got["file_unique_id"] == small["file_unique_id"]
            refusal = await alpha.refusal("sendPhoto", chat_id=alpha.chat(), photo=small["file_id"])
            assert refusal == (400, "Bad Request: can't use file of type Thumbnail as Photo")


@pytest.mark.parametrize(
    "thumbnail",
    [
        picture("PNG", 100, 100), picture("JPEG", 321, 10), b"no picture",
        picture("JPEG", 100, 100).ljust(200 << 10, b"\0"),
    ],
)  # fmt: skip
async def test_a_thumbnail_that_does_not_fit_is_ignored(alpha: Client, thumbnail: bytes) -> None:
    """Whoever relied on an error would never hear of it."""
    sent = await alpha.result(
        "sendVideo", chat_id=alpha.chat(), video=film(82), thumbnail=thumbnail
    )
    assert "thumbnail" not in sent["video"]


@pytest.mark.parametrize("value", ["0", "-5", "wide", ""])
async def test_what_is_no_size_is_read_from_the_file(alpha: Client, value: Any) -> None:
    """As if it had not been told."""
    sent = await alpha.result(
        "sendVideo", chat_id=alpha.chat(), video=film(83), width=value, height=value, duration=value
    )
    video = sent["video"]
    assert (video["width"], video["height"], video["duration"]) == (160, 120, 1)
