"""Large objects in parallel ranges, from a store that misbehaves in the middle of them."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from prewarmd.worker.fetch import TRIES_MAX, Fetcher
from prewarmd.worker.landing import Landing
from prewarmd.worker.ranges import AT_ONCE, RANGED_BYTES
from tests.support.loops import until_true
from tests.worker.http.servers import serving as serving_script
from tests.worker.http.servers import silence
from tests.worker.stores import Ask, Misdeed, RangedStore, meeting, refusal_of
from tests.worker.test_fetch import lean
from tests.worker.test_r2 import landed, refusal

BODY = os.urandom(RANGED_BYTES + 100_001)
STEP = -(-len(BODY) // AT_ONCE // 65536) * 65536
STARTS = [0, STEP, 2 * STEP, 3 * STEP]
CONNECTIONS = 8
"""Half of which are never a helper's, so that a large object has all that it may have."""


@asynccontextmanager
async def serving(store: RangedStore) -> AsyncIterator[Fetcher]:
    """A fetcher of that store; when it is over, no connection is at work."""
    async with serving_script(store) as server:
        fetcher = lean(server.url, connections=CONNECTIONS)
        yield fetcher
        await fetcher.close()


def store_of(misdeed: Misdeed | None = None, *headers: str) -> RangedStore:
    """One that serves `BODY`."""
    return RangedStore(BODY, misdeed, headers or ('ETag: "one"',))


@pytest.mark.parametrize("size", [None, len(BODY), len(BODY) - 1])
async def test_a_large_object_comes_in_parts_that_are_pinned(size: int | None) -> None:
    """At what a store gives one connection, a film would take four times as long; and parts of two
    versions would be put together."""
    store = store_of()
    async with serving(store) as fetcher:
        data, _, etag = await landed(fetcher, size=size)
        assert (data, etag) == (BODY, "one")
    first, *others = store.asked
    assert first.is_plain
    assert sorted(ask.start for ask in others) == STARTS[1:]
    assert sorted(ask.end for ask in others) == [*STARTS[2:], len(BODY)]
    assert all(ask.is_pinned for ask in others)


async def test_parts_do_come_at_the_same_time() -> None:
    """They would be asked for one by one, and nothing be won."""
    async with serving(store_of(meeting(AT_ONCE))) as fetcher:
        assert (await landed(fetcher))[0] == BODY


@pytest.mark.parametrize(
    "headers", [('ETag: W/"one"',), ("X: y",), ('ETag: "one"', "Accept-Ranges: none")]
)
async def test_what_cannot_be_pinned_comes_whole(headers: tuple[str, ...]) -> None:
    """A weak ETag is the same for two versions that differ, and they would be mixed."""
    store = store_of(None, *headers)
    async with serving(store) as fetcher:
        assert (await landed(fetcher))[0] == BODY
    assert [ask.is_plain for ask in store.asked] == [True]


async def test_each_part_goes_on_where_it_broke() -> None:
    """One connection of four that breaks would cost what the other three have brought."""
    broken: set[int] = set()

    async def breaks(ask: Ask, writer: asyncio.StreamWriter) -> bool:
        if ask.start in broken or ask.start not in STARTS:
            return False
        broken.add(ask.start)
        writer.write(store.head(ask))
        await store.send(ask, writer, 1_000_000)
        return True

    store = store_of(breaks)
    async with serving(store) as fetcher:
        assert (await landed(fetcher))[0] == BODY
    resumed = [ask for ask in store.asked if ask.start not in STARTS]
    assert sorted(ask.start for ask in resumed) == [start + 1_000_000 for start in STARTS]
    assert sorted(ask.end for ask in resumed) == [*STARTS[1:], len(BODY)]
    assert all(ask.is_pinned for ask in resumed)


def instead(answer: bytes, *, times: int = 1000) -> Misdeed:
    """That answer to the second part, so many times."""
    given = 0

    async def misdeed(ask: Ask, writer: asyncio.StreamWriter) -> bool:
        nonlocal given
        if ask.start != STARTS[1] or given == times:
            return False
        given += 1
        writer.write(answer)
        return True

    return misdeed


def changed(store: RangedStore, start: int, *headers: str) -> Misdeed:
    """The part that begins there comes with other headers."""

    async def misdeed(ask: Ask, writer: asyncio.StreamWriter) -> bool:
        if ask.start != start or ask.is_plain:
            return False
        writer.write(store.head(ask, *headers))
        await store.send(ask, writer, ask.end - ask.start)
        return True

    return misdeed


async def test_an_object_that_changes_between_ranges_ends_them_all() -> None:
    """Parts of two objects would make a third, and the others would go on for nothing."""
    going: set[int] = set()
    gone = 0

    async def changes(ask: Ask, writer: asyncio.StreamWriter) -> bool:
        nonlocal gone
        if ask.start == STARTS[1]:
            await until_true(lambda: len(going) == AT_ONCE - 1)
            writer.write(refusal_of("412 Precondition Failed"))
            return True
        writer.write(store.head(ask))
        await store.send(ask, writer, 100_000)
        going.add(ask.start)
        await until_true(writer.is_closing)
        gone += 1
        return True

    store = store_of(changes)
    async with serving(store) as fetcher:
        assert (await refusal(fetcher)).code == "ObjectChanged"
        await until_true(lambda: gone == AT_ONCE - 1)
    assert len(store.asked) == AT_ONCE


async def test_a_store_that_ignores_if_match_is_found_out() -> None:
    """It sends a part of the new version, with its ETag, and 206."""
    store = store_of()
    store.misdeed = changed(store, STARTS[2], 'ETag: "two"')
    async with serving(store) as fetcher:
        assert (await refusal(fetcher)).code == "ObjectChanged"


