"""Media that follow their downloads, against real sockets: what leaves, when the closing boundary
does, and what is left behind when it never may."""

import asyncio
import contextlib
import gc
import hashlib
import os
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from prewarmd.core.jobs import Kind
from prewarmd.worker.answers import Refused
from prewarmd.worker.http.answer import Answer, Small
from prewarmd.worker.http.connection import Connection
from prewarmd.worker.http.errors import TimedOutError
from prewarmd.worker.http.patience import Patience
from prewarmd.worker.landing import HASHED_AT_ONCE, Landing
from prewarmd.worker.media import Trailing, Ways
from prewarmd.worker.refusals import ObjectError
from prewarmd.worker.spec import TelegramSpec
from prewarmd.worker.telegram import Telegram
from tests.support.loops import OnLoop, begun, until_true
from tests.worker.http.servers import Wire, serving
from tests.worker.http.test_connection import talk
from tests.worker.recipients import POST, TAIL, Recipient, reading

SIZE_BYTES = 700_001
LARGE_BYTES = 12 << 20
"""More than socket buffers take."""
LONG = Patience(head_s=15, idle_s=15, slow_s=15, slow_bytes=0)
STEPS = (1, 65_535, 65_536, 65_537, 200_000, 200_001, 640_000, SIZE_BYTES)
TOO_MANY = b"HTTP/1.1 429 Too Many\r\nContent-Length: 2\r\n\r\n{}"
TOO_LARGE = b"HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class Seal(asyncio.Future[None]):
    """Tells when somebody waits for it."""

    is_awaited = False

    def add_done_callback(self, *args: Any, **more: Any) -> None:
        """See asyncio."""
        self.is_awaited = True
        super().add_done_callback(*args, **more)

    async def wanted(self) -> None:
        """Until somebody does."""
        await until_true(lambda: self.is_awaited)


