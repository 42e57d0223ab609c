"""Thumbnails as a child fetches, judges and sends them: with every way in which an upload goes, and
never a message when one cannot be had."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import uvloop

from prewarmd.core import reports, verbs
from prewarmd.core.about import About
from prewarmd.core.faults import FAULTS
from prewarmd.core.jobs import Kind
from prewarmd.worker.refusals import ObjectError
from prewarmd.worker.spec import TelegramSpec
from prewarmd.worker.thumbnail import BYTES_MAX, ThumbnailError, check_thumbnail, fetch_thumbnail
from tests.support.loops import OnLoop
from tests.support.pictures import commented, picture
from tests.worker.children import Child, child
from tests.worker.http.servers import request_of, serving, silence
from tests.worker.recipients import Recipient, reading
from tests.worker.stores import RangedStore, refusal_of
from tests.worker.test_fetch import lean

BODY = os.urandom(1_500_000)
SMALL = picture("JPEG", 320, 180)
LARGEST = picture("JPEG", 320, 320).ljust(BYTES_MAX, b"\0")
FETCH, UPLOAD = 1, 2
WAYS = ("whole", "behind", "relay")


class Bucket:
    """A film, and what is under `thumb.jpg`. It is a script for `serving`."""

    def __init__(self, thumbnail: bytes, refusal: bytes = b"", *, hangs: bool = False) -> None:
        self.film, self.thumbnail = RangedStore(BODY), RangedStore(thumbnail)
        self.refusal = refusal
        self.hangs = hangs
        self.asked = asyncio.Event()
        """For the thumbnail."""

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await request_of(reader)
            if not head.startswith(b"GET /media/thumb.jpg "):
                await self.film.answer(head, writer)
                continue
            self.asked.set()
            if self.hangs:
                await silence()
            if self.refusal:
                writer.write(self.refusal)
            else:
                await self.thumbnail.answer(head, writer)


@asynccontextmanager
async def between(bucket: Bucket, recipient: Recipient) -> AsyncIterator[Child]:
    """A child between both servers, with the film in its arena."""
    async with (
        serving(bucket) as near,
        serving(recipient) as far,
        child(near.url, TelegramSpec(far.url)) as worker,
    ):
        yield worker


async def sent(worker: Child, way: str, about: About) -> None:
    """Have the film sent in one of three ways."""
    to = (UPLOAD, UPLOAD, 1, 1, "alpha", 1, Kind.DOCUMENT)
    if way == "relay":
        worker.say(verbs.Relay(*to, "media", "x", len(BODY), "", "x.bin", about))
        return
    worker.say(verbs.Fetch(FETCH, 0, 1, 1, "media", "x", 0, len(BODY), "", ""))
    await worker.hears(reports.Landing if way == "behind" else reports.Fetched, FETCH)
    behind = FETCH if way == "behind" else 0
    worker.say(verbs.Upload(*to, 0, len(BODY), "x.bin", behind, "media", about))


THUMB = About(thumbnail="thumb.jpg")


ON_UVLOOP = pytest.mark.parametrize("on_loop", [uvloop.new_event_loop], indirect=True)
"""A child's own."""


@ON_UVLOOP
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("thumbnail", [SMALL, LARGEST])
def test_it_goes_before_its_media(on_loop: OnLoop, way: str, thumbnail: bytes) -> None:
    """Once its media is there, no thumbnail can be added."""

    async def run() -> None:
        recipient = reading()
        async with between(Bucket(thumbnail), recipient) as worker:
            await sent(worker, way, THUMB)
            if way == "relay":
                await worker.hears(reports.Passed, UPLOAD)
            worker.say(verbs.Seal(UPLOAD))
            await worker.hears(reports.UploadFailed, UPLOAD)  # that server knows no Telegram
            heard = recipient.heard
            assert b'name="thumbnail"\r\n\r\nattach://thumb\r\n' in heard
            assert 0 < heard.index(thumbnail) < heard.index(BODY)
            assert heard.endswith(b"--\r\n")

    on_loop(run())


