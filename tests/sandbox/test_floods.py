"""The flood model behind a real server: its verdicts as answers, in real time."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import aiohttp
import pytest

from prewarmd.sandbox.daemon import until
from prewarmd.sandbox.media import Format, make
from prewarmd.sandbox.town import BotApi, residents
from tests.sandbox.asking import PRIVATE, Client

PHOTO = make(Format.JPEG, 20_000, 1)
STRICT = {"private_per_s": 0.5, "private_burst": 2, "absorb_s": 0.0}
"""Two at once, then nobody for a while."""
Open = Callable[..., AbstractAsyncContextManager[Client]]


@pytest.fixture
def telegram() -> Open:
    """Starts a server with these limits, and a client of it."""

    @asynccontextmanager
    async def opened(**floods: Any) -> AsyncIterator[Client]:
        server = BotApi(residents(), floods=floods)
        await server.start()
        try:
            yield Client(server, server.bots[0])
        finally:
            await asyncio.to_thread(server.stop)

    return opened


async def counted(client: Client) -> dict[str, Any]:
    """What the model has counted."""
    found: dict[str, Any] = await client.server.control("GET", "floods")
    return found


async def test_who_is_too_fast_is_told_to_wait(telegram: Open) -> None:
    """429 in Telegram's words, with the same number in a header; who goes on all the same is
    counted, and waits longer."""
    async with telegram(**STRICT) as client:
        chat = client.chat(PRIVATE)
        for _ in range(2):
            await client.result("sendPhoto", chat_id=chat, photo=PHOTO)
        url = f"{client.server.base}/bot{client.bot.token}/sendMessage"
        async with aiohttp.request("POST", url, json={"chat_id": chat, "text": "x"}) as answer:
            told = await answer.json()
            assert answer.status == told["error_code"] == 429
            wait_s = told["parameters"]["retry_after"]
            assert answer.headers["Retry-After"] == str(wait_s)
            assert told["description"] == f"Too Many Requests: retry after {wait_s}"
        assert (await counted(client))["violations"] == 0
        _, again = await client.ask("sendPhoto", chat_id=chat, photo=PHOTO)
        assert again["parameters"]["retry_after"] > wait_s
        found = await counted(client)
        assert (found["violations"], found["delivered"], found["floods"]) == (1, 2, 1)
        assert len(await client.server.control("GET", "deliveries")) == 2, (
            "who is refused sends nothing"
        )


async def test_a_short_wait_is_an_answer_that_comes_late(telegram: Open) -> None:
    """Nobody is refused, and all arrive in their order (telegram.md fact 2)."""
    async with telegram(private_per_s=20, private_burst=1, wait_step_s=0.0) as client:
        chat = client.chat(PRIVATE)
        sent = [
            await client.result("sendMessage", chat_id=chat, text=str(number))
            for number in range(5)
        ]
        numbers = [message["message_id"] for message in sent]
        assert numbers == sorted(numbers)
        found = await counted(client)
        assert (found["delivered"], found["refused"]) == (5, {})
        assert found["absorbed"] == 4


async def test_what_is_absorbed_arrives_although_its_client_has_gone(telegram: Open) -> None:
    """A time-out is no failure (telegram.md fact 11)."""
    async with telegram(private_per_s=2, private_burst=1) as client:
        chat = client.chat(PRIVATE)
        await client.result("sendPhoto", chat_id=chat, photo=PHOTO)
        late = asyncio.ensure_future(client.ask("sendPhoto", chat_id=chat, photo=PHOTO))

        async def is_absorbed() -> bool:
            return bool((await counted(client))["absorbed"])

        await until(is_absorbed)
        late.cancel()

        async def has_arrived() -> bool:
            return len(await client.server.control("GET", "deliveries")) == 2

        await until(has_arrived)


async def test_what_is_no_message_costs_nothing(telegram: Open) -> None:
    """Neither questions, nor what no chat could have got."""
    async with telegram(**STRICT) as client:
        for _ in range(5):
            await client.result("getMe")
            await client.result("getChat", chat_id=client.chat(PRIVATE))
            status, _ = await client.refusal("sendPhoto", chat_id=4711, photo=PHOTO)
            assert status == 400
        assert (await counted(client))["sends"] == 0


async def test_several_messages_that_are_copied_at_once_cost_as_many(telegram: Open) -> None:
    """A client that takes them for one would be too fast without knowing."""
    async with telegram() as client:
        chat = client.chat()
        numbers = [
            (await client.result("sendMessage", chat_id=chat, text="x"))["message_id"]
            for _ in range(3)
        ]
        await client.result(
            "copyMessages", chat_id=chat, from_chat_id=chat, message_ids=str(numbers)
        )
        assert (await counted(client))["delivered"] == 6


async def test_floods_and_outages_come_on_order(telegram: Open) -> None:
    """Of a whole bot, disguised as a 400, and of the server itself."""
    async with telegram() as client:
        chat, name = client.chat(), f"{client.bot.slug}_sandbox_bot"
        order = {"bot": name, "wait_s": 30, "shape": "disguised"}
        await client.server.control("POST", "floods", order)
        status, text = await client.refusal("sendPhoto", chat_id=chat, photo=PHOTO)
        assert status == 400
        assert "Too Many Requests: retry after" in text
        await client.server.control("POST", "floods", {"outage_s": 30, "shape": "restart"})
        status, text = await client.refusal("sendPhoto", chat_id=chat, photo=PHOTO)
        assert (status, text) == (500, "Internal Server Error: restart")
        for wrong in (
            {"bot": name},
            {"outage_s": "long"},
            {"bot": name, "wait_s": 1, "shape": "x"},
        ):
            with pytest.raises(ValueError, match="error"):
                await client.server.control("POST", "floods", wrong)


async def test_a_message_may_arrive_and_its_answer_be_rubbish(telegram: Open) -> None:
    """A truncated answer, and one that is met now and then."""
    async with telegram() as client:
        rule = {"method": "sendPhoto", "raw": '{"ok":tru', "status": 200, "delivers": True}
        await client.server.control("POST", "faults", rule)
        url = f"{client.server.base}/bot{client.bot.token}/sendPhoto"
        form = aiohttp.FormData({"chat_id": str(client.chat())})
        form.add_field("photo", PHOTO, filename="a.jpg")
        async with aiohttp.request("POST", url, data=form) as answer:
            assert await answer.text() == '{"ok":tru'
        assert len(await client.server.control("GET", "deliveries")) == 1
        sometimes = {"method": "sendMessage", "status": 502, "times": 1000, "chance": 0.5}
        await client.server.control("POST", "faults", sometimes)
        asked = [
            await client.ask("sendMessage", chat_id=client.chat(), text="x") for _ in range(19)
        ]
        assert {status for status, _ in asked} == {200, 502}
