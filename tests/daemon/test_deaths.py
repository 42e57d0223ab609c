"""Processes that die: children in mid-upload, the supervisor at any moment, two of them at once."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from prewarmd.sandbox.daemon import RunningDaemon, until
from prewarmd.sandbox.media import Format
from prewarmd.supervisor.processes import FORKSERVER
from tests.support.house import House, child_pids

ONE = "workers = 1\n[queue]\nretry_base_s = 0.1\n"


async def in_flight(daemon: RunningDaemon, stage: str) -> Any:
    """The board's row of a job that is at `stage`."""
    status = await daemon.ask("GET", "/v1/status")
    rows = [row for row in status["inflight"] if row["stage"] == stage]
    return rows[0] if rows else None


async def test_status_shows_stage_and_bytes_of_a_large_upload(house: House) -> None:
    """From the board: it moves while the child is busy, and tells which job it is."""
    stored = await house.store(form=Format.MP4, size_bytes=25_000_000)
    slow = {"method": "sendVideo", "bot": "alpha_sandbox_bot", "read_bytes_per_s": 12_000_000}
    async with house.daemon(top=ONE) as daemon, house.faults(slow):
        [admitted] = await daemon.submit([{"bot": "alpha", "key": stored.key}])
        first = await until(lambda: in_flight(daemon, "uploading"))
        assert first["job"] == admitted["id"]
        assert first["key"] == stored.key
        assert first["bytes_total"] == 25_000_000

        async def moved() -> Any:
            now = await in_flight(daemon, "uploading")
            return now and now["bytes_done"] > first["bytes_done"] and now

        later = await until(moved)
        assert 0 < later["bytes_done"] <= 25_000_000
        assert (await daemon.finished(admitted["id"]))["state"] == "ready"


async def test_a_child_killed_before_the_last_byte_has_surely_not_sent(house: House) -> None:
    """Its job goes back uncharged and is sent once, by the child that takes its place."""
    stored = await house.store(form=Format.MP4, size_bytes=25_000_000)
    slow = {"method": "sendVideo", "bot": "alpha_sandbox_bot", "read_bytes_per_s": 4_000_000}
    async with house.daemon(top=ONE) as daemon, house.faults(slow):
        [admitted] = await daemon.submit([{"bot": "alpha", "key": stored.key}])
        await until(lambda: in_flight(daemon, "uploading"))
        [child] = child_pids(daemon)
        os.kill(child, signal.SIGKILL)
        job = await daemon.finished(admitted["id"])
        assert (job["state"], job["maybe_sent"], job["attempt"]) == ("ready", False, 0)
        assert len(await house.deliveries(stored)) == 1
        status = await daemon.ask("GET", "/v1/status")
        assert status["children"][0]["pid"] != child
        assert "SIGKILL" in status["children"][0]["last_exit"]
        assert status["catalogue"]["possible_duplicates"] == 0


async def test_a_child_killed_after_the_last_byte_may_have_sent(house: House) -> None:
    """The board knows; the job says so, is tried again later, and the duplicate is counted."""
    stored = await house.store()
    late = {"method": "sendPhoto", "bot": "alpha_sandbox_bot", "delay_s": 60}
    async with house.daemon(top=ONE) as daemon, house.faults(late):
        [admitted] = await daemon.submit([{"bot": "alpha", "key": stored.key}])
        await until(lambda: in_flight(daemon, "body_sent"))
        os.kill(child_pids(daemon)[0], signal.SIGKILL)

        async def waits() -> Any:
            job = await daemon.job(admitted["id"])
            return job if job["state"] == "waiting" else None

        job = await until(waits)
        assert job["maybe_sent"] is True
        assert job["error"]["code"] == "MaybeSent"
        await daemon.ask("POST", f"/v1/jobs/{admitted['id']}/retry")
        assert (await daemon.finished(admitted["id"]))["state"] == "ready"
        assert len(await house.deliveries(stored)) == 2
        status = await daemon.ask("GET", "/v1/status")
        assert status["catalogue"]["possible_duplicates"] == 1


async def test_a_supervisor_killed_at_work_loses_nothing(house: House) -> None:
    """Acknowledged is committed: after SIGKILL a new daemon ends every job by itself, and the
    children of the old one are gone."""
    stored = [await house.store(size_bytes=200_000) for _ in range(30)]
    house.configure(top="workers = 1\n")
    daemon = house.new_daemon()
    await daemon.start()
    children = child_pids(daemon)
    admitted = await daemon.submit([{"bot": "beta", "key": one.key} for one in stored])
    await daemon.kill()

    async def gone() -> bool:
        return not any(os.path.exists(f"/proc/{pid}") for pid in children)  # noqa: PTH110

    await until(gone)
    await daemon.start(ready=False)
    try:
        jobs = [await daemon.finished(one["id"]) for one in admitted]
        assert {job["state"] for job in jobs} == {"ready"}
        assert len({job["file_unique_id"] for job in jobs}) == len(stored)
    finally:
        assert await daemon.stop() == 0


