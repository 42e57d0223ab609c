"""What is there, and what whoever follows is told of it."""

import asyncio
import hashlib
import os
from itertools import pairwise

import pytest

from prewarmd.core.faults import FAULTS
from prewarmd.worker.landing import HASHED_AT_ONCE_MAX, Landing
from prewarmd.worker.refusals import ObjectError
from tests.support.loops import begun, until_true

BODY = os.urandom(10 << 20)
MIB = 1 << 20


def landing_of(sha256: str = "", etag: str = "one") -> Landing:
    """Nothing is there yet, but the memory."""
    landing = Landing(memoryview(bytearray(len(BODY))), lambda _: None, sha256)
    landing.begin(len(BODY), etag)
    return landing


def land(landing: Landing, start: int, end: int, body: bytes = BODY) -> None:
    """A stretch, at once."""
    assert landing.view is not None
    landing.view[start:end] = body[start:end]
    landing.landed(start, start, end)


async def test_a_gap_that_closes_does_not_stop_the_loop() -> None:
    """Ten mebibytes would be hashed at once, and all other transfers stand still for 6 ms."""
    landing = landing_of()
    for start in range(9 * MIB, 0, -MIB):
        land(landing, start, start + MIB)
    assert landing.done_bytes == 0
    seen = [0]

    def look() -> None:
        """Once in each turn of the loop."""
        seen.append(landing.done_bytes)
        if seen[-1] < len(BODY):
            asyncio.get_running_loop().call_soon(look)

    land(landing, 0, MIB)
    look()
    assert await landing.verify() == hashlib.sha256(BODY).hexdigest()
    await until_true(lambda: seen[-1] == len(BODY))
    assert max(after - before for before, after in pairwise(seen)) <= HASHED_AT_ONCE_MAX


async def test_a_follower_is_told_of_the_front_alone() -> None:
    """It would send what is not there yet."""
    landing = landing_of()
    following = await begun(landing.beyond(0))
    land(landing, 2 * MIB, 3 * MIB)
    assert landing.done_bytes == 0
    assert not following.done()
    land(landing, 0, MIB)
    assert await following == MIB
    land(landing, MIB, 2 * MIB)
    assert await landing.beyond(MIB) == 2 * MIB
    assert await landing.beyond(2 * MIB) == 3 * MIB
    assert await landing.beyond(MIB) == 3 * MIB


async def test_a_follower_is_told_that_nothing_more_comes() -> None:
    """An upload would wait for ever, or end as though it were whole."""
    landing = landing_of()
    land(landing, 0, MIB)
    waiting = [await begun(landing.beyond(MIB)) for _ in range(2)]
    end = await begun(landing.verified())
    landing.fail(ObjectError("ShortBody", "cut"))
    for one in (*waiting, end):
        with pytest.raises(ObjectError, match="ShortBody: cut"):
            await one
    with pytest.raises(ObjectError, match="ShortBody: cut"):
        await landing.beyond(MIB)
    assert landing.failure is not None
    assert landing.failure.code in FAULTS


@pytest.mark.parametrize("is_as_promised", [True, False])
async def test_a_follower_is_told_whether_the_hash_is_right(is_as_promised: bool) -> None:
    """The last bytes of an upload wait for just that: else a damaged media would be sent."""
    sha256 = hashlib.sha256(BODY).hexdigest()
    landing = landing_of(sha256 if is_as_promised else "0" * 64)
    end = asyncio.ensure_future(landing.verified())
    land(landing, 0, len(BODY))
    await until_true(lambda: landing.done_bytes == len(BODY))
    assert not end.done()
    if is_as_promised:
        await landing.verify()
        assert await end == sha256
        landing.fail(ObjectError("Stopped", "it was whole already"))
        assert landing.failure is None
        return
    with pytest.raises(ObjectError) as wrong:
        await landing.verify()
    landing.fail(wrong.value)
    with pytest.raises(ObjectError, match="Sha256Mismatch"):
        await end


async def test_who_stops_following_is_not_waited_for() -> None:
    """A dropped upload would be woken later, by whatever lands then."""
    landing = landing_of()
    following = await begun(landing.beyond(0))
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    land(landing, 0, MIB)
    assert await landing.beyond(0) == MIB


# -- anew ------------------------------------------------------------------------------------------


async def test_another_version_is_not_shown_to_a_follower() -> None:
    """Its upload would begin with one version and end with the other."""
    landing = landing_of()
    land(landing, 0, MIB)
    landing.begin(len(BODY), "two")  # nobody follows
    land(landing, 0, MIB)
    assert await landing.beyond(0) == MIB
    for etag in ("three", "", 'W/"two"'):
        with pytest.raises(ObjectError, match="ObjectChanged"):
            landing.begin(len(BODY), etag)


async def test_the_same_version_goes_on_for_a_follower_where_it_was() -> None:
    """It would be shown bytes that are overwritten just then, or fewer than it has sent."""
    landing = landing_of()
    land(landing, 0, 3 * MIB)
    assert await landing.beyond(2 * MIB) == 3 * MIB
    landing.begin(len(BODY), "one")
    following = asyncio.ensure_future(landing.beyond(MIB))
    land(landing, 0, 2 * MIB)
    await until_true(lambda: landing.done_bytes == 2 * MIB)
    assert not following.done()
    land(landing, 2 * MIB, 3 * MIB)
    assert await following == 3 * MIB


async def test_the_same_etag_with_other_bytes_is_a_failure() -> None:
    """A store may lie, and the upload would be of two versions."""
    landing = landing_of()
    land(landing, 0, 3 * MIB)
    await landing.beyond(2 * MIB)
    landing.begin(len(BODY), "one")
    land(landing, 0, len(BODY), BODY[:MIB] + b"?" + BODY[MIB + 1 :])
    with pytest.raises(ObjectError, match="ObjectChanged"):
        await landing.verify()
    with pytest.raises(ObjectError, match="ObjectChanged"):
        await landing.beyond(3 * MIB)
