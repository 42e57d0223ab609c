"""GETs over our own connections: a real S3 server, the same through aiobotocore beside it, and
servers that misbehave on purpose."""

import asyncio
import email.utils
import os
import re
from dataclasses import dataclass, field
from typing import Any

import pytest

from prewarmd.sandbox.town import Town
from prewarmd.worker.fetch import TRIES_MAX, Fetcher
from prewarmd.worker.r2 import ObjectStore
from prewarmd.worker.refusals import UnchangedError
from prewarmd.worker.signing import Credentials
from prewarmd.worker.spec import StoreSpec
from tests.worker.http.servers import Script, answering, request_of, serving
from tests.worker.test_r2 import HEAD, landed, misbehaving, refusal, spec_of

KEYS = Credentials("id", "secret")
NOW = 1_800_000_000.0


@dataclass
class Source:
    """Credentials; those after the first are told when they are asked for anew."""

    known: list[Credentials] = field(default_factory=lambda: [KEYS])
    asked_anew: int = 0

    async def credentials(self, *, anew: bool = False) -> Credentials:
        """See CredentialSource."""
        if anew:
            self.asked_anew += 1
            if len(self.known) > 1:
                self.known.pop(0)
        return self.known[0]


def lean(url: str, source: Source | None = None, connections: int = 4, **options: Any) -> Fetcher:
    """A fetcher that waits for nothing long."""
    spec = StoreSpec(
        endpoint=url, region="auto", access_key_id="id", secret_access_key="secret",
        connections=connections, connect_timeout_s=1, header_timeout_s=1, body_timeout_s=1,
    )  # fmt: skip
    return Fetcher(spec, source or Source(), clock=lambda: NOW, **options)


# -- beside aiobotocore ----------------------------------------------------------------------------


async def test_both_paths_give_the_same_of_a_real_store(town: Town) -> None:
    """An object would be another one, or refused, by the way in which it is asked for."""
    objects = {
        "fetch/a b+c&d=e?f#g%h.txt": b"awkward",
        "fetch/ünï//日本/../x/./y.txt": b"dots and slashes",
        "fetch/'quotes\".~(1).txt": b"q",
        "fetch/large.bin": os.urandom(5_000_000),
        "fetch/in-parts.bin": os.urandom(40 << 20),
    }
    spec = spec_of(town)
    async with ObjectStore(spec) as store:
        fetcher = Fetcher(spec, store)
        for key, data in objects.items():
            if ".." not in key:  # aiobotocore asks for another key than it was told
                await town.store.put(key, data)
                theirs = await landed(store, key=key)
                for size in (None, len(data), len(data) + 1):
                    assert await landed(fetcher, key=key, size=size) == theirs
                with pytest.raises(UnchangedError):
                    await landed(fetcher, key=key, etag=theirs[2])
        for bucket, key in (("media", "fetch/never"), ("no-such-bucket", "x")):
            refused = await refusal(store, bucket, key)
            assert (await refusal(fetcher, bucket, key)).code == refused.code
        await fetcher.close()


async def test_a_wrong_secret_is_refused_on_both_paths(town: Town) -> None:
    """The store's own check of our signatures: it would let anything pass otherwise."""
    spec = spec_of(town, secret_access_key="0" * 32)
    async with ObjectStore(spec) as store:
        fetcher = Fetcher(spec, store)
        assert (await refusal(fetcher, key="fetch/large.bin")).code == "BadCredentials"
        await fetcher.close()


async def test_sizes_are_the_same_on_both_paths(town: Town) -> None:
    """A job would be levelled, or refused, by the way in which its size is asked for; and a body
    waited for that a HEAD never has would hold the connection until it times out."""
    await town.store.put("fetch/a size.bin", b"12345")
    spec = spec_of(town)
    async with ObjectStore(spec) as store:
        fetcher = Fetcher(spec, store)
        for key in ("fetch/a size.bin", "fetch/never", "fetch/a size.bin"):
            assert await fetcher.size("media", key) == await store.size("media", key)
        await fetcher.close()


