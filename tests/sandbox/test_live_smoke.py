"""The live smoke script, with another sandbox in Telegram's place: it may find no difference there,
and finds those that are put in."""

import asyncio

import aiohttp
import pytest

from prewarmd.sandbox.town import BotApi, residents
from tests.live_smoke import KINDS, Client, Report, differences, rates, run


async def test_a_sandbox_is_like_a_sandbox(
    bot_api: BotApi, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every kind, in a channel and in a private chat; nothing is left in the chat, and the token
    is nowhere."""
    bot = bot_api.bots[0]
    for chat, _ in bot.chats:
        report = await run(bot_api.base, bot.token, [chat])
        assert (report.different, report.failed) == (0, 0), report.lines
        assert not any("could not be deleted" in line for line in report.lines), report.lines
        assert sum("outlives its message: True" in line for line in report.lines) == len(KINDS)
        assert sum("a forward renews it: True" in line for line in report.lines) == len(KINDS)
    assert (await bot_api.control("GET", "requests"))["deletemessage"] >= 2 * 3 * len(KINDS)
    assert bot.token.partition(":")[2] not in capsys.readouterr().out


async def test_what_is_refused_is_said(bot_api: BotApi) -> None:
    """In Telegram's words; the others are asked for all the same."""
    rule = {"method": "sendVoice", "status": 400, "description": "VOICE_MESSAGES_FORBIDDEN"}
    await bot_api.control("POST", "faults", rule)
    bot = bot_api.bots[0]
    report = await run(bot_api.base, bot.token, [bot.chats[0][0]])
    assert report.failed == 1
    assert any("refused: VOICE_MESSAGES_FORBIDDEN" in line for line in report.lines)
    assert "0 differences in shape, 1 kinds refused" in report.lines


async def test_a_pause_of_hours_ends_it(bot_api: BotApi) -> None:
    """Nobody waits for that; what had been sent is deleted."""
    flood = "Too Many Requests: retry after 10072"
    rule = {"method": "sendVideo", "status": 429, "description": flood,
            "parameters": {"retry_after": 10_072}}  # fmt: skip
    await bot_api.control("POST", "faults", rule)
    bot = bot_api.bots[0]
    report = await run(bot_api.base, bot.token, [bot.chats[0][0]])
    assert report.failed == 1
    assert "gave up: told to wait 10072 s" in report.lines
    assert not any("could not be deleted" in line for line in report.lines), report.lines
    asked = await bot_api.control("GET", "requests")
    assert asked["deletemessage"] == len(await bot_api.control("GET", "deliveries"))


async def test_a_wrong_token_ends_it(bot_api: BotApi) -> None:
    """Before anything is sent, and without repeating it."""
    with pytest.raises(SystemExit, match="getMe: Unauthorized") as ended:
        await run(bot_api.base, "12345:wrong", [1])
    assert "wrong" not in str(ended.value)


async def test_what_a_chat_permits_is_measured() -> None:
    """A burst of three in each; a flood of one chat leaves the other alone."""
    strict = {"private_per_s": 1, "private_burst": 3, "absorb_s": 0.0}
    server = BotApi(residents(pairs=2), floods=strict)
    await server.start()
    try:
        bot = server.bots[0]
        chats = [chat for chat, kind in bot.chats if kind == "private"]
        async with aiohttp.ClientSession() as session:
            report = Report()
            await rates(report, Client(server.base, bot.token, session), chats)
        assert (await server.control("GET", "floods"))["violations"] == 0
    finally:
        await asyncio.to_thread(server.stop)
    assert sum("then told to wait 1 s" in line for line in report.lines) == 2
    assert sum("meanwhile" in line and "accepted" in line for line in report.lines) == 2


def test_differences_are_places_and_types() -> None:
    """Values differ always; items of a list are one place."""
    theirs = {"result": {"photo": [{"width": 1}, {"width": 2, "new": "x"}], "date": 1}}
    ours = {"result": {"photo": [{"width": 3}], "date": "1", "old": None}}
    assert differences(theirs, ours) == [
        "only live     result.date: int",
        "only live     result.photo[].new: str",
        "only sandbox  result.date: str",
        "only sandbox  result.old: NoneType",
    ]
