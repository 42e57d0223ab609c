"""One exchange after another with servers that behave badly: each has a clear outcome, none hangs,
and no byte lands where it does not belong."""

import asyncio
import hashlib
import os
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any
from unittest.mock import patch

import pytest

from prewarmd.worker.http.answer import COLLECTED_BYTES_MAX, Answer, Place, Small
from prewarmd.worker.http.connection import SCRATCH_BYTES, Connection
from prewarmd.worker.http.dialer import Dialer, Origin
from prewarmd.worker.http.errors import GarbledError, HttpError, LostError, TimedOutError
from prewarmd.worker.http.head import Head
from prewarmd.worker.http.patience import Patience
from prewarmd.worker.http.pool import Pool
from tests.support.loops import OnLoop, until_true
from tests.worker.http.servers import (
    Script,
    Wire,
    answering,
    goes_within,
    request_of,
    serving,
    silence,
)

GET = b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n"
POST = b"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n"
QUICK = Patience(head_s=0.4, idle_s=0.4, slow_s=0.6, slow_bytes=1000)
GUARD = b"\xa5" * 64


class Extent:
    """A sink with memory of the length that is told, between guards."""

    def __init__(self, length: int) -> None:
        self.memory = bytearray(GUARD + bytes(length) + GUARD)
        self.view = memoryview(self.memory)[len(GUARD) : -len(GUARD)]
        self.told: list[int] = []
        self.heads: list[Head] = []

    def place(self, head: Head) -> memoryview | Place:
        self.heads.append(head)
        return self.view if head.length == len(self.view) else Place.COLLECT

    def landed(self, done_bytes: int) -> None:
        self.told.append(done_bytes)

    def check(self, body: bytes) -> None:
        """All of the body is here, and nothing beside it."""
        assert bytes(self.view) == body
        assert self.memory[: len(GUARD)] == self.memory[-len(GUARD) :] == GUARD
        assert self.told == sorted(set(self.told) | {0})[-len(self.told) :]
        assert self.told[-1] == len(body)


class Waiting(Small):
    """A sink whose memory is still to be had."""

    extent: "Extent | None" = None

    def place(self, head: Head) -> Place:
        return Place.WAIT

    def landed(self, done_bytes: int) -> None:
        if self.extent is not None:
            self.extent.landed(done_bytes)


