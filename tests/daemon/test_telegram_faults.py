"""Telegram misbehaves, and a whole daemon lives with it; worker/test_telegram_faults has the map of
the catalogue's rows F1 to F18."""

import asyncio
from random import Random
from typing import Any

from prewarmd.sandbox.daemon import RunningDaemon, until
from prewarmd.sandbox.media import Format
from prewarmd.sandbox.town import BotApi, Resident
from tests.daemon.test_deaths import in_flight
from tests.daemon.test_refusals import reason
from tests.support.house import House
from tests.worker.http.servers import serving
from tests.worker.telegrams import ScriptedTelegram, Sent, refusal

ONE = "workers = 1\n[queue]\nretry_base_s = 0.1\n"


def at(house: House, url: str) -> tuple[str, str]:
    """For `House.configure`: the Bot API server is there."""
    return house.town.telegram.base, url


def bot(house: House, number: int = 0) -> Resident:
    return house.town.telegram.bots[number]


async def warmed(house: House, daemon: RunningDaemon, slug: str = "alpha") -> None:
    """Another media becomes ready, and its job is none the worse for it."""
    job = await house.warmed(daemon, await house.store(), slug)
    assert (job["state"], job["attempt"], job["maybe_sent"]) == ("ready", 0, False)


async def test_a_429_stops_its_chat_alone(house: House) -> None:
    """F1. A media would be sent into the pause, which makes it longer; or a bot, or all bots, would
    stand still for one chat; or jobs would fail for it."""
    (flooded, _), (free, _) = bot(house).chats
    told: list[float] = []

    async def misdeed(sent: Sent, _: asyncio.StreamWriter) -> bytes | None:
        if sent.chat_id != flooded or told:
            return None
        told.append(sent.at)
        return refusal(429, "Too Many Requests: retry after 1", retry_after=1)

    server = ScriptedTelegram(misdeed)
    async with (
        serving(server) as scripted,
        house.daemon(top=ONE, replace=at(house, scripted.url)) as daemon,
    ):
        while [sent.chat_id for sent in server.sent].count(flooded) < 2:
            await warmed(house, daemon)
            await warmed(house, daemon, "beta")
    first, second = (sent.at for sent in server.sent if sent.chat_id == flooded)
    assert [first] == told
    assert second - first > 1.0
    meanwhile = [sent for sent in server.sent if first < sent.at < second]
    assert {free, bot(house, 1).chats[0][0]} <= {sent.chat_id for sent in meanwhile}


async def test_a_storm_ends_and_every_job_is_ready(house: House) -> None:
    """F2. Four of five are refused for a while: jobs would be used up by it."""
    dice, storm, refused = Random(1), 15, 0

    async def misdeed(sent: Sent, _: asyncio.StreamWriter) -> bytes | None:
        nonlocal refused
        if sent.number >= storm or dice.random() >= 0.8:
            return None
        refused += 1
        return refusal(429, "Too Many Requests: retry after 1", retry_after=1)

    keys = [f"{house.prefix}{number}.jpg" for number in range(30)]
    await house.town.store.put_all([(key, house.media()) for key in keys])
    server = ScriptedTelegram(misdeed)
    async with (
        serving(server) as scripted,
        house.daemon(top=ONE, replace=at(house, scripted.url)) as daemon,
    ):
        slugs = ("alpha", "beta", "gamma")
        wanted = [{"bot": slugs[n % 3], "key": key} for n, key in enumerate(keys)]
        for admitted in await daemon.submit(wanted):
            job = await daemon.finished(admitted["id"])
            assert (job["state"], job["attempt"]) == ("ready", 0)
    assert refused > storm / 2
    assert len(server.sent) == len(keys) + refused, "nothing was sent twice"


async def test_a_chat_that_refuses_keeps_its_jobs(house: House) -> None:
    """F9. Somebody throws the bot out of its chats by mistake, and a night's work has failed."""
    stored = await house.store()
    rules = [
        {"method": "sendPhoto", "bot": "beta_sandbox_bot", "chat_id": chat, "status": 403,
         "description": "Forbidden: bot was kicked from the channel chat"}
        for chat, _ in bot(house, 1).chats
    ]  # fmt: skip
    async with house.daemon(top=ONE) as daemon, house.faults(*rules):
        [admitted] = await daemon.submit([{"bot": "beta", "key": stored.key}])
        told = await until(lambda: reason(daemon, "ChatRefused"))
        assert "beta" in told["message"]
        assert "kicked" in told["message"]
        await warmed(house, daemon, "alpha")

        job = await daemon.finished(admitted["id"])
        assert (job["state"], job["attempt"], job["maybe_sent"]) == ("ready", 0, False)


