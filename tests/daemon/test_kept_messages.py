"""The routes by which old warm-up messages are found and forgotten."""

import json
from typing import Any

import pytest

from prewarmd.sandbox.daemon import AnswerError, RunningDaemon
from tests.support.house import House

ROUTE = "/v1/bots/alpha/messages"
FAR = "2999-01-01T00:00:00Z"


async def listed(daemon: RunningDaemon, before: str = FAR) -> list[dict[str, Any]]:
    """All kept messages of alpha."""
    page = await daemon.ask("GET", ROUTE, before=before, limit=1000)
    assert page["next"] is None
    found: list[dict[str, Any]] = page["messages"]
    return found


async def test_messages_are_paged_forgotten_and_stay_so(house: House) -> None:
    """Whoever deletes them must reach each once, and never again: also after a kill -9."""
    stored = [await house.store() for _ in range(5)]
    async with house.daemon() as daemon:
        for one in stored:
            await house.warmed(daemon, one)
        every = await listed(daemon)
        assert [one["sha256"] for one in every] == [one.sha256 for one in stored]
        sent = {one["message_id"] for each in stored for one in await house.deliveries(each)}
        assert {one["message_id"] for one in every} == sent
        assert {one["kind"] for one in every} == {"photo"}

        seen, cursor = [], None
        while True:
            page = await daemon.ask("GET", ROUTE, before=FAR, limit=2, cursor=cursor)
            seen += page["messages"]
            assert len(page["messages"]) <= 2
            cursor = page["next"]
            if cursor is None:
                break
        assert seen == every

        # Before: the third one's own time is not before itself.
        third = every[2]["ready_at"]
        earlier = [one for one in every if one["ready_at"] < third]
        assert await listed(daemon, third) == earlier
        assert await listed(daemon, "0") == []
        assert await listed(daemon, "32503680000.5") == every

        gone = [{"media": one["media"], "message_id": one["message_id"]} for one in every[:2]]
        other = {"media": every[2]["media"], "message_id": every[2]["message_id"] + 1}
        forget = f"{ROUTE}/forget"
        assert await daemon.ask("POST", forget, {"messages": [*gone, other]}) == {"known": 2}
        # Another bot's media are none of this one's.
        mine = {"messages": [{k: every[2][k] for k in ("media", "message_id")}]}
        assert await daemon.ask("POST", "/v1/bots/beta/messages/forget", mine) == {"known": 0}
        await daemon.kill()
        await daemon.start()
        assert await daemon.ask("POST", forget, {"messages": gone}) == {"known": 0}
        assert await listed(daemon) == every[2:]
        for one in stored:  # a file_id outlives its message
            found = await daemon.ask("GET", f"/v1/media/alpha/{one.sha256}/photo")
            assert found["file_id"]


ONE = {"media": 1, "message_id": 2}


async def test_bad_input_is_named(house: House) -> None:
    """A slip in a script that deletes must not look like success."""
    queries = [
        ({}, "before: is needed"),
        ({"before": "yesterday"}, "before: 'yesterday' is no time"),
        ({"before": "-5"}, "2026-01-31T00:00:00Z"),
        ({"before": "2026-01-31"}, "before: must say its zone"),
        ({"before": "1" * 5000}, "is no time"),
        ({"before": "1767225600000"}, "is no time"),
        ({"before": "0001-01-01T00:00:00"}, "before: "),
        ({"before": "nan"}, "is no time"),
        ({"before": "5", "limit": "0"}, "limit: must be 1 to 1000"),
        ({"before": "5", "limit": "9" * 5000}, "limit: must be 1 to 1000"),
        ({"before": "5", "cursor": "j1"}, "cursor: is none that was given out"),
        ({"before": "5", "cursor": "9" * 40}, "cursor: is none that was given out"),
    ]
    bodies = [
        ([], "object"),
        ({}, "messages: must be an array of 1 to 1000 messages"),
        ({"messages": []}, "1 to 1000"),
        ({"messages": [ONE] * 1001}, "1 to 1000"),
        ({"messages": [ONE], "bot": "alpha"}, "bot: is no known field"),
        ({"messages": [ONE, 7]}, "messages[1].message: "),
        ({"messages": [{"media": 1}]}, "messages[0].message_id: is missing"),
        ({"messages": [ONE, ONE | {"media": True}]}, "messages[1].media: "),
        ({"messages": [ONE | {"media": 0}]}, "messages[0].media: "),
        ({"messages": [ONE | {"media": 1 << 63}]}, "messages[0].media: "),
        ({"messages": [ONE | {"media": 1 << 70}]}, "messages[0].media: "),
        ({"messages": [ONE | {"message_id": "2"}]}, "messages[0].message_id: "),
        ({"messages": [ONE | {"chat_id": 3}]}, "messages[0].chat_id: is no known field"),
    ]
    async with house.daemon() as daemon:
        for query, told in queries:
            status, problem = await daemon.answer("GET", ROUTE, **query)
            assert (status, told in problem["detail"]) == (422, True), problem
        for body, told in bodies:
            # orjson writes no such numbers
            raw = json.dumps(body).encode()
            status, text = await daemon._ask("POST", f"{ROUTE}/forget", raw)
            assert (status, told in json.loads(text)["detail"]) == (422, True), (body, text)
        for verb, path in (("GET", "messages?before=5"), ("POST", "messages/forget")):
            with pytest.raises(AnswerError) as refused:
                await daemon.ask(verb, f"/v1/bots/nobody/{path}", None if verb == "GET" else {})
            assert refused.value.status == 404
            assert "known: alpha, beta, gamma" in refused.value.problem["detail"]
        status, problem = await daemon.answer("GET", ROUTE, before=5, older="1d")
        assert (status, "before, cursor, limit" in problem["detail"]) == (400, True)