def answer(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """A whole one, with its length."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def telling(came: asyncio.Event) -> type[Connection]:
    """Connections that tell when something came in."""

    class Telling(Connection):
        def buffer_updated(self, nbytes: int) -> None:
            super().buffer_updated(nbytes)
            came.set()

    return Telling


def talk(
    script: Script,
    wire: Wire,
    then: Callable[[Connection], Awaitable[None]],
    came: asyncio.Event | None = None,
) -> Coroutine[Any, Any, None]:
    """Serve by `script`, take a connection from a pool, which ends what takes too long, do `then`,
    and see that nothing is left behind. `came` is set whenever the client has read something."""

    async def run() -> None:
        made = telling(came or asyncio.Event())
        with patch("prewarmd.worker.http.dialer.Connection", made):
            async with asyncio.timeout(20), serving(script, wire) as server:
                dialer = Dialer(Origin.of(server.url), context=wire.client)
                pool = Pool(dialer, limit=1, keepalive_s=30.0)
                await then(await pool.take())
                await pool.close()

    return run()


def fails(
    on_loop: OnLoop, wire: Wire, script: Script, error: type[HttpError], text: str, length: int = 10
) -> None:
    """A GET that ends so, after which the connection is gone and the guards are whole."""

    async def then(connection: Connection) -> None:
        extent = Extent(length)
        with pytest.raises(error, match=text):
            await connection.exchange(GET, extent, QUICK)
        assert not connection.is_fit
        assert extent.memory[: len(GUARD)] == extent.memory[-len(GUARD) :] == GUARD

    on_loop(talk(script, wire, then))


# -- bodies ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [1, 100, SCRATCH_BYTES, 100_000, 3_000_000])
@pytest.mark.parametrize("pieces", [0, 1000])
def test_a_body_lands_where_it_belongs(
    on_loop: OnLoop, wire: Wire, length: int, pieces: int
) -> None:
    """Media would be damaged, or somebody else's media."""
    if length // (pieces or length) > 200:
        pieces = length // 200
    body = os.urandom(length)

    async def then(connection: Connection) -> None:
        for _ in range(2):
            extent = Extent(length)
            got = await connection.exchange(GET, extent, QUICK)
            assert got.head.status == 200
            assert got.body == b""
            extent.check(body)
            assert connection.is_fit
        assert connection.used == 2

    came = asyncio.Event()
    script = answering(answer(body), answer(body), pieces=pieces, came=came)
    on_loop(talk(script, wire, then, came))


def test_every_byte_by_itself(on_loop: OnLoop, wire: Wire) -> None:
    """A head is torn anywhere by a network."""
    body = os.urandom(40)

    async def then(connection: Connection) -> None:
        extent = Extent(40)
        await connection.exchange(GET, extent, Patience())
        extent.check(body)

    came = asyncio.Event()
    on_loop(talk(answering(answer(body, 'ETag: "x"'), pieces=1, came=came), wire, then, came))


def test_memory_may_come_later(on_loop: OnLoop, wire: Wire) -> None:
    """An object of unknown size could not be fetched: memory is asked for when the head is in."""
    body = os.urandom(500_000)

    async def then(connection: Connection) -> None:
        waiting = Waiting()
        got = await connection.exchange(GET, waiting, QUICK)
        assert got.head.length == len(body)
        extent = waiting.extent = Extent(len(body))
        await connection.land(extent.view)
        extent.check(body)
        small = await connection.exchange(GET, Small(), QUICK)
        assert small.body == b"next"

    on_loop(talk(answering(answer(body), answer(b"next")), wire, then))


class Front(Extent):
    """Memory of just the front of a body."""

    def place(self, head: Head) -> memoryview | Place:
        return self.view


@pytest.mark.parametrize("wanted", [0, 1, 70_000, 2_999_999])
@pytest.mark.parametrize("waits", [False, True])
def test_of_a_body_just_the_front_may_be_wanted(
    on_loop: OnLoop, wire: Wire, wanted: int, waits: bool
) -> None:
    """The rest comes over other connections, and would be overwritten by this one."""
    body = os.urandom(3_000_000)

    async def then(connection: Connection) -> None:
        extent = Front(wanted)
        if waits:
            waiting = Waiting()
            await connection.exchange(GET, waiting, QUICK)
            waiting.extent = extent
            await connection.land(extent.view)
        else:
            await connection.exchange(GET, extent, QUICK)
        extent.check(body[:wanted])
        assert not connection.is_fit

    on_loop(talk(answering(answer(body)), wire, then))


def test_who_waits_for_memory_is_not_late(on_loop: OnLoop, wire: Wire) -> None:
    """An extent that is long in coming would cost a download that is under way."""
    body = os.urandom(100_000)

    async def then(connection: Connection) -> None:
        await connection.exchange(GET, Waiting(), QUICK)
        connection.sweep(asyncio.get_running_loop().time() + 3600)
        extent = Extent(len(body))
        await connection.land(extent.view)
        assert bytes(extent.view) == body

    on_loop(talk(answering(answer(body)), wire, then))


def test_a_connection_that_ends_while_memory_is_waited_for(on_loop: OnLoop, wire: Wire) -> None:
    """The extent that comes at last would wait for ever for its bytes."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_of(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 900000\r\n\r\nabc")
        await writer.drain()

    async def then(connection: Connection) -> None:
        await connection.exchange(GET, Waiting(), QUICK)
        with pytest.raises(LostError):
            await connection.land(memoryview(bytearray(900_000)))

    on_loop(talk(script, wire, then))


CHUNKED = b"HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("pieces", [0, 1])
def test_a_chunked_body_is_collected(on_loop: OnLoop, wire: Wire, pieces: int) -> None:
    """R2 and proxies answer errors so; their reason would be lost."""
    whole = CHUNKED + b"5\r\nhello\r\n7;x=y\r\n, world\r\n0\r\nTrailer: t\r\n\r\n"

    async def then(connection: Connection) -> None:
        for _ in range(2):
            got = await connection.exchange(GET, Extent(12), QUICK)
            assert (got.head.status, got.body) == (403, b"hello, world")
            assert connection.is_fit

    came = asyncio.Event()
    on_loop(talk(answering(whole, whole, pieces=pieces, came=came), wire, then, came))


def test_a_body_that_ends_with_the_connection(on_loop: OnLoop, wire: Wire) -> None:
    """Old proxies answer so."""

    async def then(connection: Connection) -> None:
        got = await connection.exchange(GET, Small(), QUICK)
        assert got.body == b"until the end"
        assert not connection.is_fit

    on_loop(talk(answering(b"HTTP/1.0 502 Bad\r\n\r\nuntil the end"), wire, then))


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_an_answer_without_a_body(on_loop: OnLoop, wire: Wire, status: str) -> None:
    """A 304 tells the length of what it does not send: who waits for it waits for ever."""
    bare = f"HTTP/1.1 {status}\r\nContent-Length: 99\r\n\r\n".encode()

    async def then(connection: Connection) -> None:
        for _ in range(2):
            got = await connection.exchange(GET, Extent(99), QUICK)
            assert got.body == b""
            assert connection.is_fit

    on_loop(talk(answering(bare, bare), wire, then))


def test_a_huge_error_is_cut(on_loop: OnLoop, wire: Wire) -> None:
    """A hundred megabytes of error page would fill a child's memory."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_of(reader)
        writer.write(b"HTTP/1.1 500 Oops\r\nContent-Length: 104857600\r\n\r\n")
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()

    async def then(connection: Connection) -> None:
        got = await connection.exchange(GET, Small(), QUICK)
        assert got.is_cut
        assert len(got.body) == COLLECTED_BYTES_MAX
        assert not connection.is_fit

    on_loop(talk(script, wire, then))


def test_interim_answers_are_passed_over(on_loop: OnLoop, wire: Wire) -> None:
    """A `100 Continue` nobody asked for would be taken for the answer."""
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"

    async def then(connection: Connection) -> None:
        extent = Extent(5)
        got = await connection.exchange(GET, extent, QUICK)
        assert got.head.status == 200
        extent.check(b"hello")
        assert connection.is_fit

    on_loop(talk(answering(interim + answer(b"hello")), wire, then))


def test_a_redirect_is_an_answer(on_loop: OnLoop, wire: Wire) -> None:
    """Following it would send a signature, or a token, to another host."""

    async def then(connection: Connection) -> None:
        got = await connection.exchange(GET, Small(), QUICK)
        assert (got.head.status, got.head.get(b"location")) == (307, "http://elsewhere/")

    moved = answer(b"", "Location: http://elsewhere/", status="307 Temporary Redirect")
    on_loop(talk(answering(moved), wire, then))


# -- behind the end --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "whole",
    [
        answer(b"0123456789") + b"garbage",
        answer(b"0123456789") + answer(b"smuggled"),
        answer(b"0123456789", "Connection: close"),
    ],
)
def test_what_comes_behind_the_end_ends_the_connection(
    on_loop: OnLoop, wire: Wire, whole: bytes
) -> None:
    """The next request would be answered by what somebody smuggled in."""

    async def then(connection: Connection) -> None:
        extent = Extent(10)
        await connection.exchange(GET, extent, QUICK)
        extent.check(b"0123456789")
        await asyncio.wait_for(connection.gone(), 2)
        assert not connection.is_fit

    on_loop(talk(answering(whole, b""), wire, then))