class Download:
    """An object that lands as the test wants it, in memory that is free afterwards."""

    def __init__(self, size_bytes: int = SIZE_BYTES, sha256: str = "") -> None:
        self.data = os.urandom(size_bytes)
        self.extent = bytearray(size_bytes)
        self.sealed = Seal(loop=asyncio.get_running_loop())
        self.landing = Landing(memoryview(self.extent), lambda _: None, sha256)
        self.told: list[int] = []
        self.sent = 0
        self._promised = sha256
        self.begin("one")

    def media(self) -> Trailing:
        """An upload that follows it."""
        return Trailing(
            memoryview(self.extent), self.landing, self.sealed, Ways(self.told.append, self._sent)
        )

    def begin(self, etag: str) -> None:
        """It comes, perhaps anew."""
        self._at = 0
        self.landing.begin(len(self.data), etag)

    def _sent(self) -> None:
        self.sent += 1

    def land(self, to: int) -> None:
        """Its bytes are there up to `to`."""
        before, self._at = self._at, to
        self.extent[before:to] = self.data[before:to]
        self.landing.landed(0, before, to)

    async def land_all(self) -> None:
        """And it is verified."""
        self.land(len(self.data))
        await self.landing.verify()

    async def fail(self) -> None:
        """As the fetcher does: by its hash, if another was promised and all is there."""
        failure = ObjectError("StoreTimeout", "x")
        if self._at == len(self.data) and self._promised:
            with pytest.raises(ObjectError) as failed:
                await self.landing.verify()
            failure = ObjectError(failed.value.code, failed.value.detail)
        self.landing.fail(failure)

    def check_free(self) -> None:
        """Nothing refers to its memory; the last of what a test does."""
        assert self.landing.view is not None
        self.landing.view.release()
        self.extent.append(0)  # BufferError if anything refers to it


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """What is free is free at once, and not when garbage happens to be collected."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


async def sent(
    download: Download, connection: Connection, patience: Patience = LONG
) -> Answer | ObjectError | None:
    """Upload it; None when that was cancelled."""
    media = download.media()
    head = POST % (media.size_bytes + len(TAIL))
    try:
        return await connection.exchange(head, Small(), patience, media.body(TAIL, connection))
    except ObjectError as error:
        return ObjectError(error.code, error.detail)
    except asyncio.CancelledError:
        return None


async def heard(recipient: Recipient, size_bytes: int) -> None:
    """So much, and no more."""
    await until_true(lambda: recipient.heard_bytes == size_bytes)


def test_it_follows_and_withholds_its_end_until_it_is_sealed(on_loop: OnLoop, wire: Wire) -> None:
    """Bytes in another order are another film; an end that is sent too early makes a message of a
    download that may yet fail; a connection for each upload costs a handshake each time."""
    recipient = reading()

    async def then(connection: Connection) -> None:
        for number in (1, 2):
            download = Download()
            upload = asyncio.ensure_future(sent(download, connection))
            for step in STEPS:
                download.land(step)
                there = download.landing.done_bytes
                await heard(recipient, there)
                assert recipient.heard == download.data[:there]
            assert recipient.heard_bytes == SIZE_BYTES
            await until_true(lambda: connection.rests)
            assert not download.sealed.is_awaited
            await download.landing.verify()
            await download.sealed.wanted()
            assert not upload.done()
            assert (recipient.heard_bytes, download.sent) == (SIZE_BYTES, 0)
            download.sealed.set_result(None)
            answer = await upload
            assert isinstance(answer, Answer)
            assert answer.head.status == 200
            assert recipient.heard == download.data + TAIL
            assert (download.told[-1], download.sent) == (SIZE_BYTES, 1)
            assert download.told == sorted(download.told)
            assert (connection.is_fit, connection.used) == (True, number)
            del upload
            download.check_free()

    on_loop(talk(recipient, wire, then))


@pytest.mark.parametrize("how", ["it fails", "it fails at its end", "its hash is wrong"])
def test_a_bad_download_leaves_no_message(on_loop: OnLoop, wire: Wire, how: str) -> None:
    """Half a film, or another one than was promised, would be warm for ever; memory that is still
    referred to would be sent as another's."""
    recipient = reading()

    async def then(connection: Connection) -> None:
        download = Download(sha256="0" * 64 if how == "its hash is wrong" else "")
        upload = asyncio.ensure_future(sent(download, connection))
        download.land(300_000)
        await heard(recipient, 300_000)
        if how != "it fails":
            download.land(SIZE_BYTES)
            await heard(recipient, SIZE_BYTES)
        await download.fail()
        error = await upload
        assert isinstance(error, ObjectError)
        assert error.code == ("Sha256Mismatch" if how == "its hash is wrong" else "StoreTimeout")
        await recipient.was_reset.wait()
        assert recipient.heard_bytes <= SIZE_BYTES
        assert (connection.is_fit, download.sent) == (False, 0)
        del upload, error
        download.check_free()

    with uncollected():
        on_loop(talk(recipient, wire, then))


@pytest.mark.parametrize("early", [TOO_MANY, TOO_LARGE], ids=["429", "413"])
@pytest.mark.parametrize("at", [0, 300_000, SIZE_BYTES], ids=["its head", "bytes", "the seal"])
def test_an_early_answer_ends_it(on_loop: OnLoop, wire: Wire, early: bytes, at: int) -> None:
    """A lane would be held by an upload that is refused already, until its download is over."""
    recipient = reading(early=early, early_at=at)

    async def then(connection: Connection) -> None:
        download = Download()
        upload = asyncio.ensure_future(sent(download, connection))
        if at:
            download.land(at)
        if at == SIZE_BYTES:
            await download.landing.verify()
        answer = await upload
        assert isinstance(answer, Answer)
        assert answer.head.status in (413, 429)
        assert (connection.is_fit, download.sent) == (False, 0)
        del upload
        download.check_free()

    with uncollected():
        on_loop(talk(recipient, wire, then))


async def test_an_early_success_is_none() -> None:
    """Telegram cannot have what was not sent: the job would be ready with another file's id."""
    accepted = (
        b'{"ok":true,"result":{"message_id":1,"document":{"file_id":"a","file_unique_id":"b"}}}'
    )
    early = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(accepted) + accepted
    for at in (0, SIZE_BYTES):
        async with asyncio.timeout(10), serving(reading(early=early, early_at=at)) as server:
            spec = TelegramSpec(server.url)
            async with Telegram(spec, {"alpha": "1:x"}) as telegram:
                download = Download()
                if at:
                    await download.land_all()
                outcome = await telegram.send("alpha", 1, Kind.DOCUMENT, download.media(), "a.bin")
                assert isinstance(outcome, Refused)
                assert outcome.code == "BadAnswer"


