"""What an object store may do, row by row (the catalogue's E1 to E18), and where each is tested.

E1: 500, 503, 429 in bursts.
    `test_fetch.test_both_paths_name_a_fault_alike`, `test_a_burst_of_refusals_is_one_code`; no
    attempt burns: `core/test_engine_deaths.test_an_outage_burns_nobodys_attempts`; within
    ranges: `test_ranges.test_a_store_that_wants_fewer_connections_gets_fewer`
E2: refused, no name, no TLS, black holes.
    `http/test_pool.test_a_server_that_is_not_there`, `http/test_dialer` (names, greetings,
    certificates), `test_a_black_hole_is_left_in_time`; within ranges:
    `test_ranges.test_a_part_that_stalls_is_asked_for_again`
E3: heads and bodies that trickle.
    `http/test_connection` (its part "time"), `test_a_body_that_trickles_is_given_up`
E4: reset or end in the middle.
    `test_fetch.test_a_cut_download_goes_on_where_it_was_cut`, `test_a_reset_is_like_a_cut`;
    within ranges: `test_ranges.test_each_part_goes_on_where_it_broke`
E5: more than was announced.
    `http/test_connection` (its part "behind the end"),
    `test_what_comes_behind_a_part_lands_nowhere`
E6: no length, chunks, cut chunks.
    `test_fetch.test_both_paths_name_a_fault_alike`, `test_without_a_length_nothing_lands`
E7: gzip, though identity was asked for.
    `test_fetch.test_what_is_sent_is_what_r2_takes`, `test_what_is_stored_compressed_stays_so`,
    `test_without_a_length_nothing_lands`
E8: other bytes of the same length.
    `test_other_bytes_than_promised_are_found_out`
E9: the object changes meanwhile.
    `test_fetch.test_an_object_that_changed_meanwhile_is_told`;
    `test_ranges.test_an_object_that_changes_between_ranges_ends_them_all`,
    `test_ranges.test_a_store_that_ignores_if_match_is_found_out`
E10: ETags of any sort, or none.
    `test_an_etag_is_not_looked_into`, `test_ranges.test_what_cannot_be_pinned_comes_whole`
E11: 404, 403, 401.
    `test_r2.test_refusals_have_their_codes`,
    `test_fetch.test_both_paths_give_the_same_of_a_real_store`; within ranges:
    `test_a_refusal_ends_all_ranges`
E12: credentials expire.
    `test_fetch.test_rotated_credentials_are_read_anew_once`; within ranges:
    `test_credentials_that_expire_between_ranges`
E13: clocks differ.
    `test_fetch.test_a_clock_that_is_wrong_is_put_right_by_the_stores`
E14: bombs, huge errors, HTML.
    `test_fetch.test_an_error_page_of_any_size_is_understood`,
    `http/test_connection.test_a_huge_error_is_cut`
E15: a redirect.
    `test_fetch.test_a_redirect_is_not_followed`
E16: checksum headers are refused.
    `test_fetch.test_what_is_sent_is_what_r2_takes`, `test_a_range_asks_for_nothing_else`
E17: kept connections are closed.
    `test_fetch.test_a_kept_connection_that_was_closed_costs_nothing`
E18: cancelled again and again.
    `test_transfers`, `http/test_pool.test_a_thousand_cancelled_transfers_leave_nothing`, `make
    transfers`

Here are those that stand nowhere else: of a small object, and in the middle of parallel ranges.
"""

import asyncio
import hashlib
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from prewarmd.worker.fetch import Fetcher
from prewarmd.worker.http.patience import Patience
from prewarmd.worker.landing import Landing
from prewarmd.worker.ranges import AT_ONCE
from prewarmd.worker.refusals import ObjectError
from prewarmd.worker.signing import Credentials
from tests.support.catalogue import check_rows
from tests.worker.http.servers import answering, reset, serving, silence, while_there
from tests.worker.stores import Ask, RangedStore, refusal_of
from tests.worker.test_fetch import Source, forbidden, lean
from tests.worker.test_r2 import landed, refusal

RANGED_BYTES = 1 << 20
BODY = os.urandom(RANGED_BYTES + 4321)


def ranging(url: str, source: Source | None = None) -> Fetcher:
    """A fetcher for which `BODY` is large."""
    return lean(url, source, connections=8, ranged_bytes=RANGED_BYTES)


def test_every_row_names_tests_that_are_there() -> None:
    """A reader who looks for a row would find a test that was renamed long ago."""
    check_rows(__doc__, __file__, "E", 18)


