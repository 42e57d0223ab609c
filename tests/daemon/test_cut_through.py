"""Uploads that begin before their downloads are over, and objects that pass through: what a user
sees of them, and what a Telegram sees, whoever dies on the way."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from prewarmd.sandbox.daemon import RunningDaemon, until
from prewarmd.sandbox.media import Format
from prewarmd.sandbox.relay import Relay
from prewarmd.sandbox.town import BotApi
from tests.support.house import House, Stored, child_pids

VIDEO_BYTES, LARGE_BYTES = 4_000_000, 20_000_000
WINDOWS_BYTES = 14_000_000
"""More than a window holds."""
RATE = 8_000_000
ONE = "workers = 1\n[queue]\nretry_base_s = 0.1\n"
SMALL_CACHE = ONE + '[cache]\nbytes = "16MiB"\n'


@asynccontextmanager
async def far(
    house: House, bytes_per_s: float = RATE, top: str = ONE, **telegram: Any
) -> AsyncIterator[tuple[RunningDaemon, Relay]]:
    """A daemon with a store that brings so much a second on each connection."""
    relay = Relay(house.town.store.port, bytes_per_s=bytes_per_s)
    endpoint = f"http://127.0.0.1:{await relay.start()}"
    theirs = f'api_base = "{house.town.telegram.base}"\n'
    keys = {"api_base": house.town.telegram.base, **telegram}
    ours = "".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items())
    house.configure(top=top, replace=(theirs, ours))
    text = house.configuration.read_text().replace(house.town.endpoint, endpoint)
    house.configuration.write_text(text)
    daemon = house.new_daemon()
    try:
        await daemon.start()
        yield daemon, relay
    finally:
        await daemon.stop()
        await relay.stop()


async def video(house: House, size_bytes: int = VIDEO_BYTES, key: str = "") -> Stored:
    """One that nobody else has."""
    return await house.store(form=Format.MP4, size_bytes=size_bytes, key=key)


async def enqueue(daemon: RunningDaemon, stored: Stored, bot: str = "alpha", **more: Any) -> str:
    """Its job."""
    [admitted] = await daemon.submit([{"bot": bot, "key": stored.key, **more}])
    job: str = admitted["id"]
    return job


async def rows(daemon: RunningDaemon) -> dict[str, Any]:
    """The board: stage -> its row."""
    status = await daemon.ask("GET", "/v1/status")
    return {row["stage"]: row for row in status["inflight"]}


async def trailing(daemon: RunningDaemon) -> Any:
    """Both rows, once an upload has sent bytes of a download that is not over."""

    async def look() -> Any:
        found = await rows(daemon)
        down, up = found.get("fetching"), found.get("uploading")
        return (down, up) if down and up and up["bytes_done"] else None

    return await until(look, every_s=0.05)


async def relaying(daemon: RunningDaemon) -> Any:
    """The row of a relay that has sent bytes."""

    async def look() -> Any:
        up = (await rows(daemon)).get("uploading")
        return up if up and up["bytes_done"] else None

    return await until(look)


async def sends(house: House) -> int:
    """Media that were sent to the end."""
    requests = await house.town.telegram.control("GET", "requests")
    return sum(count for method, count in requests.items() if method.startswith("send"))


# -- cut-through -----------------------------------------------------------------------------------


async def test_an_upload_begins_before_its_download_is_over(house: House) -> None:
    """Else each large video would take the sum of both, and not the longer of them."""
    stored = await video(house)
    async with far(house) as (daemon, _):
        job = await enqueue(daemon, stored)
        down, up = await trailing(daemon)
        assert down["job"] == up["job"] == job
        assert down["bytes_done"] < VIDEO_BYTES == up["bytes_total"]
        done = await daemon.finished(job)
        assert (done["state"], done["maybe_sent"], done["attempt"]) == ("ready", False, 0)
        [delivery] = await house.deliveries(stored)
        assert delivery["size_bytes"] == VIDEO_BYTES
        # Other bytes than were promised: a wrong film would be warm for ever.
        stored, before = await video(house), await sends(house)
        job = await enqueue(daemon, stored, sha256="0" * 64)
        await trailing(daemon)
        done = await daemon.finished(job)
        assert (done["state"], done["error"]["code"]) == ("failed", "Sha256Mismatch")
        assert await house.deliveries(stored) == []
        assert await sends(house) == before


async def test_a_store_that_breaks_off_leaves_no_message(house: House) -> None:
    """Half a film is no film; when the store is back it is sent, once."""
    stored = await video(house)
    async with far(house) as (daemon, relay):
        before = await sends(house)
        job = await enqueue(daemon, stored)
        await trailing(daemon)
        relay.cut_bytes, relay.bytes_per_s = 1, 8_000

        async def retried() -> Any:
            found = await daemon.job(job)
            return found if found["error"] else None

        waits = await until(retried)
        assert waits["error"]["code"] in ("ShortBody", "StoreError", "StoreUnreachable")
        assert await sends(house) == before
        relay.cut_bytes, relay.bytes_per_s = 0, RATE
        assert (await house.hurried(daemon, job))["state"] == "ready"
        assert len(await house.deliveries(stored)) == 1


async def test_who_is_killed_on_the_way_has_surely_not_sent(house: House) -> None:
    """Its closing boundary was withheld: the job is tried again at once, and sent once. And so is
    one content under two keys: both may be on their way before anybody can know. A stop waits for
    what follows."""
    stored = await video(house)
    async with far(house) as (daemon, _):
        job = await enqueue(daemon, stored)
        await trailing(daemon)
        os.kill(child_pids(daemon)[0], signal.SIGKILL)
        done = await daemon.finished(job)
        assert (done["state"], done["maybe_sent"], done["attempt"]) == ("ready", False, 0)
        assert len(await house.deliveries(stored)) == 1
        first = await video(house)
        second = await house.store(first.data, name="again.mp4")
        jobs = [await enqueue(daemon, one) for one in (first, second)]
        both = [await daemon.finished(job) for job in jobs]
        assert [job["state"] for job in both] == ["ready", "ready"]
        assert both[0]["file_id"] == both[1]["file_id"]
        assert len(await house.deliveries(first)) == 1
        stored = await video(house)
        job = await enqueue(daemon, stored)
        await trailing(daemon)
        assert await daemon.stop() == 0
        await daemon.start(ready=False)
        assert (await daemon.finished(job))["state"] == "ready"
        assert len(await house.deliveries(stored)) == 1


async def test_it_can_be_turned_off(house: House) -> None:
    """An operator whose Bot API server takes slow uploads for dead ones could do nothing."""
    stored = await video(house)
    async with far(house, cut_through_bytes=0) as (daemon, _):
        job = await enqueue(daemon, stored)
        seen: list[set[str]] = []

        async def look() -> bool:
            seen.append(set(await rows(daemon)))
            return bool((await daemon.job(job))["state"] == "ready")

        await until(look)
        assert {"fetching"} in seen
        assert all(not {"fetching", "uploading"} <= stages for stages in seen)
        assert len(await house.deliveries(stored)) == 1


# -- relay -----------------------------------------------------------------------------------------


async def test_what_is_too_large_for_the_cache_passes_through(house: House) -> None:
    """It could not be warmed at all; each bot has its own pass."""
    stored = await video(house, LARGE_BYTES)
    async with far(house, 0, top=SMALL_CACHE) as (daemon, _):
        jobs = [await enqueue(daemon, stored, bot) for bot in ("alpha", "beta")]
        done = [await daemon.finished(job) for job in jobs]
        assert [job["state"] for job in done] == ["ready", "ready"]
        assert [one["size_bytes"] for one in await house.deliveries(stored)] == [LARGE_BYTES] * 2
        cache = (await daemon.ask("GET", "/v1/status"))["cache"]
        assert cache["bytes_downloaded"] == 2 * LARGE_BYTES
        again = await daemon.finished(await enqueue(daemon, stored))
        assert again["file_id"] == done[0]["file_id"]
        assert len(await house.deliveries(stored)) == 2
        stored, before = await video(house, LARGE_BYTES), await sends(house)
        other = await daemon.finished(await enqueue(daemon, stored, sha256="0" * 64))
        assert (other["state"], other["error"]["code"]) == ("failed", "Sha256Mismatch")
        assert await sends(house) == before


async def test_a_relay_that_is_cut_off_is_sent_once(house: House) -> None:
    """Two gigabytes in mid-air are no message, and are tried again: when their child is killed,
    and when the daemon is stopped, which waits for them."""
    async with far(house, top=SMALL_CACHE) as (daemon, relay):
        for ends in (False, True):
            stored = await video(house, WINDOWS_BYTES)
            job = await enqueue(daemon, stored)
            row = await relaying(daemon)
            assert row["bytes_done"] < WINDOWS_BYTES
            if ends:
                relay.bytes_per_s = 0
                assert await daemon.stop() == 0
                await daemon.start(ready=False)
            else:
                os.kill(child_pids(daemon)[0], signal.SIGKILL)
            done = await daemon.finished(job)
            assert (done["state"], done["maybe_sent"]) == ("ready", False)
            assert len(await house.deliveries(stored)) == 1


async def test_with_a_server_of_ones_own_more_than_fifty_megabytes_pass(house: House) -> None:
    """It takes 2000 MB; the cache need not hold any of it."""
    stored = await video(house, 52_000_000)
    local = BotApi(house.town.telegram.bots, server="local")
    await local.start()
    try:
        async with far(house, 0, SMALL_CACHE, server="local", api_base=local.base) as (daemon, _):
            done = await daemon.finished(await enqueue(daemon, stored))
            assert (done["state"], done["error"]) == ("ready", None)
            [delivery] = await local.control("GET", "deliveries")
            assert delivery["sha256"] == stored.sha256
    finally:
        await asyncio.to_thread(local.stop)