def test_a_slow_download_is_not_held_against_telegram(on_loop: OnLoop, wire: Wire) -> None:
    """Each upload behind a slow store would be cut, and its lane be taken for broken."""
    recipient = reading()
    patience = Patience(head_s=5, idle_s=0.3, slow_s=0.4, slow_bytes=1 << 20)

    async def then(connection: Connection) -> None:
        download = Download()
        upload = asyncio.ensure_future(sent(download, connection, patience))

        async def an_hour() -> None:
            """It passes, and Telegram knows nothing of it."""
            await until_true(lambda: connection.rests)
            connection.sweep(asyncio.get_running_loop().time() + 3600)

        for step in (HASHED_AT_ONCE, 2 * HASHED_AT_ONCE, SIZE_BYTES):
            await an_hour()
            download.land(step)
            await heard(recipient, step)
        await download.landing.verify()
        await download.sealed.wanted()
        await an_hour()
        download.sealed.set_result(None)
        assert isinstance(await upload, Answer)

    on_loop(talk(recipient, wire, then))


def test_a_telegram_that_takes_nothing_is(on_loop: OnLoop, wire: Wire) -> None:
    """A dead connection would hold lane, slot and memory for ever, as long as bytes are there."""
    recipient = Recipient()
    patience = Patience(head_s=5, idle_s=0.3)

    async def then(connection: Connection) -> None:
        download = Download(LARGE_BYTES)
        upload = asyncio.ensure_future(sent(download, connection, patience))
        download.land(LARGE_BYTES)
        with contextlib.suppress(TimedOutError):
            await upload
        assert isinstance(upload.exception(), TimedOutError)
        assert download.told[-1] < LARGE_BYTES
        assert download.sent == 0

    on_loop(talk(recipient, wire, then))


async def _at_bytes(download: Download, recipient: Recipient) -> None:
    download.land(300_000)
    await heard(recipient, 300_000)


async def _at_write(download: Download, recipient: Recipient) -> None:
    download.land(LARGE_BYTES)
    await until_true(lambda: len(download.told) > 1)


async def _at_verified(download: Download, recipient: Recipient) -> None:
    download.land(SIZE_BYTES)
    await heard(recipient, SIZE_BYTES)


async def _at_seal(download: Download, recipient: Recipient) -> None:
    await _at_verified(download, recipient)
    await download.landing.verify()
    await download.sealed.wanted()


async def _at_head(download: Download, recipient: Recipient) -> None:
    await until_true(lambda: bool(recipient.bodies))


async def _at_once(download: Download, recipient: Recipient) -> None:
    """Its first wait is where it is."""


@pytest.mark.parametrize(
    "point", [_at_once, _at_head, _at_bytes, _at_write, _at_verified, _at_seal]
)
def test_who_is_dropped_holds_nothing(
    on_loop: OnLoop, wire: Wire, point: Callable[[Download, Recipient], Awaitable[None]]
) -> None:
    """Its memory is the next object's at once: what still referred to it would send that."""
    recipient = Recipient() if point is _at_write else reading()

    async def then(connection: Connection) -> None:
        download = Download(LARGE_BYTES if point is _at_write else SIZE_BYTES)
        upload = await begun(sent(download, connection))
        await point(download, recipient)
        upload.cancel()
        assert await upload is None
        assert (connection.is_fit, download.sent) == (False, 0)
        del upload
        download.check_free()

    with uncollected():
        on_loop(talk(recipient, wire, then))


def test_an_object_that_comes_anew_is_the_same_for_who_follows(on_loop: OnLoop) -> None:
    """The first half of one film and the second of another would be sent as one."""
    recipient = reading()

    async def then(connection: Connection) -> None:
        download = Download()
        upload = asyncio.ensure_future(sent(download, connection))
        download.land(300_000)
        await heard(recipient, 300_000)
        download.begin("one")
        download.land(100_000)
        await until_true(lambda: connection.rests)
        assert recipient.heard_bytes == 300_000
        await download.land_all()
        download.sealed.set_result(None)
        assert isinstance(await upload, Answer)
        assert recipient.heard == download.data + TAIL
        assert hashlib.sha256(download.data).hexdigest() == download.landing.sha256
        with pytest.raises(ObjectError):
            download.landing.begin(SIZE_BYTES, "two")

    on_loop(talk(recipient, Wire(), then))
