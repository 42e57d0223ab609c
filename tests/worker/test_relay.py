"""Objects that pass through a window, from stores that behave and stores that do not, to recipients
that are slow: what arrives is the object, or nothing; and nothing of it stays."""

import asyncio
import hashlib
import os
import random
import tracemalloc
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
import uvloop

from prewarmd.worker.fetch import Fetcher
from prewarmd.worker.http.answer import Answer, Small
from prewarmd.worker.http.connection import Connection
from prewarmd.worker.http.dialer import Dialer, Origin
from prewarmd.worker.http.patience import Patience
from prewarmd.worker.http.pool import Pool
from prewarmd.worker.media import Ways
from prewarmd.worker.refusals import ObjectError
from prewarmd.worker.relay import CELL_BYTES, CELLS, Passing
from prewarmd.worker.spec import StoreSpec
from tests.support.loops import OnLoop, opened, until_true
from tests.transfers import Source
from tests.worker.http.servers import Wire, request_of, reset, serving, silence
from tests.worker.http.test_connection import talk
from tests.worker.recipients import POST, TAIL, Recipient, reading
from tests.worker.stores import Ask, Misdeed, RangedStore, refusal_of
from tests.worker.test_r2 import landed

LONG = Patience(head_s=15, idle_s=15, slow_s=15, slow_bytes=0)
SIZE_BYTES = 3 * CELL_BYTES + 12_345
BODY = os.urandom(SIZE_BYTES)
HUGE_BYTES = 256 << 20
MEMORY_BYTES_MAX = 16 << 20


@dataclass
class Way:
    """From a store to a recipient."""

    fetcher: Fetcher
    pool: Pool
    sealed: asyncio.Future[None]
    passed: list[tuple[str, str]] = field(default_factory=list)
    told: list[int] = field(default_factory=list)
    sent: int = 0
    passing: Passing | None = None

    async def go(self, size_bytes: int, sha256: str = "", *, seals: bool = True) -> Answer | str:
        """Relay an object; the code of what went wrong at the store."""

        def passed(sha256: str, etag: str) -> None:
            self.passed.append((sha256, etag))
            if seals:
                self.sealed.set_result(None)

        def sent() -> None:
            self.sent += 1

        async def memory(told_bytes: int, _: str) -> memoryview:
            if told_bytes != size_bytes:
                raise ObjectError("Other", "the size")
            return memoryview(b"")

        ways = Ways(self.told.append, sent)
        passing = self.passing = Passing(self.fetcher, passed, self.sealed, ways, sha256)
        try:
            await passing.open("media", "x", memory)
            return await self._exchange(passing)
        except ObjectError as error:
            return error.code

    async def _exchange(self, passing: Passing) -> Answer:
        connection = await self.pool.take()
        try:
            request = POST % (passing.size_bytes + len(TAIL))
            body = passing.body(TAIL, connection)
            return await connection.exchange(request, Small(), LONG, body)
        finally:
            self.pool.give(connection)

    def renew(self) -> None:
        """For another object."""
        self.sealed = asyncio.get_running_loop().create_future()


class Load:
    """How many GETs a store answers at once."""

    def __init__(self, store: RangedStore) -> None:
        self.now = self.most = 0
        self._send = store.send
        store.send = self._counted  # type: ignore[method-assign]

    async def _counted(self, ask: Ask, writer: asyncio.StreamWriter, size_bytes: int) -> None:
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await self._send(ask, writer, size_bytes)
        finally:
            self.now -= 1


@asynccontextmanager
async def way(
    store: RangedStore,
    recipient: Recipient,
    wire: Wire | None = None,
    *,
    connections: int = 10,
) -> AsyncIterator[Way]:
    """Both servers, and what is between them, with so many places to the store; nothing is left of
    it afterwards."""
    wire = wire or Wire()
    async with (
        asyncio.timeout(60),
        serving(store) as near,
        serving(recipient, wire) as far,
    ):
        spec = StoreSpec(
            endpoint=near.url, region="auto", access_key_id="id", secret_access_key="secret",
            connections=connections, connect_timeout_s=5, header_timeout_s=5, body_timeout_s=5,
        )  # fmt: skip
        fetcher = Fetcher(spec, Source())
        pool = Pool(
            Dialer(Origin.of(far.url), context=wire.client, connect_s=5), limit=4, keepalive_s=30
        )
        yield Way(fetcher, pool, asyncio.get_running_loop().create_future())
        await pool.close()
        await fetcher.close()


