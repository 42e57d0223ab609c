"""The hashing sink of `make bench-data`: whether it would notice."""

import asyncio
import hashlib
import os
from collections import Counter
from collections.abc import Iterator

import aiohttp
import pytest

from bench.data.sink import Sink


@pytest.fixture(scope="module")
def sink() -> Iterator[Sink]:
    with Sink() as running:
        yield running


async def test_what_arrived_is_what_it_reports(sink: Sink) -> None:
    """Its word is what a run's bytes are judged by; a report is of what came since the last."""
    files = [os.urandom(300_000), os.urandom(5), os.urandom(5)]
    hashes = [hashlib.sha256(data).hexdigest() for data in files]
    async with aiohttp.ClientSession() as session:
        for data, sha256 in zip(files, hashes, strict=True):
            form = aiohttp.FormData()
            form.add_field("chat_id", "7")
            form.add_field("photo", data, filename="photo.jpg")
            async with session.post(f"{sink.url}/bot7:x/sendPhoto", data=form) as answer:
                told = await answer.json()
            assert told["result"]["photo"][0]["file_id"] == sha256
    assert sink.report() == Counter(hashes)
    assert sink.report() == Counter()


async def test_a_body_without_its_end_is_no_file(sink: Sink) -> None:
    """A client that sends too little and fills up would otherwise be taken for a right one; pieces
    may end anywhere."""
    part = b'--line\r\nContent-Disposition: form-data; name="photo"; filename="a.jpg"\r\n\r\n'
    body = part + b"x" * 100 + b"\r\n--lime--\r\n"
    head = "POST /bot7:x/sendPhoto HTTP/1.1\r\nContent-Type: multipart/form-data; boundary=line"
    request = f"{head}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    host, port = sink.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    for start in range(0, len(request), 37):
        writer.write(request[start : start + 37])
        await writer.drain()
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
    writer.close()
    await writer.wait_closed()
    assert sink.report() == Counter({"cut": 1})