async def test_a_killed_supervisor_leaves_nothing_outside_its_state_directory(
    house: House, tmp_path: Path
) -> None:
    """Multiprocessing's own temporary directories would pile up in TMPDIR, one for each death; in
    the state directory the next start takes away what is left, and an exit does."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    house.configure()
    env = {"TMPDIR": str(temporary)}
    daemon = RunningDaemon(house.configuration, house.directory / "state", env=env)
    place = daemon.directory / FORKSERVER
    for _ in range(2):
        await daemon.start()
        [socket] = place.glob("*/*")
        assert socket.is_socket()
        assert socket.parent.stat().st_mode & 0o777 == 0o700
        await daemon.kill()
    await daemon.start()
    assert len(list(place.iterdir())) == 1
    assert await daemon.stop() == 0
    assert list(place.iterdir()) == []
    assert list(temporary.iterdir()) == []


async def test_file_ids_survive_a_restart(house: House) -> None:
    """The catalogue is on disk: the same answer, and no second upload."""
    stored = await house.store()
    house.configure()
    daemon = house.new_daemon()
    await daemon.start()
    before = await house.warmed(daemon, stored)
    assert await daemon.stop() == 0
    await daemon.start()
    after = await daemon.ask("GET", "/v1/media", bot="alpha", key=stored.key)
    again = await house.warmed(daemon, stored)
    await daemon.stop()
    assert after["file_id"] == before["file_id"] == again["file_id"]
    assert len(await house.deliveries(stored)) == 1


async def test_sigterm_finishes_what_is_in_flight(house: House) -> None:
    """A drain: the upload ends, its file_id is recorded, the exit code is 0."""
    stored = await house.store(form=Format.MP4, size_bytes=8_000_000)
    slow = {"method": "sendVideo", "bot": "alpha_sandbox_bot", "read_bytes_per_s": 8_000_000}
    house.configure(top=ONE)
    daemon = house.new_daemon()
    async with house.faults(slow):
        await daemon.start()
        [admitted] = await daemon.submit([{"bot": "alpha", "key": stored.key}])
        await until(lambda: in_flight(daemon, "uploading"))
        assert await daemon.stop() == 0
    assert not daemon.socket.exists()
    await daemon.start()
    job = await daemon.job(admitted["id"])
    await daemon.stop()
    assert job["state"] == "ready"
    assert len(await house.deliveries(stored)) == 1


async def test_a_second_daemon_on_a_state_directory_exits_75(house: House) -> None:
    """And does not disturb the first."""
    async with house.daemon() as daemon:
        command = [sys.executable, "-m", "prewarmd", "run", "-c", str(house.configuration),
                   "--state-dir", str(daemon.directory)]  # fmt: skip
        second = await asyncio.to_thread(
            subprocess.run, command, capture_output=True, text=True, timeout=30
        )
        assert second.returncode == 75
        assert str(daemon.pid) in second.stderr
        assert "Traceback" not in second.stderr
        assert await daemon.ask("GET", "/healthz")


async def test_a_slug_with_another_bot_keeps_its_jobs_and_drops_its_file_ids(house: House) -> None:
    """bot_id is the truth: an old file_id is useless to the new bot, and is answered no more."""
    stored = await house.store()
    house.configure()
    daemon = house.new_daemon()
    await daemon.start()
    before = await house.warmed(daemon, stored)
    await daemon.stop()
    alpha, beta, *_ = house.town.telegram.bots
    text = house.configuration.read_text()
    swapped = text.replace(alpha.token, "@@").replace(beta.token, alpha.token)
    house.configuration.write_text(swapped.replace("@@", beta.token))
    await daemon.start()
    try:
        job = await daemon.job(before["id"])
        assert (job["state"], job["file_id"]) == ("ready", None)
        status = await daemon.ask("GET", "/v1/status")
        assert status["bots"]["alpha"]["stale_media"] == 1
        place = {
            "PREWARMD_SOCKET": str(daemon.socket),
            "PREWARMD_STATE_DIR": str(daemon.directory),
        }
        doctor = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "prewarmd", "doctor", "-c", house.configuration,
            env={**os.environ, **place}, stdout=subprocess.PIPE,
        )  # fmt: skip
        said, _ = await doctor.communicate()
        assert b"file_ids of bot alpha: 1 belong to the bot that had this slug before" in said
        again = await house.warmed(daemon, stored)
        assert again["state"] == "ready"
        assert again["file_id"] not in (None, before["file_id"])
        assert len(await house.deliveries(stored)) == 2
    finally:
        await daemon.stop()
