"""The far store and the far sink of `make bench-data`: whether they send and take what they say."""

import asyncio
import hashlib
import os
from collections import Counter
from collections.abc import Iterator

import aiohttp
import pytest

from bench.data.link import SLACK_S, Distance, Link
from bench.data.objects import Endless
from bench.data.sink import Sink
from bench.data.store import Store

DISTANCE = Distance(0.01, 20e6)
SIZE_BYTES = 3_000_000


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    with Store(DISTANCE) as running:
        yield running


def test_a_link_carries_one_thing_after_another() -> None:
    """Two pieces at the price of one would make every transfer look twice as fast."""
    link = Link(1000)
    assert link.wait_s(1000, 50.0) == pytest.approx(1 - SLACK_S)
    assert link.wait_s(1000, 50.0) == pytest.approx(2 - SLACK_S)
    assert link.wait_s(1000, 51.9) == pytest.approx(1.1 - SLACK_S)


def test_an_idle_link_saves_nothing_up() -> None:
    """4 MB would come at once behind a pause; but who woke up a little late makes up for it."""
    link = Link(1000)
    link.wait_s(1000, 50.0)
    assert link.wait_s(1000, 90.0) == pytest.approx(1 - SLACK_S)
    assert Link(0).wait_s(1 << 40, 50.0) == 0


async def test_an_object_hashes_to_what_is_expected_of_it(store: Store) -> None:
    """Else right bodies would be called wrong, or the other way round; its parts are those of the
    same object."""
    one = Endless("tested").object(SIZE_BYTES)
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{store.url}/bench/{one.key}") as answer:
            whole, etag = await answer.read(), answer.headers["ETag"]
        assert not etag.startswith("W/")
        assert len(whole) == one.size_bytes
        assert hashlib.sha256(whole).hexdigest() == one.sha256
        pinned = {"If-Match": etag, "Range": "bytes=2000000-3999999"}
        async with session.get(f"{store.url}/bench/{one.key}", headers=pinned) as answer:
            assert answer.status == 206
            assert answer.headers["Content-Range"] == "bytes 2000000-2999999/3000000"
            assert await answer.read() == whole[2_000_000:]


@pytest.mark.parametrize(
    ("key", "etag", "status"), [("tested-100.bin", '"another"', 412), ("tested.jpg", "*", 404)]
)
async def test_what_there_is_not_is_not_made_up(
    store: Store, key: str, etag: str, status: int
) -> None:
    """A benchmark that asks for the wrong object would measure something else."""
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{store.url}/bench/made/{key}", headers={"If-Match": etag}) as answer,
    ):
        assert answer.status == status


def test_no_two_ranges_of_an_object_are_alike() -> None:
    """A range that arrived in the place of another would not be noticed."""
    data, step = Endless("tested"), 2 << 20
    seen = {bytes(data.stretch(at, at + 64)) for at in range(0, 2_000_000_000, step)}
    assert len(seen) == -(-2_000_000_000 // step)


async def test_a_far_sink_takes_all_of_a_file() -> None:
    """It stops reading again and again; bytes that were lost over that would be blamed on the
    client."""
    files = [os.urandom(1_000_000), os.urandom(5)]
    with Sink(distance=DISTANCE) as sink:
        async with aiohttp.ClientSession() as session:

            async def send(data: bytes) -> str:
                form = aiohttp.FormData()
                form.add_field("document", data, filename="a.bin")
                async with session.post(f"{sink.url}/bot7:x/sendDocument", data=form) as answer:
                    told = await answer.json()
                return str(told["result"]["photo"][0]["file_id"])

            found = await asyncio.gather(*map(send, files))
        hashes = [hashlib.sha256(data).hexdigest() for data in files]
        assert found == hashes
        assert sink.report() == Counter(hashes)