@pytest.mark.parametrize(
    "header",
    [
        f"Content-Range: bytes 0-{STEP - 1}/{len(BODY)}",
        f"Content-Range: bytes {STARTS[2]}-{STARTS[3] - 1}/{len(BODY) + 1}",
        f"Content-Range: bytes {STARTS[2]}-{STARTS[3] - 1}/*",
        "Content-Range: nonsense",
        f"Content-Length: {STEP + 1}",
        f"Content-Length: {STEP - 1}",
    ],
)
async def test_another_range_than_was_asked_for_is_not_taken(header: str) -> None:
    """A cache before the store mixes ranges up: the bytes would be at the wrong place."""
    store = store_of()
    store.misdeed = changed(store, STARTS[2], header)
    async with serving(store) as fetcher:
        assert (await refusal(fetcher)).code == "StoreError"


async def test_a_store_that_sends_all_for_a_part_is_asked_once_for_all() -> None:
    """A store without ranges would send the whole film to each connection."""
    whole = f'HTTP/1.1 200 OK\r\nContent-Length: {len(BODY)}\r\nETag: "one"\r\n\r\n'.encode()
    store = store_of()

    async def misdeed(ask: Ask, writer: asyncio.StreamWriter) -> bool:
        if not ask.is_plain:
            writer.write(whole + BODY)
        return not ask.is_plain

    store.misdeed = misdeed
    async with serving(store) as fetcher:
        assert (await landed(fetcher))[0] == BODY
    assert [ask.number for ask in store.asked if ask.is_plain] == [0, len(store.asked) - 1]


@pytest.mark.parametrize("status", ["503 Slow Down", "429 Too Many Requests", "500 Oops"])
async def test_a_store_that_wants_fewer_connections_gets_fewer(status: str) -> None:
    """R2 answers 429 to too many readers of one key: what has landed would be thrown away."""
    store = store_of(instead(refusal_of(status), times=1))
    async with serving(store) as fetcher:
        assert (await landed(fetcher))[0] == BODY
    assert len(store.asked) == AT_ONCE + 1


async def test_a_part_that_nobody_gets_fails_the_object() -> None:
    """It would be asked for again and again, without a pause."""
    store = store_of(instead(refusal_of("503 Slow Down")))
    async with serving(store) as fetcher:
        assert (await refusal(fetcher)).code == "StoreError"
    assert len([ask for ask in store.asked if ask.start == STARTS[1]]) <= AT_ONCE


async def test_a_part_that_always_breaks_fails_the_object() -> None:
    """A slot would be held for ever by a range that never comes."""
    store = store_of(instead(b""))
    async with serving(store) as fetcher:
        assert (await refusal(fetcher)).code == "ShortBody"
    times = len([ask for ask in store.asked if ask.start == STARTS[1]])
    assert TRIES_MAX <= times <= TRIES_MAX + AT_ONCE


async def test_a_part_that_stalls_is_asked_for_again() -> None:
    """One black hole among four connections would cost what the other three have brought."""
    stalled: list[Ask] = []

    async def stalls(ask: Ask, writer: asyncio.StreamWriter) -> bool:
        if ask.start != STARTS[3] or len(stalled) == 2:
            return False
        stalled.append(ask)
        if len(stalled) == 2:  # once before the head, once behind it
            writer.write(store.head(ask))
        await silence()
        return True

    store = store_of(stalls)
    async with serving(store) as fetcher:
        assert (await landed(fetcher))[0] == BODY


async def test_a_large_object_leaves_connections_to_others() -> None:
    """A film would keep all photos waiting."""
    holding: set[int] = set()
    free = asyncio.Event()

    async def holds(ask: Ask, writer: asyncio.StreamWriter) -> bool:
        if b"/small " in ask.head:
            writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nETag: "e"\r\n\r\nok')
            return True
        holding.add(ask.start)
        writer.write(store.head(ask))
        await free.wait()
        await store.send(ask, writer, ask.end - ask.start)
        return True

    store = store_of(holds)
    async with serving_script(store) as server:
        fetcher = lean(server.url, connections=4)
        film = asyncio.ensure_future(landed(fetcher))
        await until_true(lambda: len(holding) == 3)
        assert (await landed(fetcher, key="small"))[0] == b"ok"
        assert len(holding) == 3
        free.set()
        assert (await film)[0] == BODY
        await fetcher.close()


async def test_one_connection_is_enough() -> None:
    """A child with a single connection would wait for helpers that never come."""
    store = store_of()
    async with serving_script(store) as server:
        fetcher = lean(server.url, connections=1)
        assert (await landed(fetcher))[0] == BODY
        await fetcher.close()
    assert [ask.start for ask in store.asked] == STARTS


async def test_progress_tells_all_that_landed() -> None:
    """`status` would show a film at rest while three quarters of it come."""
    store = store_of()
    steps: list[int] = []

    async def front_is_last(ask: Ask, writer: asyncio.StreamWriter) -> bool:
        if not ask.is_plain:
            return False
        writer.write(store.head(ask))
        await until_true(lambda: bool(steps) and steps[-1] == len(BODY) - STEP)
        assert landing.done_bytes == 0
        await store.send(ask, writer, ask.end - ask.start)
        return True

    async def memory(size_bytes: int, _: str) -> memoryview:
        return memoryview(bytearray(size_bytes))

    store.misdeed = front_is_last
    landing = Landing(None, steps.append)
    async with serving(store) as fetcher:
        await fetcher.get("media", "x", "", landing, memory)
    assert steps == sorted(steps)
    assert steps[-1] == len(BODY)