def test_garbage_between_requests(on_loop: OnLoop, wire: Wire) -> None:
    """The same, a little later."""
    answered: list[asyncio.Event] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_of(reader)
        writer.write(answer(b"0123456789"))
        await answered[0].wait()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nsmuggled!!")
        await reader.read()

    async def then(connection: Connection) -> None:
        extent = Extent(10)
        answered.append(asyncio.Event())
        await connection.exchange(GET, extent, QUICK)
        answered[0].set()
        await asyncio.wait_for(connection.gone(), 2)
        extent.check(b"0123456789")
        with pytest.raises(LostError):
            await connection.exchange(GET, Extent(10), QUICK)

    on_loop(talk(script, wire, then))


def test_a_connection_closed_between_requests(on_loop: OnLoop, wire: Wire) -> None:
    """It is known before it is used again, or the request ends as lost and may be sent anew."""

    async def then(connection: Connection) -> None:
        await connection.exchange(GET, Extent(1), QUICK)
        await asyncio.wait_for(connection.gone(), 2)
        assert not connection.is_fit
        with pytest.raises(LostError):
            await connection.exchange(GET, Extent(1), QUICK)

    on_loop(talk(answering(answer(b"x")), wire, then))


# -- lies ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"SSH-2.0-OpenSSH\r\n\r\n", "not HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", "Length"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello", "Length"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\nhello", "Length"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "Transfer-Encoding",
        ),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "coding"),
        (CHUNKED + b"zz\r\nhello\r\n", "chunk size"),
        (b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", "protocol"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * SCRATCH_BYTES, "a head of more than"),
    ],
)
def test_what_cannot_be_understood_is_refused(
    on_loop: OnLoop, wire: Wire, raw: bytes, text: str
) -> None:
    """Two readers that understand it in two ways are how requests are smuggled."""
    fails(on_loop, wire, answering(raw), GarbledError, text, length=5)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"", "before the answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Le", "before the answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123", "after 4 of 10 bytes"),
        (b"HTTP/1.1 500 No\r\nContent-Length: 11\r\n\r\n0123", "after 4 of 11 bytes"),
        (CHUNKED + b"5\r\nhel", "within the answer"),
    ],
)
def test_a_cut_answer_is_lost(on_loop: OnLoop, wire: Wire, raw: bytes, text: str) -> None:
    """Half an object would be taken for the whole."""
    fails(on_loop, wire, answering(raw), LostError, text)


