"""Connections that are kept: as many as there may be, each given to who is next, none lost."""

import asyncio
import gc

import pytest

from prewarmd.worker.http.answer import Small
from prewarmd.worker.http.dialer import Dialer, Origin
from prewarmd.worker.http.errors import UnreachableError
from prewarmd.worker.http.patience import Patience
from prewarmd.worker.http.pool import Pool
from tests.support.loops import OnLoop, descriptors, until_true
from tests.worker.http.servers import Wire, request_of, serving

GET = b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
WAIT_S = 20.0
CANCELLED = 1000


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers for ever."""
    while True:
        await request_of(reader)
        writer.write(OK)
        await writer.drain()


def pool_of(url: str, wire: Wire, limit: int = 4, keepalive_s: float = 30.0) -> Pool:
    return Pool(Dialer(Origin.of(url), context=wire.client), limit=limit, keepalive_s=keepalive_s)


async def ask(pool: Pool) -> bytes:
    """One exchange."""
    connection = await pool.take()
    try:
        return (await connection.exchange(GET, Small(), Patience())).body
    finally:
        pool.give(connection)


def test_connections_are_kept_and_bounded(on_loop: OnLoop, wire: Wire) -> None:
    """A handshake for each object would cost more than the object; a thousand at once would be
    refused."""

    async def run() -> None:
        async with asyncio.timeout(WAIT_S), serving(echo, wire) as server:
            pool = pool_of(server.url, wire)
            for _ in range(5):
                assert await ask(pool) == b"ok"
            assert len(server.accepted) == 1
            assert await asyncio.gather(*(ask(pool) for _ in range(50))) == [b"ok"] * 50
            assert len(server.accepted) <= 4
            assert pool.connections <= 4
            await pool.close()

    on_loop(run())


def test_who_waits_longest_is_next(on_loop: OnLoop) -> None:
    """A transfer would starve behind those that came after it."""

    async def run() -> None:
        async with asyncio.timeout(WAIT_S), serving(echo) as server:
            pool = pool_of(server.url, Wire(), limit=1)
            order: list[int] = []

            async def one(number: int) -> None:
                connection = await pool.take()
                order.append(number)
                await connection.exchange(GET, Small(), Patience())
                pool.give(connection)

            await asyncio.gather(*(one(number) for number in range(10)))
            assert order == list(range(10))
            await pool.close()

    on_loop(run())


def test_an_idle_connection_does_not_live_for_ever(on_loop: OnLoop) -> None:
    """The store closes it some day, and the next request would find that out."""

    async def run() -> None:
        async with asyncio.timeout(WAIT_S), serving(echo) as server:
            pool = pool_of(server.url, Wire(), keepalive_s=0.1)
            await ask(pool)
            await until_true(lambda: pool.connections == 0)
            assert await ask(pool) == b"ok"
            assert len(server.accepted) == 2
            await pool.close()

    on_loop(run())


def test_a_fresh_one_was_never_used(on_loop: OnLoop) -> None:
    """A request that was lost on a kept connection is tried once more: not on another stale one."""

    async def run() -> None:
        async with asyncio.timeout(WAIT_S), serving(echo) as server:
            pool = pool_of(server.url, Wire())
            await ask(pool)
            connection = await pool.take(fresh=True)
            assert connection.used == 0
            pool.give(connection)
            await pool.close()

    on_loop(run())


def test_a_server_that_is_not_there(on_loop: OnLoop) -> None:
    """Its places would be lost one by one, and then nothing would go anywhere any more."""

    async def run() -> None:
        async with serving(echo) as server:
            port = server.port
        pool = pool_of(f"http://127.0.0.1:{port}", Wire(), limit=2)
        outcomes = await asyncio.gather(*(ask(pool) for _ in range(10)), return_exceptions=True)
        assert all(isinstance(outcome, UnreachableError) for outcome in outcomes), outcomes
        assert pool.connections == 0

    on_loop(run())


@pytest.mark.parametrize("limit", [1, 8])
def test_a_thousand_cancelled_transfers_leave_nothing(
    on_loop: OnLoop, wire: Wire, limit: int
) -> None:
    """Cancelled while waiting, dialling, sending or receiving: a place or a descriptor lost each
    time, and a daemon stands still after a day."""

    async def run() -> None:
        async with asyncio.timeout(50), serving(echo, wire) as server:
            pool = pool_of(server.url, wire, limit=limit)
            await ask(pool)
            for start in range(0, CANCELLED, 50):
                tasks = [asyncio.ensure_future(ask(pool)) for _ in range(50)]
                after_s = start // 50 % 7 / 2000
                await asyncio.wait(tasks, timeout=after_s, return_when=asyncio.FIRST_COMPLETED)
                for task in tasks[:: 1 + start // 50 % 2]:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            assert await asyncio.gather(*(ask(pool) for _ in range(20))) == [b"ok"] * 20
            assert pool.connections <= limit
            await pool.close()
            assert pool.connections == 0

    gc.collect()
    before = descriptors()
    on_loop(run())
    assert descriptors() == before