@pytest.mark.parametrize("status", ["500 Oops", "503 Slow Down", "429 Too Many Requests"])
@pytest.mark.parametrize("header", ["", "Retry-After: 1\r\n", "Retry-After: soon\r\n"])
async def test_a_burst_of_refusals_is_one_code(status: str, header: str) -> None:
    """E1. The engine counts them as an outage by their code; the words of a store differ."""
    answer = f"HTTP/1.1 {status}\r\n{header}Content-Length: 0\r\n\r\n".encode()
    async with serving(answering(*[answer] * 5)) as server:
        fetcher = lean(server.url)
        for _ in range(5):
            assert (await refusal(fetcher)).code == "StoreError"
        assert len(server.accepted) == 1
        await fetcher.close()


@contextmanager
def unanswered() -> Iterator[int]:
    """A port where SYNs are not answered: nobody accepts, and its line is full."""
    with socket.socket() as listener, socket.socket() as first, socket.socket() as second:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for one in (first, second):
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


async def test_a_black_hole_is_left_in_time() -> None:
    """E2. A firewall drops packets, or a proxy accepts and says nothing: slots would wait for the
    kernel, which gives up after two minutes."""
    with unanswered() as port:
        fetcher = lean(f"http://127.0.0.1:{port}")
        error = await refusal(fetcher)
        assert (error.code, error.detail) == ("StoreUnreachable", "no connection within 1 s")
        await fetcher.close()

    async def says_nothing(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
        await silence()

    async with serving(says_nothing) as server:
        fetcher = lean(server.url)
        error = await refusal(fetcher)
        assert (error.code, error.detail) == ("StoreTimeout", "no answer within 1 s")
        await fetcher.close()


async def test_a_body_that_trickles_is_given_up() -> None:
    """E3. A store that sends a byte now and then would hold four connections for days."""

    async def trickles(ask: Ask, writer: asyncio.StreamWriter) -> bool:
        writer.write(store.head(ask))
        async for _ in while_there(writer, 0.05):
            writer.write(b"?")
        return True

    store = RangedStore(BODY, trickles)
    async with serving(store) as server:
        patience = Patience(head_s=1, idle_s=1, slow_s=0.5, slow_bytes=10_000)
        fetcher = lean(server.url, connections=8, ranged_bytes=RANGED_BYTES, patience=patience)
        assert (await refusal(fetcher)).code == "StoreTimeout"
        await fetcher.close()


@pytest.mark.parametrize("is_large", [False, True])
async def test_a_reset_is_like_a_cut(is_large: bool) -> None:
    """E4. A store that dies resets its connections: what it had sent would have to come again."""

    async def resets(ask: Ask, writer: asyncio.StreamWriter) -> bool:
        if ask.number >= AT_ONCE:
            return False
        writer.write(store.head(ask))
        await store.send(ask, writer, (ask.end - ask.start) // 2)
        if ask.number:  # the first one ends in good order: a reset may take with it what was sent
            reset(writer)
        return True

    store = RangedStore(BODY, resets)
    async with serving(store) as server:
        fetcher = ranging(server.url) if is_large else lean(server.url)
        assert (await landed(fetcher))[0] == BODY
        await fetcher.close()
    assert len(store.asked) > AT_ONCE


async def test_what_comes_behind_a_part_lands_nowhere() -> None:
    """E5. It would overwrite the part behind it, which is there already."""

    async def says_more(ask: Ask, writer: asyncio.StreamWriter) -> bool:
        writer.write(store.head(ask))
        await store.send(ask, writer, ask.end - ask.start)
        writer.write(b"?" * 100_000)
        return True

    store = RangedStore(BODY, says_more)
    async with serving(store) as server:
        fetcher = ranging(server.url)
        for _ in range(3):
            assert (await landed(fetcher))[0] == BODY
        await fetcher.close()


CHUNKED = b'HTTP/1.1 200 OK\r\nETag: "e"\r\nTransfer-Encoding: chunked\r\n'


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (CHUNKED + b"\r\n3\r\nabc\r\n0\r\n\r\n", "StoreError"),
        (CHUNKED + b"Content-Encoding: gzip\r\n\r\n3\r\nabc\r\n0\r\n\r\n", "StoreError"),
        (CHUNKED + b"\r\n3\r\nab", "ShortBody"),
        (CHUNKED + b"\r\nzz\r\n", "StoreUnreachable"),
        (b'HTTP/1.1 200 OK\r\nETag: "e"\r\n\r\nuntil the end', "StoreError"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nab",
            "StoreUnreachable",
        ),
    ],
)
async def test_without_a_length_nothing_lands(answer: bytes, code: str) -> None:
    """E6, E7. A body that is cut would be taken for the object; R2 compresses without a length."""
    async with serving(answering(answer)) as server:
        fetcher = lean(server.url)
        assert (await refusal(fetcher)).code == code
        await fetcher.close()


