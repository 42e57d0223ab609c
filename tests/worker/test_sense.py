"""What is seen in a media's first bytes, and whether a Bot API server sees the same."""

import io
import os
from typing import Any

import aiohttp
import imagesize
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prewarmd.core.faults import FAULTS
from prewarmd.core.jobs import Kind
from prewarmd.sandbox.media import Format, make
from prewarmd.sandbox.town import BotApi
from prewarmd.worker.answers import Refused
from prewarmd.worker.sense import READS_MAX, Head, Sensed, sendable, sense
from tests.support.pictures import FIT, UNFIT, exif, picture

EVERY = FIT | UNFIT
BEGINNINGS = (
    b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM", b"II*\0", b"MM\0*", b"II+\0",
    b"RIFF\0\0\0\0WEBPVP8 ", b"RIFF\0\0\0\0WEBPVP8L", b"RIFF\0\0\0\0WEBPVP8X", b"\0\0\0\x20ftyp",
)  # fmt: skip


def sensed(data: bytes, kind: Kind = Kind.PHOTO, file_name: str = "a.bin") -> Sensed:
    """Of a media that has landed as a whole."""
    return sense(memoryview(data), len(data), kind, file_name)


@pytest.mark.parametrize("name", FIT)
def test_a_photo_to_telegram_is_one_here(name: str) -> None:
    """Else it would become a document for nothing: not what was asked for."""
    seen = sensed(FIT[name])
    assert seen.refusal is None
    assert seen.width
    assert seen.height


@pytest.mark.parametrize("name", UNFIT)
def test_a_photo_to_nobody_is_found_out(name: str) -> None:
    """Else all its bytes would go to Telegram, only to be refused."""
    seen = sensed(UNFIT[name])
    assert seen.refusal is not None
    assert seen.refusal.code in FAULTS
    assert seen.refusal.detail


def test_the_reason_names_what_was_seen_and_the_rule() -> None:
    """It ends in a job's error: the reader must know what to change."""
    for name, words in (
        ("jpeg of 10001 + 1", "10001 x 1 pixels; a photo may have 10000 in width and height"),
        ("jpeg of 21 to 1", "21 x 1 pixels; the longer side of a photo may be 20 times the other"),
        ("jpeg of 11 MB", "11000000 bytes; a photo may have 10485760"),
        ("a page that says 404", "no picture that Telegram takes as a photo"),
    ):
        refusal = sensed(UNFIT[name]).refusal
        assert refusal is not None
        assert words in refusal.detail


@pytest.mark.parametrize("name", EVERY)
def test_a_part_of_a_media_tells_the_same_or_nothing(name: str) -> None:
    """An upload that begins before all has landed must not go by a wrong size."""
    data = EVERY[name]
    whole = sensed(data)
    for landed in {0, 1, 2, 10, 20, 30, 64, 200, 500, 1000, 8192, 65_536, len(data) - 1}:
        seen = sense(memoryview(data)[:landed], len(data), Kind.PHOTO, "a.bin")
        assert (seen.width, seen.height) in ((0, 0), (whole.width, whole.height))
        if whole.refusal is None:
            assert seen.refusal is None, f"after {landed} bytes"


def test_64_kib_tell_a_picture_behind_60_kb_of_metadata() -> None:
    """As cameras write them: with a preview in front."""
    data = picture("JPEG", 21, 1, exif=exif(60_000)) + bytes(1_000_000)
    seen = sense(memoryview(data)[: 64 << 10], len(data), Kind.PHOTO, "a.jpg")
    assert (seen.width, seen.height) == (21, 1)
    assert seen.refusal is not None


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from(BEGINNINGS), st.binary(max_size=300), st.binary(max_size=300),
    st.sampled_from(Kind), st.text(max_size=20), st.booleans(),
)  # fmt: skip
def test_no_bytes_raise_and_none_behind_the_end_count(
    beginning: bytes, landed: bytes, behind: bytes, kind: Kind, name: str, whole: bool
) -> None:
    """A bucket may hold anything; and behind what has landed is another media's memory."""
    data = beginning + landed
    size_bytes = len(data) + (0 if whole else len(behind) + 1)
    alone = sense(memoryview(data), size_bytes, kind, name)
    inside = sense(memoryview(data + behind)[: len(data)], size_bytes, kind, name)
    assert alone == inside
    assert kind is Kind.PHOTO or alone.refusal is None


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(FIT)), st.data())
def test_broken_pictures_raise_nothing(name: str, data: st.DataObject) -> None:
    """A header with wrong numbers in it leads a reader astray, but not out of its bounds."""
    broken = bytearray(FIT[name][:2000])
    for _ in range(data.draw(st.integers(1, 4))):
        broken[data.draw(st.integers(0, min(99, len(broken) - 1)))] = data.draw(st.integers(0, 255))
    sensed(bytes(broken))


