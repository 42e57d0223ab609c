"""A media's way, from the bucket to a file_id that works: one real daemon, real servers."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from prewarmd.sandbox.daemon import RunningDaemon, until
from prewarmd.sandbox.media import Format
from tests.support.house import House


async def gets(daemon: RunningDaemon) -> int:
    """GETs sent to the store so far."""
    status = await daemon.ask("GET", "/v1/status")
    misses: int = status["cache"]["misses"]
    return misses


async def test_each_kind_gets_a_file_id_that_its_bot_can_send(house: House) -> None:
    """The main job. What Telegram made of the file is told: a silent film is an animation."""
    forms = [
        (Format.JPEG, "photo", "photo"), (Format.PNG, "photo", "photo"),
        (Format.WEBP, "photo", "photo"), (Format.MP4, "video", "video"),
        (Format.MP4_SILENT, "video", "animation"), (Format.MP3, "audio", "audio"),
        (Format.PDF, "document", "document"), (Format.GIF, "animation", "animation"),
        (Format.OGG, "voice", "voice"), (Format.TGS, "sticker", "sticker"),
    ]  # fmt: skip
    wished = [
        (Format.MP4_SQUARE, "video_note", "video_note"), (Format.MP4, "video_note", "video"),
        (Format.MP4_SILENT, "animation", "animation"), (Format.MP3, "voice", "voice"),
        (Format.WEBP, "sticker", "sticker"), (Format.GIF, "document", "document"),
    ]  # fmt: skip
    async with house.daemon() as daemon:
        cases = [*((one, False) for one in forms), *((one, True) for one in wished)]
        for (form, kind, actual), is_told in cases:
            stored = await house.store(form=form, size_bytes=120_000)
            more = {"kind": kind} if is_told else {}
            job = await house.warmed(daemon, stored, **more)
            assert (job["state"], job["error"]) == ("ready", None)
            assert (job["kind"], job["actual_kind"]) == (kind, actual)
            assert (job["sha256"], job["bytes"]) == (stored.sha256, 120_000)
            assert (await house.sent_again("alpha", kind, job["file_id"]))["ok"]
            by_content = await daemon.ask("GET", f"/v1/media/alpha/{stored.sha256}/{kind}")
            by_key = await daemon.ask("GET", "/v1/media", bot="alpha", key=stored.key, kind=kind)
            assert by_content == by_key
            assert by_key["file_id"] == job["file_id"]
            assert by_key["actual_kind"] == actual


async def test_the_same_bytes_under_two_bots_keys_are_one_get(house: House) -> None:
    """The seed's layout promises the content: the second bot's bytes come from the cache."""
    data = house.media()
    first = await house.store(data, name="x.jpg")
    keys = [f"{bot}/photo/{first.sha256}.jpg" for bot in ("alpha", "beta")]
    for key in keys:
        await house.store(data, key=key)
    async with house.daemon() as daemon:
        admitted = await daemon.submit(
            [{"bot": bot, "key": key} for bot, key in zip(("alpha", "beta"), keys, strict=True)]
        )
        jobs = [await daemon.finished(one["id"]) for one in admitted]
        assert [job["state"] for job in jobs] == ["ready", "ready"]
        assert jobs[0]["file_id"] != jobs[1]["file_id"]
        assert await gets(daemon) == 1
        assert len(await house.deliveries(first)) == 2
        # Dashboards that are there already read these two names.
        lines = str(await daemon.ask("GET", "/metrics")).splitlines()
        assert "media_prewarm_download_cache_miss_total 1.0" in lines
        assert "media_prewarm_download_cache_hit_total 1.0" in lines


async def test_the_same_bytes_twice_for_one_bot_are_one_upload(house: House) -> None:
    """Found out after the download: the second joins, and has the same file_id."""
    data = house.media()
    stored = [await house.store(data, name=f"{n}.jpg") for n in (1, 2, 3)]
    async with house.daemon() as daemon:
        admitted = await daemon.submit([{"bot": "alpha", "key": one.key} for one in stored])
        jobs = [await daemon.finished(one["id"]) for one in admitted]
        assert {job["state"] for job in jobs} == {"ready"}
        assert len({job["file_id"] for job in jobs}) == 1
        assert len(await house.deliveries(stored[0])) == 1
        status = await daemon.ask("GET", "/v1/status")
        assert status["catalogue"]["deduplicated"] == 2


async def test_an_overwritten_object_gets_a_new_file_id(house: House) -> None:
    """And the old one is not answered any more once that job is ready."""
    before = await house.store(name="cover.jpg")
    async with house.daemon(top="workers = 1\n[cache]\nttl_s = 0\n") as daemon:
        old = await house.warmed(daemon, before)
        after = await house.store(name="cover.jpg")
        assert after.sha256 != before.sha256
        new = await house.warmed(daemon, after)
        assert (old["state"], new["state"]) == ("ready", "ready")
        assert new["id"] != old["id"]
        assert new["sha256"] == after.sha256
        assert new["file_unique_id"] != old["file_unique_id"]
        answered = await daemon.ask("GET", "/v1/media", bot="alpha", key=before.key)
        assert answered["file_id"] == new["file_id"]


async def test_an_unchanged_object_is_asked_about_and_not_sent_again(house: House) -> None:
    """Past the TTL the store is asked with If-None-Match: no body, no upload, the same file_id."""
    stored = await house.store()
    async with house.daemon(top="workers = 1\n[cache]\nttl_s = 0\n") as daemon:
        first = await house.warmed(daemon, stored)
        status = await daemon.ask("GET", "/v1/status")
        again = await house.warmed(daemon, stored)
        later = await daemon.ask("GET", "/v1/status")
        assert again["state"] == "ready"
        assert again["file_id"] == first["file_id"]
        assert len(await house.deliveries(stored)) == 1
        assert later["cache"]["bytes_downloaded"] == status["cache"]["bytes_downloaded"]


async def test_a_submit_within_the_ttl_is_ready_at_once(house: House) -> None:
    """Known to be unchanged: the answer to the submit itself says ready, and it is that job."""
    stored = await house.store()
    async with house.daemon() as daemon:
        job = await house.warmed(daemon, stored)
        [again] = await daemon.submit([{"bot": "alpha", "key": stored.key}])
        assert again == {"id": job["id"], "state": "ready", "created": False}


async def test_submits_are_idempotent_while_unfinished(house: House) -> None:
    """The same job three times in one batch, and once more: one row, one delivery."""
    stored = await house.store()
    rule = {"method": "sendPhoto", "bot": "alpha_sandbox_bot", "delay_s": 0.5}
    async with house.daemon() as daemon, house.faults(rule):
        three = await daemon.submit([{"bot": "alpha", "key": stored.key}] * 3)
        [four] = await daemon.submit([{"bot": "alpha", "key": stored.key}])
        assert [one["created"] for one in (*three, four)] == [True, False, False, False]
        assert len({one["id"] for one in (*three, four)}) == 1
        await daemon.finished(four["id"])
        assert len(await house.deliveries(stored)) == 1


async def test_a_prefix_is_listed_and_warmed(house: House) -> None:
    """A batch tells how far it is; what is no media is not counted as submitted work lost."""
    stored = [await house.store() for _ in range(5)]
    missing = f"{house.prefix}sub/6.jpg"
    await house.store(key=missing)
    async with house.daemon() as daemon:
        answer = await daemon.ask("POST", "/v1/jobs", {"bot": "beta", "prefix": house.prefix})

        async def finished() -> Any:
            batch = await daemon.ask("GET", f"/v1/batches/{answer['batch']}")
            return batch if batch["finished"] else None

        batch = await until(finished)
        assert (batch["listed"], batch["submitted"]) == (6, 6)
        assert (batch["ready"], batch["failed"]) == (6, 0)
        for one in stored:
            found = await daemon.ask("GET", "/v1/media", bot="beta", key=one.key)
            assert found["sha256"] == one.sha256


async def test_objects_that_cannot_become_media_fail_with_their_reason(house: House) -> None:
    """Each with its code; none of them is tried eight times. Here photos must be photos."""
    empty = await house.store(b"", name="empty.jpg")
    rubbish = await house.store(b"no picture at all", name="rubbish.jpg")
    riddle = await house.store(b"\xff\xd8\xff\xfe\0\2" + bytes(9000), name="riddle.jpg")
    large = await house.store(form=Format.JPEG, size_bytes=(10 << 20) + 1, name="large.jpg")
    wrong = await house.store(name="wrong.jpg")
    promised = "0" * 64
    cases: list[tuple[str, dict[str, Any], str]] = [
        (f"{house.prefix}missing.jpg", {}, "NoSuchKey"),
        (empty.key, {}, "EmptyObject"),
        (rubbish.key, {}, "UnfitPhoto"),
        (riddle.key, {}, "PhotoNotProcessed"),
        (large.key, {}, "TooLarge"),
        (wrong.key, {"sha256": promised}, "Sha256Mismatch"),
    ]
    strict = ("[telegram]\n", '[telegram]\nphoto_fallback = "fail"\n')
    async with house.daemon(replace=strict) as daemon:
        for key, more, code in cases:
            [admitted] = await daemon.submit([{"bot": "alpha", "key": key, **more}])
            job = await daemon.finished(admitted["id"])
            assert (job["state"], job["error"]["code"]) == ("failed", code), job
            assert job["file_id"] is None
            if code == "Sha256Mismatch":
                assert promised in job["error"]["message"]
                assert wrong.sha256 in job["error"]["message"]
        status = await daemon.ask("GET", "/v1/status")
        assert status["jobs"]["failed"] == len(cases)
        assert status["cache"]["bytes_downloaded"] < 1 << 20, "what is too large is not downloaded"


async def test_a_429_pauses_and_is_obeyed(house: House) -> None:
    """It is not charged as an attempt, and the job ends ready."""
    stored = await house.store()
    rule = {
        "method": "sendPhoto", "bot": "gamma_sandbox_bot", "status": 429, "times": 2,
        "description": "Too Many Requests: retry after 1", "parameters": {"retry_after": 1},
    }  # fmt: skip
    async with house.daemon() as daemon, house.faults(rule):
        job = await house.warmed(daemon, stored, "gamma")
        assert (job["state"], job["attempt"]) == ("ready", 0)
        assert len(await house.deliveries(stored)) == 1


@pytest.mark.parametrize("cut", ["body", "answer"])
async def test_a_connection_that_breaks_is_tried_again(house: House, cut: str) -> None:
    """Before the last byte: surely not sent. After it: perhaps, and that is what is recorded."""
    # More than socket buffers hold: what is in them may arrive, and counts as sent.
    stored = await house.store(size_bytes=9_000_000)
    rule = {"method": "sendPhoto", "bot": "beta_sandbox_bot", "cut": cut, "cut_bytes": 100_000}
    async with house.daemon(top="workers = 1\n[queue]\nretry_base_s = 0.1\n") as daemon:
        async with house.faults(rule):
            [admitted] = await daemon.submit([{"bot": "beta", "key": stored.key}])
            seen = []

            async def tried() -> Any:
                job = await daemon.job(admitted["id"])
                if job["state"] == "waiting":
                    seen.append(job)
                return job["state"] == "waiting"

            await until(tried)
            assert seen[0]["maybe_sent"] is (cut == "answer")
            assert seen[0]["error"]["code"] == ("NoAnswer" if cut == "answer" else "UploadCut")
            if cut == "answer":  # it may have been sent: a slow answer gets its chance
                again = datetime.fromisoformat(seen[0]["not_before"])
                assert again - datetime.fromisoformat(seen[0]["updated_at"]) > timedelta(seconds=4)
            await daemon.ask("POST", f"/v1/jobs/{admitted['id']}/retry")
            job = await daemon.finished(admitted["id"])
        assert job["state"] == "ready"
        duplicates = int(cut == "answer")
        assert len(await house.deliveries(stored)) == 1 + duplicates
        status = await daemon.ask("GET", "/v1/status")
        assert status["catalogue"]["possible_duplicates"] == duplicates


async def test_downloads_by_aiobotocore_end_alike(house: House) -> None:
    """The way round our own connections, for a store that only its own library understands: small
    media, one whose upload follows its download, and one that is not what was promised."""
    small, large = await house.store(), await house.store(form=Format.MP4, size_bytes=2_000_000)
    other = await house.store()
    by_library = ("[r2]\n", '[r2]\ndownloads = "aiobotocore"\n')
    async with house.daemon(replace=by_library) as daemon:
        for stored in (small, large):
            job = await house.warmed(daemon, stored)
            assert (job["state"], job["sha256"]) == ("ready", stored.sha256)
            assert len(await house.deliveries(stored)) == 1
        wrong = await house.warmed(daemon, other, sha256=small.sha256[::-1])
        assert wrong["error"]["code"] == "Sha256Mismatch"
        assert await house.deliveries(other) == []