async def test_a_token_that_is_refused_is_never_told(house: House) -> None:
    """F10. Each bot is stopped and says why; and what a server repeats of the request is the token
    of somebody's bot, for all who may read a log."""
    codes = (401, 404, 421)
    rules = [
        {"method": "sendPhoto", "bot": f"{each.slug}_sandbox_bot", "status": code, "times": 1000,
         "description": f"no /bot{each.token}/sendPhoto here"}
        for each, code in zip(house.town.telegram.bots, codes, strict=True)
    ]  # fmt: skip
    stored = await house.store()
    house.configure(top=ONE)
    daemon = house.new_daemon(options=("--log-level", "debug"))
    seen: list[str] = []
    async with house.faults(*rules):
        await daemon.start()
        admitted = await daemon.submit(
            [{"bot": each.slug, "key": stored.key} for each in house.town.telegram.bots]
        )

        async def stopped() -> Any:
            _, answer = await daemon.answer("GET", "/readyz")
            reasons = [one for one in answer.get("reasons", ()) if one["code"] == "Unauthorized"]
            return len(reasons) == len(codes) and reasons

        seen += [one["message"] for one in await until(stopped)]
        jobs = [await daemon.job(one["id"]) for one in admitted]
        assert {job["attempt"] for job in jobs} == {0}
        assert {job["state"] for job in jobs} <= {"queued", "running"}
        seen += [str(jobs), str(await daemon.ask("GET", "/v1/status"))]
        seen.append(str(await daemon.ask("GET", "/metrics")))
        await daemon.stop()
    seen.append(daemon.log.read_text())
    for each, code in zip(house.town.telegram.bots, codes, strict=True):
        assert f"{code} no /bot***/sendPhoto here" in seen[-1]
        assert each.token.partition(":")[2] not in "".join(seen)


async def test_a_chat_that_moved_is_remembered(house: House) -> None:
    """F11. A group became a supergroup: its bot goes on there, and does not ask the way again with
    a media after each restart."""
    (old, _), (other, _) = bot(house).chats
    new = -1_009_000_000_777

    async def misdeed(sent: Sent, _: asyncio.StreamWriter) -> bytes | None:
        if sent.chat_id != old:
            return None
        words = "Bad Request: group chat was upgraded to a supergroup chat"
        return refusal(400, words, migrate_to_chat_id=new)

    server = ScriptedTelegram(misdeed)
    async with serving(server) as scripted:
        house.configure(top=ONE, replace=at(house, scripted.url))
        for life in ({old, new, other}, {new, other}):
            server.sent.clear()
            daemon = house.new_daemon()
            await daemon.start()
            for _ in range(2):
                await warmed(house, daemon)
            assert await daemon.stop() == 0
            assert {sent.chat_id for sent in server.sent} == life


async def test_a_server_that_restarts_gets_it_once(house: House) -> None:
    """F17. An update of the Bot API server in the middle of a film: it would be there twice, or its
    job would have failed."""
    stored = await house.store(form=Format.MP4, size_bytes=25_000_000)
    server = BotApi(house.town.telegram.bots)
    await server.start()
    slow = {"method": "sendVideo", "read_bytes_per_s": 4_000_000}
    await server.control("POST", "faults", [slow])
    try:
        async with house.daemon(top=ONE, replace=at(house, server.base)) as daemon:
            [admitted] = await daemon.submit([{"bot": "alpha", "key": stored.key}])
            await until(lambda: in_flight(daemon, "uploading"))
            await asyncio.to_thread(server.stop)

            async def met() -> Any:
                return (await daemon.job(admitted["id"]))["error"]

            assert (await until(met))["code"] in ("UploadCut", "TelegramUnreachable")
            await server.start()
            job = await daemon.finished(admitted["id"])
            assert (job["state"], job["maybe_sent"], job["attempt"]) == ("ready", False, 0)
            assert len(await server.control("GET", "deliveries")) == 1
    finally:
        await asyncio.to_thread(server.stop)
