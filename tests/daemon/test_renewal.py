"""file_ids that are good no more: reported or found by a probe, and renewed, without bytes where
that is possible."""

from typing import Any

from prewarmd.sandbox.daemon import RunningDaemon, until
from tests.support.house import House, Stored

BOT = "alpha_sandbox_bot"
OFTEN = ("[telegram]\n", "[telegram]\nprobe_per_day = 86400\n")


async def media(daemon: RunningDaemon, stored: Stored) -> dict[str, Any]:
    found: dict[str, Any] = await daemon.ask("GET", f"/v1/media/alpha/{stored.sha256}/photo")
    return found


async def report(daemon: RunningDaemon, stored: Stored, body: Any = None) -> tuple[int, Any]:
    """What the daemon answers to the word that a file_id is stale."""
    return await daemon.answer("POST", f"/v1/media/alpha/{stored.sha256}/photo/stale", body)


async def spoil(house: House, page: str, stored: Stored) -> None:
    """Let the sandbox refuse all file_ids of a content (`stale`), or lose its messages."""
    asked = [{"bot": BOT, "sha256": stored.sha256}]
    assert await house.town.telegram.control("POST", page, asked) > 0


async def downloaded(daemon: RunningDaemon) -> int:
    status = await daemon.ask("GET", "/v1/status")
    bytes_: int = status["cache"]["bytes_downloaded"]
    return bytes_


async def known(house: House, file_id: str) -> Any:
    """The content that Telegram has behind a file_id of the bot; None when it is good no more."""
    [content] = await house.town.telegram.control("POST", "known", [[BOT, file_id]])
    return content


async def test_a_reported_file_id_is_renewed_by_its_message(house: House) -> None:
    """A user would be shown an error until somebody uploads the media again, by hand."""
    stored = await house.store()
    async with house.daemon() as daemon:
        first = await house.warmed(daemon, stored)
        before = await downloaded(daemon)
        await spoil(house, "stale", stored)
        assert await known(house, first["file_id"]) is None

        status, admitted = await report(daemon, stored, {"file_id": first["file_id"]})
        assert (status, admitted["state"], admitted["created"]) == (202, "queued", True)
        job = await daemon.finished(admitted["id"])
        assert (job["state"], job["attempt"], job["sha256"]) == ("ready", 0, stored.sha256)

        renewed = await media(daemon, stored)
        assert renewed["file_id"] == job["file_id"] != first["file_id"]
        assert renewed["file_unique_id"] == first["file_unique_id"]
        assert await known(house, renewed["file_id"]) == stored.sha256
        assert await downloaded(daemon) == before, "no byte was needed"
        assert [one["method"] for one in await house.deliveries(stored)] == [
            "sendphoto", "forwardmessage",
        ]  # fmt: skip

        status, told = await report(daemon, stored, {"file_id": first["file_id"]})
        assert (status, told["file_id"]) == (200, renewed["file_id"]), "another is ready by now"
        counts = await daemon.ask("GET", "/v1/status")
        assert counts["catalogue"]["stale"] == 0


async def test_where_the_message_is_gone_the_object_is_uploaded(house: House) -> None:
    """Who tidies up his chat would lose his media for good."""
    stored = await house.store()
    async with house.daemon() as daemon:
        await house.warmed(daemon, stored)
        await spoil(house, "forgotten", stored)
        await spoil(house, "stale", stored)
        _, admitted = await report(daemon, stored)
        job = await daemon.finished(admitted["id"])
        assert (job["state"], job["attempt"]) == ("ready", 0)
        assert await known(house, job["file_id"]) == stored.sha256
        methods = [one["method"] for one in await house.deliveries(stored)]
        assert methods == ["sendphoto", "sendphoto"]


async def test_what_cannot_be_renewed_is_not_ready(house: House) -> None:
    """Neither message nor object is left: a dead file_id must not be handed out again."""
    stored = await house.store()
    async with house.daemon() as daemon:
        await house.warmed(daemon, stored)
        await spoil(house, "forgotten", stored)
        await spoil(house, "stale", stored)
        await house.town.store.put(stored.key, house.media())
        await daemon.stop()
        await daemon.start()  # nothing is left of it in the cache
        _, admitted = await report(daemon, stored)
        job = await daemon.finished(admitted["id"])
        assert (job["state"], job["error"]["code"]) == ("failed", "Sha256Mismatch")
        status, problem = await daemon.answer("GET", f"/v1/media/alpha/{stored.sha256}/photo")
        assert (status, problem["state"]) == (404, "failed")
        counts = await daemon.ask("GET", "/v1/status")
        assert counts["catalogue"]["stale"] == 1


async def test_a_report_outlives_its_daemon(house: House) -> None:
    """202 means that it will be renewed, whatever dies."""
    stored = await house.store()
    async with house.daemon() as daemon:
        first = await house.warmed(daemon, stored)
        hold = {"method": "forwardMessage", "status": 429, "times": 1000,
                "description": "Too Many Requests: retry after 1",
                "parameters": {"retry_after": 1}}  # fmt: skip
        async with house.faults(hold):
            status, admitted = await report(daemon, stored)
            assert status == 202
            await daemon.kill()
        await daemon.start()
        job = await daemon.finished(admitted["id"])
        assert job["state"] == "ready"
        assert job["file_id"] != first["file_id"]


RUBBISH: tuple[tuple[str, Any, int, str], ...] = (
    ("nobody/{sha256}/photo", None, 404, "no configured bot"),
    ("alpha/{sha256}/picture", None, 422, "kind: must be one of"),
    ("alpha/xyz/photo", None, 422, "64 lower-case hex digits"),
    ("alpha/{sha256}/video", None, 404, "never asked for"),
    ("alpha/" + "0" * 64 + "/photo", None, 404, "never asked for"),
    ("alpha/{sha256}/photo", {"id": "x"}, 422, "id: is no known field"),
    ("alpha/{sha256}/photo", {"file_id": 5}, 422, "file_id"),
    ("alpha/{sha256}/photo", [], 422, "body"),
)


async def test_a_report_that_makes_no_sense_is_refused(house: House) -> None:
    """An application would think that its media are being renewed."""
    stored = await house.store()
    async with house.daemon() as daemon:
        await house.warmed(daemon, stored)
        for path, body, status, part in RUBBISH:
            where = f"/v1/media/{path.format(sha256=stored.sha256)}/stale"
            got, problem = await daemon.answer("POST", where, body)
            assert got == status, path
            assert part in problem["detail"], path
        assert (await media(daemon, stored))["file_id"]


async def test_probes_find_what_nobody_has_reported(house: House) -> None:
    """A file_id that died in its sleep is found by the user who asks for it."""
    good, bad = await house.store(), await house.store()
    async with house.daemon(replace=OFTEN) as daemon:
        first = {one: await house.warmed(daemon, one) for one in (good, bad)}
        before = await downloaded(daemon)
        await spoil(house, "stale", bad)

        async def renewed() -> Any:
            status, found = await daemon.answer("GET", f"/v1/media/alpha/{bad.sha256}/photo")
            return status == 200 and found["file_id"] != first[bad]["file_id"] and found

        found = await until(renewed)
        assert await known(house, found["file_id"]) == bad.sha256
        assert await downloaded(daemon) == before
        probes = [job for job in await daemon.jobs() if job["is_probe"]]
        assert {job["priority"] for job in probes} == {0}

        async def probed() -> Any:
            return (await media(daemon, good))["file_id"] != first[good]["file_id"]

        assert await until(probed), "a good one that is probed has a newer id"
        assert await known(house, (await media(daemon, good))["file_id"]) == good.sha256