# -- time ------------------------------------------------------------------------------------------


def slowly(raw: bytes, every_s: float) -> Script:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_of(reader)
        for at in range(len(raw)):
            writer.write(raw[at : at + 1])
            await writer.drain()
            if await goes_within(reader, every_s):
                return
        await reader.read()

    return script


@pytest.mark.parametrize(
    ("raw", "every_s", "text"),
    [
        (b"", 0.0, "no answer within 0.4 s"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc", 0.0, "not a byte moved for 0.4 s"),
        (answer(b"x" * 900), 0.002, "fewer than 1000 bytes moved in 0.6 s"),
    ],
)
def test_slow_servers(on_loop: OnLoop, wire: Wire, raw: bytes, every_s: float, text: str) -> None:
    """One byte a second would hold a slot for a week."""
    fails(on_loop, wire, slowly(raw, every_s), TimedOutError, text, length=900)


def test_an_exchange_has_an_end(on_loop: OnLoop, wire: Wire) -> None:
    """A limit on the whole is for what is never idle and never slow."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_of(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
        while not await goes_within(reader, 0.02):
            writer.write(b"x" * 10_000)
            await writer.drain()

    async def then(connection: Connection) -> None:
        with pytest.raises(TimedOutError, match=r"not done after 0.5 s"):
            await connection.exchange(GET, Extent(100_000_000), Patience(whole_s=0.5))

    on_loop(talk(script, wire, then))


# -- requests with a body --------------------------------------------------------------------------


def writing(view: memoryview) -> Callable[[Connection], Awaitable[None]]:
    async def write(connection: Connection) -> None:
        for at in range(0, len(view), connection.piece_bytes):
            if not await connection.write(view[at : at + connection.piece_bytes]):
                return

    return write


def at_once(memory: bytes | bytearray) -> Callable[[Connection], Awaitable[None]]:
    """All of it is the transport's before anything is answered, however little the socket takes."""

    async def write(connection: Connection) -> None:
        assert connection._transport is not None
        connection._transport.set_write_buffer_limits(len(memory))
        await connection.write(memoryview(memory))

    return write


@pytest.mark.parametrize("length", [0, 1, 100_000, 8_000_000])
def test_a_request_body_arrives_as_it_is(on_loop: OnLoop, wire: Wire, length: int) -> None:
    """Media would arrive damaged at Telegram."""
    body = os.urandom(length)
    heard: list[bytes] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_of(reader)
        heard.append(await reader.readexactly(length))
        writer.write(answer(b"ok"))
        await reader.read()

    async def then(connection: Connection) -> None:
        head = POST % length
        got = await connection.exchange(head, Small(), Patience(), writing(memoryview(body)))
        assert got.body == b"ok"
        assert connection.is_fit
        assert connection.sent_bytes >= length + len(head)
        assert heard == [body]

    on_loop(talk(script, wire, then))


def test_an_answer_that_comes_while_the_last_piece_is_waited_for_is_not_early(
    on_loop: OnLoop, wire: Wire
) -> None:
    """Each upload over TLS would end its connection, and the next one cost a handshake more than
    all of its bytes."""
    body = os.urandom(100_000)

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(2):
            await request_of(reader)
            await reader.readexactly(len(body))
            writer.write(answer(b"ok"))
        await reader.read()

    async def write(connection: Connection) -> None:
        await connection.write(memoryview(body), last=True)
        await connection.until(asyncio.get_running_loop().create_future())  # until it is here

    async def then(connection: Connection) -> None:
        for _ in range(2):
            got = await connection.exchange(POST % len(body), Small(), Patience(), write)
            assert got.body == b"ok"
            assert connection.is_fit

    on_loop(talk(script, wire, then))


def test_an_extent_is_free_only_when_nothing_refers_to_it(on_loop: OnLoop) -> None:
    """The server answers at once and reads slowly: memory that is used again meanwhile would reach
    Telegram as another's media (measured: it did)."""
    body = os.urandom(12_000_000)
    memory = bytearray(body)
    heard = hashlib.sha256()
    came, finished = asyncio.Event(), asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_of(reader)
        writer.write(answer(b"ok"))
        await came.wait()
        left = len(body)
        while left and (piece := await reader.read(min(left, 100_000))):
            heard.update(piece)
            left -= len(piece)
        finished.set()

    async def then(connection: Connection) -> None:
        await connection.exchange(POST % len(body), Small(), Patience(), at_once(memory))
        memory[:] = bytes(len(memory))
        assert connection.is_fit
        await finished.wait()
        assert heard.digest() == hashlib.sha256(body).digest()

    on_loop(talk(script, Wire(), then, came))


def test_a_server_that_answers_and_reads_no_more(on_loop: OnLoop) -> None:
    """The extent would be waited for until the daemon ends."""
    body = bytes(30_000_000)

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_of(reader)
        writer.write(answer(b"ok"))
        await writer.drain()
        await silence()

    async def then(connection: Connection) -> None:
        got = await connection.exchange(POST % len(body), Small(), QUICK, at_once(body))
        assert got.body == b"ok"
        assert not connection.is_fit

    on_loop(talk(script, Wire(), then))


@pytest.mark.parametrize("status", ["413 Payload Too Large", "429 Too Many Requests"])
def test_an_early_answer_stops_the_body(on_loop: OnLoop, wire: Wire, status: str) -> None:
    """Megabytes would be sent to a server that has refused them already; and the reason would be
    lost when it closes."""
    body = bytes(30_000_000)

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_of(reader)
        writer.write(answer(b'{"ok":false}', status=status))
        await writer.drain()
        await silence()

    async def then(connection: Connection) -> None:
        got = await connection.exchange(
            POST % len(body), Small(), Patience(), writing(memoryview(body))
        )
        assert got.head.status == int(status[:3])
        assert got.body == b'{"ok":false}'
        assert not connection.is_fit, "the server waits for the rest"

    on_loop(talk(script, wire, then))


def test_a_server_that_stops_reading(on_loop: OnLoop, wire: Wire) -> None:
    """An upload would stand still for ever; how much had left is told exactly."""
    body = bytes(30_000_000)

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_of(reader)
        await silence()

    async def then(connection: Connection) -> None:
        with pytest.raises(TimedOutError, match="not a byte moved"):
            await connection.exchange(POST % len(body), Small(), QUICK, writing(memoryview(body)))
        assert not connection.is_fit

    on_loop(talk(script, wire, then))


def test_a_server_that_goes_while_we_send(on_loop: OnLoop, wire: Wire) -> None:
    """The rest of the body would be written into nothing."""
    body = bytes(30_000_000)

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_of(reader)
        await reader.readexactly(100_000)
        writer.transport.abort()

    async def then(connection: Connection) -> None:
        with pytest.raises(LostError, match="bytes of the request"):
            await connection.exchange(POST % len(body), Small(), QUICK, writing(memoryview(body)))
        assert 100_000 <= connection.sent_bytes < len(body)

    on_loop(talk(script, wire, then))


def test_what_is_written_into_nothing_is_not_sent(on_loop: OnLoop, wire: Wire) -> None:
    """A transport that has found its peer gone takes all it is given: an upload that broke in its
    middle would count as perhaps delivered."""
    body = memoryview(bytes(30_000_000))
    wanted: list[bool] = []
    gone: list[asyncio.Event] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_of(reader)
        writer.transport.abort()
        gone[0].set()

    async def write(connection: Connection) -> None:
        await gone[0].wait()
        for at in range(0, len(body), connection.piece_bytes):
            wanted.append(await connection.write(body[at : at + connection.piece_bytes]))
            if not wanted[-1]:
                return

    async def then(connection: Connection) -> None:
        gone.append(asyncio.Event())
        with pytest.raises(LostError):
            await connection.exchange(POST % len(body), Small(), QUICK, write)
        assert not wanted[-1]
        assert len(wanted) * connection.piece_bytes < len(body)

    on_loop(talk(script, wire, then))


# -- cancelled -------------------------------------------------------------------------------------


def test_who_is_cancelled_leaves_no_reference(on_loop: OnLoop, wire: Wire) -> None:
    """An extent would be given to another object while the kernel still fills it."""
    body = os.urandom(2_000_000)

    goes_on: list[asyncio.Event] = []
    ended: list[asyncio.Event] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_of(reader)
        writer.write(answer(body)[:1_000_000])
        await writer.drain()
        await goes_on[0].wait()
        try:
            for _ in range(100):
                writer.write(answer(body)[1_000_000:])
                await writer.drain()
        finally:
            ended[0].set()

    async def then(connection: Connection) -> None:
        goes_on.append(asyncio.Event())
        ended.append(asyncio.Event())
        extent = Extent(len(body))
        running = asyncio.ensure_future(connection.exchange(GET, extent, Patience()))
        await until_true(lambda: bool(extent.told))
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        extent.memory[:] = bytes(len(extent.memory))
        goes_on[0].set()
        await ended[0].wait()
        assert not any(extent.memory)

    on_loop(talk(script, wire, then))


def test_answers_are_told_apart() -> None:
    """A mistake in this file's own helper would pass every test."""
    assert answer(b"x").startswith(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n")
    assert Answer(Head()).body == b""
