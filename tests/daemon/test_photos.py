"""Photos that Telegram would refuse, and media that it makes something else of."""

from typing import Any

import pytest

from prewarmd.sandbox.daemon import RunningDaemon
from prewarmd.sandbox.media import Format
from tests.support.house import House
from tests.support.pictures import FIT, UNFIT

FAIL = ("[telegram]\n", '[telegram]\nphoto_fallback = "fail"\n')
MISMATCHES = "prewarmd_kind_mismatches_total"


async def sends(house: House) -> int:
    """How many media the Bot API server was sent, whatever became of them."""
    requests = await house.town.telegram.control("GET", "requests")
    return sum(count for method, count in requests.items() if method.startswith("send"))


async def mismatches(daemon: RunningDaemon) -> list[str]:
    """The counter's lines."""
    lines: list[str] = str(await daemon.ask("GET", "/metrics")).splitlines()
    return [line for line in lines if line.startswith(MISMATCHES)]


async def outcome(house: House, daemon: RunningDaemon, data: bytes, name: str) -> Any:
    """What becomes of bytes that nobody else has, as a photo."""
    stored = await house.store(data + name.encode() + house.prefix.encode(), name=name)
    return await house.warmed(daemon, stored, kind="photo")


@pytest.mark.parametrize(
    ("unfit", "name"),
    [
        ("jpeg of 21 to 1", "banner.jpg"),
        ("jpeg of 11 MB", "poster.jpg"),
        ("a page that says 404", "gone.jpg"),
    ],
)
async def test_what_cannot_be_a_photo_becomes_a_document(
    house: House, unfit: str, name: str
) -> None:
    """In one request, and everybody is told: job, catalogue, metric, log."""
    async with house.daemon() as daemon:
        before = await sends(house)
        job = await outcome(house, daemon, UNFIT[unfit], name)
        assert (job["state"], job["error"]) == ("ready", None)
        assert (job["kind"], job["actual_kind"]) == ("photo", "document")
        assert await sends(house) - before == 1
        found = await daemon.ask("GET", "/v1/media", bot="alpha", key=job["key"], kind="photo")
        assert (found["kind"], found["actual_kind"]) == ("photo", "document")
        assert found["file_id"].startswith("BQAC")
        labels = '{actual_kind="document",kind="photo"}'
        assert await mismatches(daemon) == [f"{MISMATCHES}{labels} 1.0"]
        again = await house.warmed(daemon, await house.store(form=Format.JPEG))
        assert again["actual_kind"] == "photo"
    text = daemon.log.read_text()
    assert "upload.fell_back" in text
    assert "job.other_kind" in text


async def test_or_fails_before_a_byte_is_sent(house: House) -> None:
    """For who would rather know: the code says that nothing was sent, the words say why."""
    async with house.daemon(replace=FAIL) as daemon:
        before = await sends(house)
        job = await outcome(house, daemon, UNFIT["jpeg of 21 to 1"], "banner.jpg")
        assert (job["state"], job["actual_kind"]) == ("failed", None)
        assert job["error"]["code"] == "UnfitPhoto"
        assert "21 x 1 pixels" in job["error"]["message"]
        large = await outcome(house, daemon, UNFIT["jpeg of 11 MB"], "poster.jpg")
        assert (large["state"], large["error"]["code"]) == ("failed", "TooLarge")
        assert await sends(house) == before
        assert await mismatches(daemon) == []


async def test_a_photo_without_an_extension_is_one(house: House) -> None:
    """The server refuses a photo.bin, whatever is in it."""
    async with house.daemon(replace=FAIL) as daemon:
        for fit in ("jpeg", "webp, lossy", "gif", "tiff"):
            job = await outcome(house, daemon, FIT[fit], f"{fit[:4]}-upload")
            assert (job["state"], job["error"]) == ("ready", None)
            assert job["actual_kind"] == "photo"


async def test_what_telegram_makes_of_a_media_is_counted(house: House) -> None:
    """A silent film is an animation, and so good for another method."""
    async with house.daemon() as daemon:
        stored = await house.store(form=Format.MP4_SILENT, size_bytes=100_000)
        assert (await house.warmed(daemon, stored))["actual_kind"] == "animation"
        labels = '{actual_kind="animation",kind="video"}'
        assert await mismatches(daemon) == [f"{MISMATCHES}{labels} 1.0"]
    assert "job.other_kind" in daemon.log.read_text()
    assert "upload.fell_back" not in daemon.log.read_text()