@pytest.mark.parametrize(
    "pieces",
    [
        (),
        (b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n",),
        (b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\n\r\n",),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",),
        (b"this is no HTTP\r\n\r\n",),
    ],
)
async def test_a_size_that_is_not_told_is_not_guessed(
    town: Town, pieces: tuple[bytes, ...]
) -> None:
    """A job would be taken for missing because the store was busy."""
    async with misbehaving(*pieces) as endpoint:
        fetcher = Fetcher(spec_of(town, endpoint=endpoint), Source())
        assert await fetcher.size("media", "x") is None
        await fetcher.close()


@pytest.mark.parametrize(
    ("pieces", "hang"),
    [
        ((HEAD, b"12345"), False),
        ((HEAD, b"12345"), True),
        ((), True),
        ((), False),
        ((b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n",), False),
        ((b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\n\r\n",), False),
        ((b"HTTP/1.1 429 Slow Down\r\nContent-Length: 0\r\n\r\n",), False),
        ((b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n",), False),
        ((b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n",), False),
        ((b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",), False),
        ((b"this is no HTTP\r\n\r\n",), False),
    ],
)
async def test_both_paths_name_a_fault_alike(
    town: Town, pieces: tuple[bytes, ...], hang: bool
) -> None:
    """What is retried, and what closes a bucket, would depend on the path."""
    async with misbehaving(*pieces, hang=hang) as endpoint:
        spec = spec_of(town, endpoint=endpoint, connect_timeout_s=0.5, header_timeout_s=0.5,
                       body_timeout_s=0.5)  # fmt: skip
        async with ObjectStore(spec) as store:
            fetcher = Fetcher(spec, store)
            theirs = await refusal(store)
            assert (await refusal(fetcher)).code == theirs.code
            await fetcher.close()


# -- what breaks in the middle ---------------------------------------------------------------------

BODY = os.urandom(400_000)


def breaking(
    asked: list[bytes], every_bytes: int, *, ranges: bool = True, etag: str = "one"
) -> Script:
    """Each connection ends after so many bytes of the object."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await request_of(reader)
        asked.append(head)
        at, status = 0, "200 OK"
        if (found := re.search(rb"range: bytes=(\d+)-", head)) and ranges:
            at = int(found[1])
            if f'if-match: "{etag}"'.encode() not in head:
                writer.write(b"HTTP/1.1 412 Precondition Failed\r\nContent-Length: 0\r\n\r\n")
                await writer.drain()
                return
            status = f"206 Partial\r\nContent-Range: bytes {at}-{len(BODY) - 1}/{len(BODY)}"
        piece = BODY[at : at + every_bytes] if ranges or len(asked) < 3 else BODY[at:]
        length = len(BODY) - at
        lines = f'HTTP/1.1 {status}\r\nContent-Length: {length}\r\nETag: "one"\r\n\r\n'
        writer.write(lines.encode() + piece)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    return script


@pytest.mark.parametrize("size", [None, len(BODY)])
async def test_a_cut_download_goes_on_where_it_was_cut(size: int | None) -> None:
    """Two gigabytes would begin anew each time that a connection breaks."""
    asked: list[bytes] = []
    async with serving(breaking(asked, 150_000)) as server:
        fetcher = lean(server.url)
        data, _, etag = await landed(fetcher, size=size)
        assert (data, etag) == (BODY, "one")
        ranges = [re.search(rb"range: (\S+)", head) for head in asked]
        assert [found and found[1] for found in ranges] == [
            None, b"bytes=150000-399999", b"bytes=300000-399999",
        ]  # fmt: skip
        await fetcher.close()


async def test_a_store_without_ranges_begins_anew() -> None:
    """The second answer's first half would be taken for the object's second."""
    asked: list[bytes] = []
    async with serving(breaking(asked, 150_000, ranges=False)) as server:
        fetcher = lean(server.url)
        assert (await landed(fetcher, size=len(BODY)))[0] == BODY
        assert len(asked) == 3
        await fetcher.close()


async def test_an_object_that_changed_meanwhile_is_told(town: Town) -> None:
    """One half would be of the old object, the other of the new one."""
    asked: list[bytes] = []
    async with serving(breaking(asked, 150_000, etag="two")) as server:
        fetcher = lean(server.url)
        assert (await refusal(fetcher)).code == "ObjectChanged"
        await fetcher.close()


async def test_what_breaks_again_and_again_is_given_up() -> None:
    """A slot would be held for ever by a store that sends ten bytes at a time."""
    asked: list[bytes] = []
    async with serving(breaking(asked, 10)) as server:
        fetcher = lean(server.url)
        assert (await refusal(fetcher)).code == "ShortBody"
        assert len(asked) == TRIES_MAX
        await fetcher.close()


async def test_a_kept_connection_that_was_closed_costs_nothing() -> None:
    """A store closes idle connections, and each time a job would fail."""
    asked: list[bytes] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await request_of(reader))
        writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nETag: "e"\r\n\r\nok')
        await writer.drain()
        asked.append(await request_of(reader))

    async with serving(script) as server:
        fetcher = lean(server.url)
        for _ in range(3):
            assert (await landed(fetcher))[0] == b"ok"
        assert len(asked) == 5
        assert len(server.accepted) == 3
        await fetcher.close()


# -- refused, and put right ------------------------------------------------------------------------


def xml(code: str) -> bytes:
    """S3's way to say why."""
    return f"<Error><Code>{code}</Code><Message>a &lt;b&gt;</Message></Error>".encode()


def forbidden(code: str, *headers: str) -> bytes:
    """A refusal."""
    body = xml(code)
    lines = ["HTTP/1.1 403 Forbidden", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


OK = b'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nETag: "e"\r\n\r\nok'


async def test_a_clock_that_is_wrong_is_put_right_by_the_stores() -> None:
    """A machine whose clock is an hour off could fetch nothing."""
    stamps: list[bytes] = []
    date = f"Date: {email.utils.formatdate(NOW + 3600, usegmt=True)}"

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            found = re.search(rb"x-amz-date: (\S+)", await request_of(reader))
            assert found
            stamps.append(found[1])
            writer.write(
                OK if found[1] == b"20270115T090000Z" else forbidden("RequestTimeTooSkewed", date)
            )
            await writer.drain()

    async with serving(script) as server:
        fetcher = lean(server.url)
        assert (await landed(fetcher))[0] == b"ok"
        assert (await landed(fetcher))[0] == b"ok"
        assert stamps == [b"20270115T080000Z", b"20270115T090000Z", b"20270115T090000Z"]
        await fetcher.close()


async def test_rotated_credentials_are_read_anew_once() -> None:
    """Temporary credentials expire, and every job would wait for a restart."""
    signers: list[bytes] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            found = re.search(rb"Credential=(\w+)/", await request_of(reader))
            assert found
            signers.append(found[1])
            writer.write(OK if found[1] == b"new" else forbidden("ExpiredToken"))
            await writer.drain()

    async with serving(script) as server:
        source = Source([Credentials("old", "s"), Credentials("new", "s", "token")])
        fetcher = lean(server.url, source)
        assert (await landed(fetcher))[0] == b"ok"
        assert signers == [b"old", b"new"]
        await fetcher.close()
        signers.clear()
        source = Source([Credentials("old", "s")])
        fetcher = lean(server.url, source)
        error = await refusal(fetcher)
        assert (error.code, error.detail) == ("BadCredentials", "ExpiredToken: a <b>")
        assert (signers, source.asked_anew) == ([b"old"], 1)
        await fetcher.close()


async def test_an_error_page_of_any_size_is_understood() -> None:
    """A proxy's page of a megabyte, an XML bomb: neither memory nor an entity is spent on it."""
    bomb = b"<!DOCTYPE x [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;'>]><Error><Code>&b;</Code></Error>"
    for body in (b"<html>" + b"x" * 3_000_000, bomb):
        head = f"HTTP/1.1 500 Oops\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        async with serving(answering(head + body)) as server:
            fetcher = lean(server.url)
            error = await refusal(fetcher)
            assert error.code == "StoreError"
            assert len(error.detail) < 320
            await fetcher.close()


async def test_a_redirect_is_not_followed() -> None:
    """Our signature, and a bucket's contents, would go to another host."""
    asked: list[bytes] = []

    async def elsewhere(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        asked.append(await request_of(reader))

    async with serving(elsewhere) as other:
        moved = f"HTTP/1.1 307 Moved\r\nLocation: {other.url}/\r\nContent-Length: 0\r\n\r\n"
        async with serving(answering(moved.encode())) as server:
            fetcher = lean(server.url)
            assert (await refusal(fetcher)).code == "StoreError"
            await fetcher.close()
    assert asked == []


async def test_an_empty_object_is_told() -> None:
    """Telegram refuses it, after an upload."""
    async with serving(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")) as server:
        fetcher = lean(server.url)
        assert (await refusal(fetcher)).code == "EmptyObject"
        await fetcher.close()


async def test_what_is_sent_is_what_r2_takes() -> None:
    """R2 refuses checksum headers (501), and compresses for who lets it, without a length."""
    asked: list[bytes] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await request_of(reader)).lower())
        writer.write(OK)
        await writer.drain()

    async with serving(script) as server:
        fetcher = lean(server.url + "/prefix")
        await landed(fetcher, key="a b")
        await fetcher.close()
    [head] = asked
    assert head.startswith(b"get /prefix/media/a%20b http/1.1\r\n")
    names = {line.partition(b":")[0] for line in head.split(b"\r\n")[1:] if line}
    assert names == {
        b"host", b"x-amz-content-sha256", b"x-amz-date", b"authorization", b"accept-encoding",
    }  # fmt: skip
    assert b"accept-encoding: identity\r\n" in head