async def test_what_is_stored_compressed_stays_so() -> None:
    """E7. Length, hash and ranges are of what the object holds; unpacked it would be another."""
    packed = b"\x1f\x8b" + os.urandom(1000)
    for body in (packed, packed + BODY):
        store = RangedStore(body, None, ('ETag: "one"', "Content-Encoding: gzip"))
        async with serving(store) as server:
            fetcher = ranging(server.url)
            assert (await landed(fetcher))[0] == body
            await fetcher.close()


@pytest.mark.parametrize("is_large", [False, True])
async def test_other_bytes_than_promised_are_found_out(is_large: bool) -> None:
    """E8. A disk that rots, a cache that mixes: a damaged media would be sent to users for ever."""
    flipped = bytearray(BODY)
    flipped[-1] ^= 1
    async with serving(RangedStore(bytes(flipped))) as server:
        fetcher = ranging(server.url) if is_large else lean(server.url)
        view = memoryview(bytearray(len(BODY)))
        landing = Landing(view, lambda _: None, hashlib.sha256(BODY).hexdigest())

        async def memory(_: int, __: str) -> memoryview:
            return view

        with pytest.raises(ObjectError) as failed:
            await fetcher.get("media", "x", "", landing, memory)
        assert failed.value.code == "Sha256Mismatch"
        assert not landing.is_verified
        with pytest.raises(ObjectError, match="Sha256Mismatch"):
            await landing.verified()
        await fetcher.close()


@pytest.mark.parametrize("etag", ["9b2cf535f27731c974343645a3985328-3", "x", "", "é" * 40])
async def test_an_etag_is_not_looked_into(etag: str) -> None:
    """E10. Of objects that came in parts it is no MD5: they would be refused."""
    headers = (f'ETag: "{etag}"',) if etag else ()
    store = RangedStore(BODY, None, headers)

    async with serving(store) as server:
        fetcher = lean(server.url)
        data, _, told = await landed(fetcher)
        assert data == BODY
        assert told.encode("latin-1").decode() == etag
        await fetcher.close()


@pytest.mark.parametrize(
    ("status", "code"),
    [("404 Not Found", "NoSuchKey"), ("403 Forbidden", "BadCredentials"),
     ("401 Unauthorized", "BadCredentials")],
)  # fmt: skip
async def test_a_refusal_ends_all_ranges(status: str, code: str) -> None:
    """E11. The object was deleted meanwhile: three connections would go on for nothing."""

    async def refuses(ask: Ask, writer: asyncio.StreamWriter) -> bool:
        if not ask.is_plain:
            writer.write(refusal_of(status))
        else:
            writer.write(store.head(ask))
            await silence()
        return True

    store = RangedStore(BODY, refuses)
    async with serving(store) as server:
        fetcher = ranging(server.url)
        assert (await refusal(fetcher)).code == code
        await fetcher.close()


async def test_credentials_that_expire_between_ranges() -> None:
    """E12. Those of an instance last for hours, and a film may begin at their end."""

    async def refuses(ask: Ask, writer: asyncio.StreamWriter) -> bool:
        if not ask.is_plain and b"Credential=old/" in ask.head:
            writer.write(forbidden("ExpiredToken"))
            return True
        return False

    store = RangedStore(BODY, refuses)
    async with serving(store) as server:
        source = Source([Credentials("old", "s"), Credentials("new", "s", "token")])
        fetcher = ranging(server.url, source)
        assert (await landed(fetcher))[0] == BODY
        await fetcher.close()


async def test_a_range_asks_for_nothing_else() -> None:
    """E16. R2 answers 501 to checksum headers, and compresses for who lets it."""
    store = RangedStore(BODY)
    async with serving(store) as server:
        fetcher = ranging(server.url)
        await landed(fetcher)
        await fetcher.close()
    assert len(store.asked) == AT_ONCE
    for ask in store.asked:
        names = {line.partition(b":")[0] for line in ask.head.split(b"\r\n")[1:] if line}
        added = set() if ask.is_plain else {b"range", b"if-match"}
        assert names - added == {
            b"host", b"x-amz-content-sha256", b"x-amz-date", b"authorization", b"accept-encoding",
        }  # fmt: skip
        assert b"accept-encoding: identity\r\n" in ask.head
