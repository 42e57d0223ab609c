"""Who goes first, in the real daemon: small photos do not wait for large videos."""

from typing import Any

from prewarmd.sandbox.daemon import RunningDaemon, until
from prewarmd.sandbox.media import Format
from tests.support.house import House

VIDEOS, PHOTOS = 40, 8
SLOW_S = 0.1
TOP = "workers = 1\nslots = 4\n"


async def counts(daemon: RunningDaemon, jobs: list[str]) -> int:
    """How many of the jobs are ready."""
    wanted = set(jobs)
    states = [job["state"] for job in await daemon.jobs() if job["id"] in wanted]
    assert "failed" not in states
    return states.count("ready")


async def test_small_photos_behind_many_videos_come_first(house: House) -> None:
    """A bot's users would wait for last month's films before they see a new picture."""
    video = house.media(Format.MP4, 1_200_000)
    videos = [await house.store(video[:-8] + b"%08d" % n, form=Format.MP4) for n in range(VIDEOS)]
    photos = [await house.store(size_bytes=30_000) for _ in range(PHOTOS)]
    slow: dict[str, Any] = {"method": "sendVideo", "delay_s": SLOW_S, "times": VIDEOS}
    async with house.faults(slow), house.daemon(top=TOP) as daemon:
        first = await daemon.submit([{"bot": "alpha", "key": one.key} for one in videos])
        later = await daemon.submit([{"bot": "alpha", "key": one.key} for one in photos])
        film_jobs = [one["id"] for one in first]
        photo_jobs = [one["id"] for one in later]

        async def photos_ready() -> bool:
            return await counts(daemon, photo_jobs) == PHOTOS

        await until(photos_ready)
        assert await counts(daemon, film_jobs) < VIDEOS // 2

        async def all_ready() -> bool:
            return await counts(daemon, film_jobs) == VIDEOS

        await until(all_ready)
