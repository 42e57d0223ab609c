"""The store as a child sees it: a real S3 server, and servers that misbehave on a real socket."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Protocol

import pytest

from prewarmd.core.faults import FAULTS
from prewarmd.sandbox.town import Town
from prewarmd.worker.landing import Landing, Memory
from prewarmd.worker.r2 import ObjectStore
from prewarmd.worker.refusals import ObjectError, UnchangedError
from prewarmd.worker.spec import StoreSpec


def spec_of(town: Town, **changes: Any) -> StoreSpec:
    spec = StoreSpec(
        endpoint=town.endpoint, region="auto", access_key_id=town.store.access_key_id,
        secret_access_key=town.store.secret_access_key, ca_file=None, connections=4,
        keepalive_s=10, connect_timeout_s=2, header_timeout_s=2, body_timeout_s=1,
    )  # fmt: skip
    return replace(spec, **changes)


class Getter(Protocol):
    """Either way to an object."""

    async def get(self, bucket: str, key: str, etag: str, landing: Landing, memory: Memory) -> str:
        """See Fetcher."""


async def landed(
    getter: Getter, bucket: str = "media", key: str = "x", etag: str = "",
    size: int | None = None, steps: list[int] | None = None,
) -> tuple[bytes, str, str]:  # fmt: skip
    """Bytes, hash and ETag of an object; its memory is asked for unless the size is told, and how
    many bytes had landed is added to `steps`."""

    async def memory(size_bytes: int, _: str) -> memoryview:
        return memoryview(bytearray(size_bytes))

    steps = [] if steps is None else steps
    view = None if size is None else memoryview(bytearray(size))
    landing = Landing(view, steps.append)
    got = await getter.get(bucket, key, etag, landing, memory)
    assert landing.view is not None
    assert steps[-1] == len(landing.view)
    assert hashlib.sha256(landing.view).hexdigest() == landing.sha256
    return bytes(landing.view), landing.sha256, got


async def refusal(getter: Getter, bucket: str = "media", key: str = "x") -> ObjectError:
    """The error of a GET that must fail."""
    with pytest.raises(ObjectError) as failed:
        await landed(getter, bucket, key)
    assert failed.value.code in FAULTS
    return failed.value


async def test_a_body_lands_whole_and_hashed(town: Town) -> None:
    """Twenty megabytes through one connection; asked again with its ETag there is no body."""
    data = bytes(range(251)) * 80_000
    await town.store.put("r2/large.bin", data)
    async with ObjectStore(spec_of(town)) as store:
        steps: list[int] = []
        got, sha256, etag = await landed(store, key="r2/large.bin", steps=steps)
        assert steps == sorted(steps)
        assert got == data
        assert sha256 == hashlib.sha256(data).hexdigest()
        with pytest.raises(UnchangedError):
            await landed(store, key="r2/large.bin", etag=etag)
        await town.store.put("r2/large.bin", b"other")
        assert (await landed(store, key="r2/large.bin", etag=etag))[0] == b"other"


async def test_keys_of_every_sort_are_found(town: Town) -> None:
    """What S3 allows in a key survives signing and URL encoding."""
    keys = ["r2/a b+c&d=e?f#g%h.txt", "r2/ünï/日本.txt", "r2/'quotes\".txt", "r2/~tilde(1).txt"]
    async with ObjectStore(spec_of(town)) as store:
        for key in keys:
            await town.store.put(key, key.encode())
            assert (await landed(store, key=key))[0] == key.encode()


async def test_pages_of_a_listing_continue_behind_a_key(town: Town) -> None:
    """Checkpoint by key: nothing twice, nothing left out."""
    names = [f"r2-list/{number:04}" for number in range(1005)]
    await town.store.put_all([(name, b"x") for name in names])
    async with ObjectStore(spec_of(town)) as store:
        first, after = await store.list("media", "r2-list/", "")
        rest, end = await store.list("media", "r2-list/", after)
        assert [key for key, _, _ in first + rest] == names
        assert (after, end) == (names[999], "")
        assert all(size_bytes == 1 and etag for _, size_bytes, etag in first)


async def test_refusals_have_their_codes(town: Town) -> None:
    """What is missing, what is not allowed, what is not there."""
    async with ObjectStore(spec_of(town)) as store:
        assert (await refusal(store, "media", "r2/never")).code == "NoSuchKey"
        assert (await refusal(store, "no-such-bucket", "x")).code == "NoSuchBucket"
        await store.check_bucket("media")
    async with ObjectStore(spec_of(town, secret_access_key="0" * 32)) as store:
        assert (await refusal(store, "media", "r2/never")).code == "BadCredentials"
    async with ObjectStore(spec_of(town, access_key_id="nobody")) as store:
        assert (await refusal(store, "media", "r2/never")).code == "BadCredentials"
    async with ObjectStore(spec_of(town, endpoint="http://127.0.0.1:9")) as store:
        assert (await refusal(store, "media", "r2/never")).code == "StoreUnreachable"


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def misbehaving(*answer: bytes, hang: bool = False) -> AsyncIterator[str]:
    """A server that says the same to every request, whatever it is; its URL."""
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for piece in answer:
            writer.write(piece)
            await writer.drain()
        if hang:
            await ended.wait()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        ended.set()
        server.close()


HEAD = b'HTTP/1.1 200 OK\r\nContent-Length: 10\r\nETag: "e"\r\n\r\n'


@pytest.mark.parametrize(
    ("pieces", "hang", "code"),
    [
        ((HEAD, b"12345"), False, "ShortBody"),
        ((HEAD, b"12345"), True, "StoreTimeout"),
        ((), True, "StoreTimeout"),
        ((), False, "ShortBody"),
        ((b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n",), False, "StoreError"),
        ((b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\n\r\n",), False, "StoreError"),
        ((b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n",), False, "BadCredentials"),
        ((b"this is no HTTP\r\n\r\n",), False, "StoreUnreachable"),
    ],
)
async def test_a_server_that_misbehaves_is_a_named_fault(
    town: Town, pieces: tuple[bytes, ...], hang: bool, code: str
) -> None:
    """Cut in the body, silence in the body, silence at once, rubbish: each its own code."""
    async with misbehaving(*pieces, hang=hang) as endpoint:
        spec = spec_of(town, endpoint=endpoint, connect_timeout_s=0.5, header_timeout_s=0.5,
                       body_timeout_s=0.5)  # fmt: skip
        async with ObjectStore(spec) as store:
            assert (await refusal(store, "media", "x")).code == code