@ON_UVLOOP
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("bucket", "code", "words"),
    [
        (Bucket(b"", refusal_of("404 Not Found")), "NoThumbnail", "'thumb.jpg'"),
        (Bucket(b"<html>"), "UnfitThumbnail", "'thumb.jpg' is no JPEG"),
        (Bucket(LARGEST + b"\0"), "UnfitThumbnail", "has 200001 bytes; it may have 200000"),
        (Bucket(b"", refusal_of("503 Slow Down")), "StoreError", "thumbnail 'thumb.jpg': 503"),
        (Bucket(b"", refusal_of("403 No")), "BadCredentials", "thumbnail 'thumb.jpg': 403"),
    ],
)
def test_without_it_nothing_is_sent(
    on_loop: OnLoop, way: str, bucket: Bucket, code: str, words: str
) -> None:
    """The media would be without it for good; and whose fault that is, the code tells."""

    async def run() -> None:
        recipient = reading()
        async with between(bucket, recipient) as worker:
            await sent(worker, way, THUMB)
            failed = await worker.hears(reports.FetchFailed, UPLOAD)
            assert failed.code == code
            assert words in failed.detail
            assert recipient.bodies == []
            worker.say(verbs.Drop(UPLOAD))  # too late, and answered once

    on_loop(run())


@ON_UVLOOP
@pytest.mark.parametrize("way", WAYS)
def test_a_drop_ends_its_fetch(on_loop: OnLoop, way: str) -> None:
    """Its slot would be held for as long as a store may be silent."""

    async def run() -> None:
        recipient, bucket = reading(), Bucket(b"", hangs=True)
        async with between(bucket, recipient) as worker:
            await sent(worker, way, THUMB)
            await bucket.asked.wait()
            worker.say(verbs.Drop(UPLOAD))
            stopped = await worker.hears(reports.UploadFailed, UPLOAD)
            assert stopped.code == "Stopped"
            assert recipient.bodies == []

    on_loop(run())


@pytest.mark.parametrize(
    "data", [SMALL, LARGEST, picture("JPEG", 1, 320), commented(picture("JPEG", 9, 9), 60_000)]
)
def test_what_telegram_would_use_passes(data: bytes) -> None:
    """Wherever its frame is."""
    check_thumbnail("t", data)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (picture("JPEG", 321, 320), "has 321 x 320 pixels; its sides may have 320"),
        (picture("JPEG", 10, 400), "has 10 x 400 pixels"),
        (picture("PNG", 10, 10), "is no JPEG"),
        (picture("WEBP", 10, 10), "is no JPEG"),
        (SMALL[:40], "is no JPEG whose size can be read"),
        (b"\xff\xd8\xff" + bytes(190_000), "is no JPEG whose size can be read"),
    ],
)
def test_what_telegram_would_ignore_is_named(data: bytes, words: str) -> None:
    """It ignores without a word; here the key and the rule are told."""
    with pytest.raises(ThumbnailError) as raised:
        check_thumbnail("t/a.jpg", data)
    assert raised.value.code == "UnfitThumbnail"
    assert raised.value.detail.startswith("'t/a.jpg' ")
    assert words in raised.value.detail


async def test_an_empty_one_is_unfit_and_not_an_empty_media() -> None:
    """EmptyObject would send its reader to look at the film."""
    async with serving(Bucket(b"", refusal_of("200 OK"))) as server:
        fetcher = lean(server.url)
        with pytest.raises(ObjectError, match=r"^UnfitThumbnail: 'thumb\.jpg' has no bytes$"):
            await fetch_thumbnail(fetcher, "media", "thumb.jpg")
        await fetcher.close()


def test_its_faults_say_that_nothing_was_sent() -> None:
    """A client that reads "failed" must know that its chat has no message, and no gate opens."""
    for code in ("NoThumbnail", "UnfitThumbnail"):
        assert "nothing was sent" in FAULTS[code].meaning
        assert FAULTS[code].is_ours