# -- what arrives ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "size_bytes",
    [1, CELL_BYTES, CELL_BYTES + 1, 2 * CELL_BYTES, 7 * CELL_BYTES + 777],
)
def test_what_arrives_is_the_object(on_loop: OnLoop, wire: Wire, size_bytes: int) -> None:
    """A cell too few, or one that is used again too early, is another film."""
    body = random.Random(size_bytes).randbytes(size_bytes)
    store, recipient = RangedStore(body), reading(keeps=False)
    sha256 = hashlib.sha256(body).hexdigest()

    async def run() -> None:
        async with way(store, recipient, wire) as go:
            for promised in ("", sha256):
                go.renew()
                answer = await go.go(size_bytes, promised)
                assert isinstance(answer, Answer)
                assert answer.head.status == 200
                assert recipient.sha256 == sha256
                assert recipient.heard_bytes == size_bytes + len(TAIL)
                assert (go.passed[-1], go.told[-1]) == ((sha256, "one"), size_bytes)
            assert go.pool.connections == 1  # the same one, twice
            cells = -(-size_bytes // CELL_BYTES)
            assert len(store.asked) == 2 * cells
            assert all(ask.is_pinned for ask in store.asked if not ask.is_plain)

    on_loop(run())


def test_its_end_waits_for_the_seal(on_loop: OnLoop) -> None:
    """Two gigabytes that are ready for that bot already would make a second message."""
    recipient = reading(keeps=False)

    async def run() -> None:
        async with way(RangedStore(BODY), recipient) as go:
            relaying = asyncio.ensure_future(go.go(SIZE_BYTES, seals=False))
            await until_true(lambda: bool(go.passed))
            await until_true(lambda: recipient.heard_bytes == SIZE_BYTES)
            assert go.sent == 0
            relaying.cancel()
            await recipient.was_reset.wait()
            assert recipient.heard_bytes == SIZE_BYTES
            await asyncio.wait([relaying])
            assert relaying.cancelled()

    on_loop(run())


# -- stores that misbehave -------------------------------------------------------------------------


def part(number: int, act: Misdeed) -> Misdeed:
    """Do it to each request that begins with that cell."""

    async def misdeed(ask: Ask, writer: asyncio.StreamWriter) -> bool:
        return ask.start == number * CELL_BYTES and await act(ask, writer)

    return misdeed


def answering(answer: Callable[[Ask], bytes]) -> Misdeed:
    """Just that."""

    async def act(ask: Ask, writer: asyncio.StreamWriter) -> bool:
        writer.write(answer(ask))
        return True

    return act


def store_of(*headers: str) -> RangedStore:
    """A store of the body."""
    return RangedStore(BODY, headers=headers or ('ETag: "one"',))


def _all_of_it(ask: Ask) -> bytes:
    return b'HTTP/1.1 200 OK\r\nETag: "one"\r\nContent-Length: %d\r\n\r\n' % SIZE_BYTES + BODY


@pytest.mark.parametrize(
    ("store", "misdeed", "sha256", "code"),
    [
        (store_of(), None, "0" * 64, "Sha256Mismatch"),
        (store_of(), part(2, answering(lambda _: refusal_of("412 No"))), "", "ObjectChanged"),
        (store_of(), part(1, answering(_all_of_it)), "", "StoreError"),
        (store_of(), part(3, answering(lambda _: refusal_of("404 No"))), "", "NoSuchKey"),
        (store_of(), part(0, answering(lambda _: refusal_of("404 No"))), "", "NoSuchKey"),
        (store_of(), part(0, answering(lambda _: refusal_of("503 Slow"))), "", "StoreError"),
        (store_of("Server: x"), None, "", "StoreError"),
        (store_of('ETag: W/"one"'), None, "", "StoreError"),
    ],
    ids=["other bytes", "changed", "no ranges", "gone", "never there", "busy", "no ETag", "weak"],
)
def test_what_cannot_be_had_leaves_no_message(
    on_loop: OnLoop, store: RangedStore, misdeed: Misdeed | None, sha256: str, code: str
) -> None:
    """Half of it, or halves of two, would be warm for ever."""
    store.misdeed = misdeed
    recipient = reading(keeps=False)

    async def run() -> None:
        async with way(store, recipient) as go:
            assert await go.go(SIZE_BYTES, sha256) == code
            assert (go.passed, go.sent) == ([], 0)
            assert recipient.heard_bytes <= SIZE_BYTES
            assert go.pool.connections == 0
            if recipient.bodies:
                await recipient.was_reset.wait()

    on_loop(run())


@pytest.mark.parametrize("number", [0, 1, 3])
@pytest.mark.parametrize("is_rude", [False, True])
def test_what_breaks_is_taken_up_where_it_broke(
    on_loop: OnLoop, number: int, is_rude: bool
) -> None:
    """After an hour of sending, one lost connection to the store would cost it all."""
    store, recipient = store_of(), reading(keeps=False)

    broke = 0

    async def act(ask: Ask, writer: asyncio.StreamWriter) -> bool:
        nonlocal broke
        broke += 1
        if broke > 2:
            return False
        writer.write(store.head(ask))
        await store.send(ask, writer, 10_000)
        if is_rude:
            reset(writer)
        return True

    store.misdeed = part(number, act)

    async def run() -> None:
        async with way(store, recipient) as go:
            assert isinstance(await go.go(SIZE_BYTES), Answer)
            assert recipient.sha256 == hashlib.sha256(BODY).hexdigest()
            assert len(store.asked) > SIZE_BYTES // CELL_BYTES + 1

    on_loop(run())


def test_another_size_than_was_told(on_loop: OnLoop) -> None:
    """The request names its length beforehand: it would be cut, or never end. It is dropped while
    it waits for an answer, with the store's connection in its hands."""
    recipient = reading(keeps=False)

    async def run() -> None:
        async with way(store_of(), recipient) as go:
            opened = asyncio.Event()

            async def memory(size_bytes: int, _: str) -> memoryview:
                opened.set()
                await silence()
                raise AssertionError

            passing = Passing(
                go.fetcher, lambda *_: None, go.sealed, Ways(lambda _: None, lambda: None), ""
            )
            opening = asyncio.ensure_future(passing.open("media", "x", memory))
            await opened.wait()
            opening.cancel()
            await asyncio.wait([opening])
            assert opening.cancelled()
            assert await go.go(SIZE_BYTES - 1) == "Other"
            assert go.pool.connections == 0
            assert isinstance(await go.go(SIZE_BYTES), Answer)

    on_loop(run())


# -- recipients ------------------------------------------------------------------------------------


def test_a_slow_recipient_has_a_full_window(on_loop: OnLoop) -> None:
    """More GETs than cells would need more memory; fewer, and each cell waits for the store."""
    body = os.urandom((CELLS + 5) * CELL_BYTES)
    store, recipient = RangedStore(body), Recipient(keeps=False)
    load = Load(store)

    async def run() -> None:
        async with way(store, recipient) as go:
            relaying = asyncio.ensure_future(go.go(len(body)))

            def is_full() -> bool:
                """Each cell that has come free was asked for, and filled."""
                if load.now or len(store.asked) < CELLS:
                    return False
                return go.told[-1] <= (len(store.asked) - CELLS + 1) * CELL_BYTES

            await until_true(is_full)
            assert len(store.asked) <= CELLS + 3  # the recipient's socket has taken some
            recipient.reads.set()
            assert isinstance(await relaying, Answer)
            assert recipient.sha256 == hashlib.sha256(body).hexdigest()
            assert load.most <= CELLS

    on_loop(run())


def test_some_places_are_left_to_the_others(on_loop: OnLoop) -> None:
    """Photos would wait for a place behind two gigabytes."""
    body = os.urandom((CELLS + 1) * CELL_BYTES)
    held = 0
    may_go = asyncio.Event()

    async def holds(ask: Ask, _: asyncio.StreamWriter) -> bool:
        nonlocal held
        if not ask.is_plain:
            held += 1
            await may_go.wait()
        return False

    store, recipient = RangedStore(body, holds), reading(keeps=False)

    async def run() -> None:
        async with way(store, recipient, connections=4) as go:
            relaying = asyncio.ensure_future(go.go(len(body)))
            await until_true(lambda: held == 2)
            async with asyncio.timeout(10):
                assert (await landed(go.fetcher))[0] == body
            assert held == 2
            may_go.set()
            assert isinstance(await relaying, Answer)
            assert recipient.sha256 == hashlib.sha256(body).hexdigest()

    on_loop(run())


@pytest.mark.parametrize("at", [0, 300_000, SIZE_BYTES])
def test_an_early_answer_ends_it(on_loop: OnLoop, wire: Wire, at: int) -> None:
    """Two gigabytes would be read for a message that is refused already; and who is refused while
    it waits for its socket would learn that from a time-out."""
    early = b"HTTP/1.1 429 Too Many\r\nContent-Length: 2\r\n\r\n{}"
    recipient = reading(early=early, early_at=at, keeps=False)

    async def run() -> None:
        async with asyncio.timeout(10), way(store_of(), recipient, wire) as go:
            answer = await go.go(SIZE_BYTES, seals=False)
            assert isinstance(answer, Answer)
            assert (answer.head.status, go.sent) == (429, 0)

    on_loop(run())


def test_an_early_answer_ends_the_wait_for_an_empty_transport(on_loop: OnLoop, wire: Wire) -> None:
    """Between two cells a refusal would be heard of when the upload's time is over."""
    is_held, piece = asyncio.Event(), bytes(16 << 10)

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_of(reader)
        await is_held.wait()
        writer.write(refusal_of("429 Many"))
        await silence()

    async def body(connection: Connection) -> None:
        written = connection.sent_bytes
        while written - connection.sent_bytes < connection.piece_bytes // 2:
            assert await connection.write(piece)
            written += len(piece)
        is_held.set()
        assert not await connection.flushed()

    async def then(connection: Connection) -> None:
        answer = await connection.exchange(POST % HUGE_BYTES, Small(), LONG, body)
        assert answer.head.status == 429

    on_loop(talk(script, wire, then))


# -- what stays ------------------------------------------------------------------------------------


class Huge(bytes):
    """Larger than it is."""

    def __len__(self) -> int:
        return HUGE_BYTES


@pytest.mark.parametrize("on_loop", [uvloop.new_event_loop], indirect=True)
def test_a_large_object_takes_no_more_memory_than_its_window(on_loop: OnLoop) -> None:
    """Four of two gigabytes would be the end of the machine."""
    page = os.urandom(1_000_003)
    digest = hashlib.sha256()

    class Store(RangedStore):
        """It has one page of the object, again and again."""

        async def send(self, ask: Ask, writer: asyncio.StreamWriter, size_bytes: int) -> None:
            at = ask.start
            while at < ask.start + size_bytes:
                begins = at % len(page)
                piece = page[begins : begins + min(1 << 18, ask.start + size_bytes - at)]
                writer.write(piece)
                await writer.drain()
                at += len(piece)

    left = HUGE_BYTES
    while left:
        digest.update(page[:left])
        left -= min(left, len(page))
    store = Store(Huge())
    recipient = reading(keeps=False)

    async def run() -> None:
        async with way(store, recipient) as go:
            tracemalloc.start(1)
            try:
                assert isinstance(await go.go(HUGE_BYTES, digest.hexdigest()), Answer)
                assert tracemalloc.get_traced_memory()[1] < MEMORY_BYTES_MAX
            finally:
                tracemalloc.stop()

    on_loop(run())


def test_fifty_that_are_cancelled_leave_nothing(on_loop: OnLoop) -> None:
    """A descriptor, a connection, a task or a window lost each time, and after a day none is
    left."""
    chance = random.Random(1)

    async def run() -> None:
        store, recipient = store_of(), reading(keeps=False)
        async with way(store, recipient):
            pass  # libuv keeps a descriptor in reserve from its first listener on
        before = opened()
        async with way(store, recipient) as go:
            for _ in range(50):
                go.renew()
                relaying = asyncio.ensure_future(go.go(SIZE_BYTES))
                await asyncio.wait([relaying], timeout=chance.random() * 0.02)
                relaying.cancel()
                await asyncio.wait([relaying])
            assert go.pool.connections <= 1
            go.renew()
            assert isinstance(await go.go(SIZE_BYTES), Answer)
            assert recipient.sha256 == hashlib.sha256(BODY).hexdigest()
        await until_true(lambda: opened() <= before)
        await until_true(lambda: len(asyncio.all_tasks()) == 1)

    on_loop(run())
