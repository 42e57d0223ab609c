"""Orders to Telegram whose result is True."""

import asyncio

from prewarmd.sandbox.town import BotApi, residents
from prewarmd.worker.answers import Refused
from prewarmd.worker.spec import TelegramSpec
from prewarmd.worker.telegram import Telegram


def telegram(server: BotApi) -> Telegram:
    """As a child has it."""
    return Telegram(TelegramSpec(server.base), {bot.slug: bot.token for bot in server.bots})


async def test_what_is_done_and_what_is_refused(bot_api: BotApi) -> None:
    """True is no refusal, and a result of another shape is no True."""
    async with telegram(bot_api) as asked:
        assert await asked.order("alpha", "deleteWebhook") is None
        wrong = await asked.order("alpha", "getMe")
        assert wrong == Refused("BadAnswer", "unreadable")
        assert await asked.ask("alpha", "deleteWebhook") == Refused("BadAnswer", "unreadable")
        chat = bot_api.bots[0].chats[0][0]
        refused = await asked.order("alpha", "deleteMessage", chat_id=chat, message_id=9)
        assert isinstance(refused, Refused)
        assert refused.detail == "400 Bad Request: message to delete not found"
        rule = {"method": "logout", "status": 429, "parameters": {"retry_after": 7}}
        await bot_api.control("POST", "faults", [rule])
        refused = await asked.order("alpha", "logOut")
        assert isinstance(refused, Refused)
        assert (refused.code, refused.retry_after_s) == ("TooManyRequests", 7.0)


async def test_a_doubt_is_told_from_a_failure(bot_api: BotApi) -> None:
    """An order that may have been obeyed must not look like one that never arrived."""
    async with telegram(bot_api) as asked:
        await bot_api.control("POST", "faults", [{"method": "logout", "cut": "answer"}])
        cut = await asked.order("alpha", "logOut")
        assert isinstance(cut, Refused)
        assert cut.code == "NoAnswer"
        await bot_api.control("POST", "faults", [{"method": "getme", "cut": "answer"}])
        question = await asked.ask("beta", "getMe")
        assert isinstance(question, Refused)
        assert question.code == "TelegramUnreachable"


async def test_a_server_that_is_gone(bot_api: BotApi) -> None:
    """Surely not done."""
    await asyncio.to_thread(bot_api.stop)
    gone = BotApi(residents(), port=bot_api.port)
    async with telegram(gone) as asked:
        refused = await asked.order("alpha", "logOut")
        assert isinstance(refused, Refused)
        assert refused.code == "TelegramUnreachable"
