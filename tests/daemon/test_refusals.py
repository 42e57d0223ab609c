"""What the other side refuses: credentials, tokens, chats; a full disk; and no secret is told."""

import resource
from typing import Any

import psutil
import pytest

from prewarmd.sandbox.daemon import AnswerError, RunningDaemon, until
from tests.support.house import House

QUICK = "workers = 1\n[queue]\nretry_base_s = 0.1\n"


async def reason(daemon: RunningDaemon, code: str) -> Any:
    """The reason of that code, if /readyz gives it."""
    status, answer = await daemon.answer("GET", "/readyz")
    assert (status, answer["ready"]) in ((503, False), (200, True))
    found = [one for one in answer.get("reasons", ()) if one["code"] == code]
    return found[0] if found else None


async def test_wrong_credentials_keep_jobs_queued_and_readyz_says_why(house: House) -> None:
    """Nothing fails that a corrected secret would let through."""
    stored = await house.store()
    secret = house.town.store.secret_access_key
    wrong = (secret, "0" * len(secret))
    async with house.daemon(top=QUICK, ready=False, replace=wrong) as daemon:
        [admitted] = await daemon.submit([{"bot": "alpha", "key": stored.key}])
        found = await until(lambda: reason(daemon, "BadCredentials"))
        assert "media" in found["message"]

        async def queued() -> Any:
            # Each second one job asks the bucket again, and is running for that moment.
            job = await daemon.job(admitted["id"])
            return job if job["state"] == "queued" else None

        assert (await until(queued))["attempt"] == 0
    async with house.daemon(top=QUICK) as daemon:
        assert (await daemon.finished(admitted["id"]))["state"] == "ready"


async def test_a_refused_token_stops_that_bot_alone(house: House) -> None:
    """The other bots go on; the reason names the bot."""
    stored = await house.store()
    token = house.town.telegram.bots[0].token
    wrong = (token, token[:-3] + "xyz")
    async with house.daemon(top=QUICK, ready=False, replace=wrong) as daemon:
        [refused, taken] = await daemon.submit(
            [{"bot": bot, "key": stored.key} for bot in ("alpha", "beta")]
        )
        assert (await daemon.finished(taken["id"]))["state"] == "ready"
        found = await until(lambda: reason(daemon, "Unauthorized"))
        assert "alpha" in found["message"]
        assert (await daemon.job(refused["id"]))["state"] in ("queued", "running")


async def test_an_unknown_chat_is_passed_over_for_another(house: House) -> None:
    """A bot with two chats goes on with the one that works; the reason names the other."""
    stored = await house.store()
    chat = str(house.town.telegram.bots[1].chats[0][0])
    async with house.daemon(top=QUICK, ready=False, replace=(chat, "-1009999")) as daemon:
        [admitted] = await daemon.submit([{"bot": "beta", "key": stored.key}])
        assert (await daemon.finished(admitted["id"]))["state"] == "ready"
        found = await reason(daemon, "ChatNotFound")
        assert found is None or "-1009999" in found["message"]


async def test_no_token_and_no_secret_is_ever_told(house: House) -> None:
    """Not in logs, /v1/status, /metrics, job errors, titles or arguments, whatever went wrong."""
    stored = [await house.store(), await house.store(size_bytes=9_000_000)]
    rules: list[dict[str, Any]] = [
        {"method": "sendPhoto", "bot": "alpha_sandbox_bot", "cut": "body", "cut_bytes": 1000},
        {"method": "sendPhoto", "bot": "alpha_sandbox_bot", "cut": "answer"},
        {"method": "sendPhoto", "bot": "alpha_sandbox_bot", "raw": "<html>", "status": 502},
    ]
    tokens = [bot.token for bot in house.town.telegram.bots]
    secrets = [*tokens, *(token.split(":")[1] for token in tokens)]
    secrets.append(house.town.store.secret_access_key)
    seen = []
    house.configure(top=QUICK)
    daemon = house.new_daemon(options=("--log-level", "debug"))
    async with house.faults(*rules):
        await daemon.start()
        admitted = await daemon.submit([{"bot": "alpha", "key": one.key} for one in stored])
        for one in admitted:
            await house.hurried(daemon, one["id"])
        family = psutil.Process(daemon.pid)
        everyone = (family, *family.children(recursive=True))
        seen += [" ".join(process.cmdline()) for process in everyone]
        seen.append(str(await daemon.jobs()))
        seen.append(str(await daemon.ask("GET", "/v1/status")))
        seen.append(await daemon.ask("GET", "/metrics"))
        await daemon.stop()
    seen.append(daemon.log.read_text())
    assert "upload.failed" in seen[-1], "the faults must have been met"
    for text in seen:
        for secret in secrets:
            assert secret not in text


async def test_a_full_disk_refuses_submits_and_loses_nothing(house: House) -> None:
    """No 2xx without a commit. When there is room again, work goes on by itself."""
    async with house.daemon(top=QUICK) as daemon:
        first = await house.warmed(daemon, await house.store())
        limits = resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, (4096, limits[1]))
        for _ in range(3):
            with pytest.raises(AnswerError) as refused:
                await daemon.submit([{"bot": "alpha", "key": f"{house.prefix}later.jpg"}])
            assert refused.value.status == 507
            assert refused.value.problem["code"] == "StoreUnwritable"
        assert (await daemon.job(first["id"]))["state"] == "ready"
        resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, limits)
        again = await house.warmed(daemon, await house.store())
        assert again["state"] == "ready"
        assert [job["state"] for job in await daemon.jobs()] == ["ready", "ready"]