def test_garbage_is_given_up_soon() -> None:
    """10 MB without a marker would hold the child's loop for seconds. Who stopped looking knows
    nothing, so Telegram judges."""
    data = b"\xff\xd8\xff\xfe\0\2" + bytes(10_000_000)
    head = Head(memoryview(data))
    assert imagesize.get(head) == (-1, -1)
    assert head.is_spent
    assert head.seek(0, os.SEEK_CUR) <= READS_MAX + 64
    assert sensed(data).refusal is None


@pytest.mark.parametrize(
    ("data", "kind", "name", "better"),
    [
        (FIT["jpeg"], Kind.PHOTO, "x.bin", "x.jpg"),
        (FIT["jpeg"], Kind.PHOTO, "x.JPEG", "x.JPEG"),
        (FIT["jpeg"], Kind.PHOTO, "x.png", "x.jpg"),
        (FIT["jpeg"], Kind.PHOTO, "cover", "cover.jpg"),
        (FIT["png"], Kind.PHOTO, "x.tar.gz", "x.tar.png"),
        (FIT["webp, lossy"], Kind.PHOTO, "x.webp", "x.jpg"),
        (FIT["tiff"], Kind.PHOTO, "x.tiff", "x.tif"),
        (make(Format.MP4, 400_000, 1), Kind.VIDEO, "x", "x.mp4"),
        (make(Format.MP4, 400_000, 1), Kind.VIDEO, "x.m4v", "x.m4v"),
        (make(Format.MP3, 200_000, 1), Kind.AUDIO, "x.bin", "x.mp3"),
        (make(Format.PDF, 20_000, 1), Kind.VIDEO, "x.pdf", "x.pdf"),
        (make(Format.PDF, 20_000, 1), Kind.DOCUMENT, "x.bin", "x.bin"),
    ],
)
def test_a_name_says_what_the_bytes_are(data: bytes, kind: Kind, name: str, better: str) -> None:
    """The server goes by extensions: it refuses a photo.bin, and makes a document of a film.bin."""
    assert sensed(data, kind, name).file_name == better


def test_a_photo_that_is_none_goes_as_a_document_under_its_own_name_or_not_at_all() -> None:
    """As the configuration says; a document keeps its name, which people see."""
    data = memoryview(UNFIT["webp of 1 to 30"])
    document = sendable(data, len(data), Kind.PHOTO, "x.webp", fall_back=True)
    assert isinstance(document, Sensed)
    assert (document.kind, document.file_name) == (Kind.DOCUMENT, "x.webp")
    assert document.content_type == "image/webp"
    refused = sendable(data, len(data), Kind.PHOTO, "x.webp", fall_back=False)
    assert isinstance(refused, Refused)
    assert refused == document.refusal


async def test_the_server_takes_what_we_take_and_refuses_what_we_refuse(bot_api: BotApi) -> None:
    """Two readers of headers (Pillow there) over real files. What is refused goes as a document."""
    bot = bot_api.bots[0]

    async def send(session: aiohttp.ClientSession, field: str, name: str, data: bytes) -> Any:
        form = aiohttp.FormData({"chat_id": str(bot.chats[0][0])})
        form.add_field(field, io.BytesIO(data), filename=name)
        url = f"{bot_api.base}/bot{bot.token}/send{field}"
        async with session.post(url, data=form) as answer:
            return await answer.json()

    async with aiohttp.ClientSession() as session:
        for name, data in EVERY.items():
            seen = sensed(data)
            fitting = seen.file_name if seen.refusal is None else "a.jpg"
            answer = await send(session, "photo", fitting, data)
            assert answer["ok"] is (seen.refusal is None), f"{name}: {answer} {seen}"
            if seen.refusal is not None:
                assert (await send(session, "document", "a.bin", data))["ok"], name
        refused = await send(session, "photo", "a.bin", FIT["jpeg"])
    assert "photo has unsupported extension" in refused["description"]
