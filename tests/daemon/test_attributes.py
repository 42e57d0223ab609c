"""What a job says of its media, from its submit to the media that Telegram has."""

from typing import Any

import pytest

from prewarmd.sandbox.daemon import RunningDaemon, until
from prewarmd.sandbox.media import Format
from tests.support.house import House
from tests.support.pictures import picture
from tests.support.sounds import FRAME_S, mp3

SAID: dict[str, Any] = {"width": 1280, "height": 720, "duration_s": 33.4}
SMALL = picture("JPEG", 320, 180)


async def shown(house: House, job: dict[str, Any]) -> Any:
    """The media of a job that is ready, as Telegram has it."""
    assert (job["state"], job["error"]) == ("ready", None)
    answer = await house.sent_again("alpha", job["kind"], job["file_id"])
    return answer["result"][job["actual_kind"]]


def assert_it_is_as_said(video: Any) -> None:
    """As SAID, with SMALL as its thumbnail."""
    assert (video["width"], video["height"], video["duration"]) == (1280, 720, 33)
    small = video["thumbnail"]
    assert (small["width"], small["height"], small["file_size"]) == (320, 180, len(SMALL))


@pytest.mark.parametrize("way", ["whole", "behind its download", "relay"])
async def test_a_video_is_as_its_job_says(house: House, way: str) -> None:
    """None of it can be added to a file_id. Clients read it back from the job."""
    size_bytes = 120_000 if way == "whole" else 3_000_000
    film = await house.store(form=Format.MP4, size_bytes=size_bytes)
    small = await house.store(SMALL, name="small.jpg")
    top = "workers = 1\n" + ('[cache]\nbytes = "8MiB"\n' if way == "relay" else "")
    async with house.daemon(top=top) as daemon:
        job = await house.warmed(daemon, film, **SAID, thumbnail=small.key)
        assert {name: job[name] for name in SAID} == SAID
        assert job["thumbnail"] == small.key
        assert_it_is_as_said(await shown(house, job))
        assert (await house.deliveries(film))[0]["by_file_id"] is False


async def test_what_no_job_says_its_file_may(house: House) -> None:
    """A track without a duration is shown as one of 0:00, for good."""
    track = await house.store(mp3(600), name="track.mp3")
    async with house.daemon() as daemon:
        job = await house.warmed(daemon, track)
        assert (job["kind"], job["duration_s"]) == ("audio", None)
        assert (await shown(house, job))["duration"] == round(600 * FRAME_S)


async def test_a_bad_thumbnail_fails_its_job_by_name_and_nothing_is_sent(house: House) -> None:
    """Telegram would ignore it without a word; and the next job is not held up."""
    film = await house.store(form=Format.MP4, size_bytes=120_000)
    page, wide = b"<html>404</html>", picture("JPEG", 640, 360)
    cases = [(None, "NoThumbnail"), (page, "UnfitThumbnail"), (wide, "UnfitThumbnail")]
    async with house.daemon() as daemon:
        for data, code in cases:
            key = f"{house.prefix}{code}.jpg"
            if data is not None:
                await house.store(data, key=key)
            job = await house.warmed(daemon, film, thumbnail=key)
            assert (job["state"], job["error"]["code"]) == ("failed", code), job
            assert key in job["error"]["message"]
        assert await house.deliveries(film) == []
        status = await daemon.ask("GET", "/v1/status")
        assert status["readiness"]["ready"], "no gate is closed"
        job = await house.warmed(daemon, film)
        assert "thumbnail" not in await shown(house, job)


async def test_a_kill_between_submit_and_upload_loses_nothing_of_it(house: House) -> None:
    """It is committed with the job that was acknowledged."""
    film = await house.store(form=Format.MP4, size_bytes=120_000)
    small = await house.store(SMALL, name="small.jpg")
    rule = {
        "method": "sendVideo", "bot": "alpha_sandbox_bot", "status": 429, "times": 100,
        "description": "Too Many Requests: retry after 2", "parameters": {"retry_after": 2},
    }  # fmt: skip
    house.configure()
    daemon: RunningDaemon = house.new_daemon()
    try:
        await daemon.start()
        async with house.faults(rule):
            body = {"bot": "alpha", "key": film.key, **SAID, "thumbnail": small.key}
            [admitted] = await daemon.submit([body])

            async def is_put_off() -> bool:
                return (await daemon.job(admitted["id"]))["error"] is not None

            await until(is_put_off)
            await daemon.kill()
        assert await house.deliveries(film) == []
        await daemon.start()
        job = await daemon.finished(admitted["id"])
        assert {name: job[name] for name in SAID} == SAID
        assert_it_is_as_said(await shown(house, job))
    finally:
        await daemon.stop()
