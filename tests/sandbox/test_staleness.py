"""file_ids that Telegram refuses from one day on, and messages that are gone, on order."""

import hashlib
from typing import Any

import pytest

from prewarmd.sandbox.media import Format, make
from tests.sandbox.asking import PRIVATE, Client

WRONG_FILE = (400, "Bad Request: wrong file identifier/HTTP URL specified")
FILM = make(Format.MP4, 40_000, 1)
SHA256 = hashlib.sha256(FILM).hexdigest()


def account(client: Client) -> str:
    """A bot as control pages name it."""
    return f"{client.bot.slug}_sandbox_bot"


async def order(client: Client, what: str, **named: Any) -> int:
    """POST one order about this client's bot; how many it met."""
    count: int = await client.server.control("POST", what, [{"bot": account(client), **named}])
    return count


async def known(client: Client, file_id: str) -> str | None:
    """The content behind a file_id, as the oracle has it."""
    [found] = await client.server.control("POST", "known", [[account(client), file_id]])
    assert found is None or isinstance(found, str)
    return found


def forward(client: Client, message: Any) -> dict[str, int]:
    """What asks for a message once more."""
    number: int = message["message_id"]
    return {"chat_id": client.chat(), "from_chat_id": client.chat(), "message_id": number}


async def test_a_stale_file_id_is_renewed_by_its_message(alpha: Client) -> None:
    """What a renewal without a byte rests on: the id is refused everywhere, its message lives."""
    sent = await alpha.result("sendVideo", chat_id=alpha.chat(), video=FILM)
    other = await alpha.result("sendVideo", chat_id=alpha.chat(), video=FILM)
    file_id = sent["video"]["file_id"]
    assert await order(alpha, "stale", file_id=file_id) == 1
    assert await order(alpha, "stale", file_id=file_id) == 0
    assert await known(alpha, file_id) is None
    named = {"chat_id": alpha.chat(), "video": file_id}
    assert await alpha.refusal("sendVideo", **named) == WRONG_FILE
    assert await alpha.refusal("getFile", file_id=file_id) == WRONG_FILE
    fresh = (await alpha.result("forwardMessage", **forward(alpha, sent)))["video"]
    assert fresh["file_id"] not in (file_id, other["video"]["file_id"])
    assert fresh["file_unique_id"] == sent["video"]["file_unique_id"]
    for good in (fresh["file_id"], other["video"]["file_id"]):
        assert await known(alpha, good) == SHA256
        await alpha.result("sendVideo", chat_id=alpha.chat(PRIVATE), video=good)


async def test_all_file_ids_of_a_content_go_stale_for_one_bot(alpha: Client, beta: Client) -> None:
    """Other bots keep theirs, and what is sent later is good."""
    sent = [
        await client.result("sendVideo", chat_id=client.chat(), video=FILM)
        for client in (alpha, alpha, beta)
    ]
    photo = await alpha.result("sendPhoto", chat_id=alpha.chat(), photo=make(Format.JPEG, 9_000, 1))
    assert await order(alpha, "stale", sha256=SHA256) == 2
    ids = [one["video"]["file_id"] for one in sent]
    assert [await known(alpha, one) for one in ids[:2]] == [None, None]
    assert await known(beta, ids[2]) == SHA256
    assert await known(alpha, photo["photo"][-1]["file_id"]) is not None
    again = await alpha.result("sendVideo", chat_id=alpha.chat(), video=FILM)
    assert await known(alpha, again["video"]["file_id"]) == SHA256
    forwarded = await alpha.result("forwardMessage", **forward(alpha, sent[0]))
    assert await known(alpha, forwarded["video"]["file_id"]) == SHA256


async def test_a_forgotten_message_renews_nothing(alpha: Client) -> None:
    """Then only an upload helps; the file_id itself outlives its message (telegram.md fact 9)."""
    sent = await alpha.result("sendVideo", chat_id=alpha.chat(), video=FILM)
    other = await alpha.result("sendVideo", chat_id=alpha.chat(), video=FILM)
    file_id = sent["video"]["file_id"]
    assert await order(alpha, "stale", file_id=file_id) == 1
    assert await order(alpha, "forgotten", file_id=file_id) == 1
    status, text = await alpha.refusal("forwardMessage", **forward(alpha, sent))
    assert (status, text) == (400, "Bad Request: message to forward not found")
    assert await order(alpha, "forgotten", sha256=SHA256) == 1
    assert await known(alpha, other["video"]["file_id"]) == SHA256
    assert await order(alpha, "forgotten", sha256=SHA256) == 0


async def test_an_aged_message_cannot_be_deleted(alpha: Client) -> None:
    """Telegram refuses those older than 48 hours, and with one of them all that a request names."""
    old, young = [
        await alpha.result("sendVideo", chat_id=alpha.chat(), video=FILM) for _ in range(2)
    ]
    assert await order(alpha, "aged", file_id=old["video"]["file_id"]) == 1
    numbers = [old["message_id"], young["message_id"]]
    refusal = (400, "Bad Request: message can't be deleted for everyone")
    both = {"chat_id": alpha.chat(), "message_ids": numbers}
    assert await alpha.refusal("deleteMessages", **both) == refusal
    for number in numbers:
        await alpha.ask("deleteMessage", chat_id=alpha.chat(), message_id=number)
    await alpha.result("forwardMessage", **forward(alpha, old))
    status, text = await alpha.refusal("forwardMessage", **forward(alpha, young))
    assert (status, text) == (400, "Bad Request: message to forward not found")


async def test_orders_that_say_nothing_are_refused(alpha: Client) -> None:
    """A test with a slip in it would see no file_id go stale, and prove nothing."""
    for wrong in (
        {"bot": account(alpha)},
        {"bot": account(alpha), "file_id": "x", "sha256": "y"},
        {"bot": "nobody", "file_id": "x"},
        {"file_id": "x"},
        {"bot": account(alpha), "colour": "red"},
    ):
        for page in ("stale", "forgotten", "aged"):
            with pytest.raises(ValueError, match="error"):
                await alpha.server.control("POST", page, [wrong])
    assert await order(alpha, "stale", file_id="nothing that was ever issued") == 0
