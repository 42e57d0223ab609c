"""What else a Bot API server is asked for: albums, forwards, copies, edits, files to download."""

from typing import Any

import aiohttp
import orjson
import pytest

from prewarmd.sandbox.botapi.errors import ApiError
from prewarmd.sandbox.botapi.parameters import Parameters
from prewarmd.sandbox.botapi.shapes import BotAccount, Chat
from prewarmd.sandbox.botapi.world import World
from prewarmd.sandbox.media import Format, make
from tests.sandbox.asking import PRIVATE, Client

PHOTO = make(Format.JPEG, 20_000, 1)
FILM = make(Format.MP4, 40_000, 1)


def items(*given: tuple[str, str], **more: Any) -> str:
    """The JSON of an album."""
    return orjson.dumps([{"type": kind, "media": media, **more} for kind, media in given]).decode()


async def test_a_forward_gives_a_fresh_file_id_of_the_same_file(alpha: Client) -> None:
    """How a stale file_id is renewed without a byte: the kept message is forwarded."""
    first = await alpha.result("sendVideo", chat_id=alpha.chat(), video=FILM, caption="kept")
    again = await alpha.result(
        "forwardMessage",
        chat_id=alpha.chat(PRIVATE), from_chat_id=alpha.chat(), message_id=first["message_id"],
    )  # fmt: skip
    assert again["video"]["file_id"] != first["video"]["file_id"]
    assert again["video"]["file_unique_id"] == first["video"]["file_unique_id"]
    assert again["caption"] == "kept"
    assert again["forward_origin"]["type"] == "channel"
    assert again["forward_origin"]["message_id"] == first["message_id"]
    await alpha.result("sendVideo", chat_id=alpha.chat(), video=again["video"]["file_id"])


async def test_a_copy_tells_its_number_alone(alpha: Client) -> None:
    """MessageId, not Message."""
    first = await alpha.result("sendPhoto", chat_id=alpha.chat(), photo=PHOTO)
    copied = await alpha.result(
        "copyMessage",
        chat_id=alpha.chat(), from_chat_id=alpha.chat(), message_id=first["message_id"],
    )  # fmt: skip
    assert list(copied) == ["message_id"]
    assert copied["message_id"] > first["message_id"]


async def test_a_file_id_outlives_its_message(alpha: Client) -> None:
    """telegram.md fact 9; and what is gone can be neither forwarded, copied, edited nor deleted."""
    sent = await alpha.result("sendPhoto", chat_id=alpha.chat(), photo=PHOTO)
    named = {"chat_id": alpha.chat(), "message_id": sent["message_id"]}
    assert await alpha.result("deleteMessage", **named) is True
    await alpha.result("sendPhoto", chat_id=alpha.chat(), photo=sent["photo"][-1]["file_id"])
    for method, what in (
        ("deleteMessage", "delete"), ("forwardMessage", "forward"), ("copyMessage", "copy"),
        ("editMessageMedia", "edit"),
    ):  # fmt: skip
        status, text = await alpha.refusal(method, from_chat_id=alpha.chat(), **named)
        assert (status, text) == (400, f"Bad Request: message to {what} not found")


async def test_a_message_gets_another_media(alpha: Client, beta: Client) -> None:
    """By the bot that sent it, and by nobody else."""
    sent = await alpha.result("sendPhoto", chat_id=alpha.chat(), photo=PHOTO)
    named = {"chat_id": alpha.chat(), "message_id": sent["message_id"]}
    media = orjson.dumps({"type": "video", "media": "attach://film"}).decode()
    edited = await alpha.result("editMessageMedia", media=media, film=FILM, **named)
    assert edited["message_id"] == sent["message_id"]
    assert edited["video"]["file_size"] == len(FILM)
    assert "photo" not in edited
    for rubbish in ("{", "[]", "{},{}", "[1]", '{"type":"poll","media":"x"}', '{"type":1}', "null"):
        status, text = await alpha.refusal("editMessageMedia", media=rubbish, **named)
        assert (status, text[:24]) == (400, "Bad Request: can't parse")
    status, text = await beta.refusal("editMessageMedia", media=media, film=FILM, **named)
    assert (status, text) == (400, "Bad Request: message can't be edited")


async def test_an_album_is_one_answer_of_several_messages(alpha: Client) -> None:
    """Uploads and file_ids may stand side by side."""
    known = await alpha.result("sendPhoto", chat_id=alpha.chat(), photo=PHOTO)
    file_id = known["photo"][-1]["file_id"]
    media = items(("photo", "attach://a"), ("video", "attach://b"), ("photo", file_id))
    sent = await alpha.result(
        "sendMediaGroup", chat_id=alpha.chat(), media=media, a=PHOTO[:-2] + b"\xff\xd9", b=FILM
    )
    assert ["photo" in one for one in sent] == [True, False, True]
    assert len({one["media_group_id"] for one in sent}) == 1
    assert len({one["message_id"] for one in sent}) == 3


@pytest.mark.parametrize(
    ("media", "words"),
    [
        ("[]", "there are too few messages to send as an album"),
        (items(*[("photo", "attach://a")] * 11), "too many messages to send as an album"),
        (items(("photo", "attach://a"), ("document", "attach://a")), "can't be mixed with other"),
        (items(("voice", "attach://a")), 'type "voice" can\'t be used in sendMediaGroup'),
        (items(("photo", "attach://x")), "there is no photo in the request"),
        (items(("photo", "attach://a"), caption="x" * 1025), "message caption is too long"),
        ("[1]", "can't parse media JSON object"),
        ("{", "can't parse media JSON object"),
    ],
)
async def test_what_makes_no_album_is_sent_to_nobody(alpha: Client, media: str, words: str) -> None:
    """Not even in part."""
    before = await alpha.result("sendMessage", chat_id=alpha.chat(), text="before")
    status, text = await alpha.refusal("sendMediaGroup", chat_id=alpha.chat(), media=media, a=PHOTO)
    assert status == 400
    assert words in text
    after = await alpha.result("sendMessage", chat_id=alpha.chat(), text="after")
    assert after["message_id"] == before["message_id"] + 1


async def test_what_getfile_names_can_be_downloaded(alpha: Client, beta: Client) -> None:
    """The very bytes, by the bot whose id it is; of large files a hosted server has none."""
    sent = await alpha.result("sendVideo", chat_id=alpha.chat(), video=FILM)
    found = await alpha.result("getFile", file_id=sent["video"]["file_id"])
    assert found["file_size"] == len(FILM)
    assert found["file_unique_id"] == sent["video"]["file_unique_id"]
    url = f"{alpha.server.base}/file/bot{alpha.bot.token}/{found['file_path']}"
    async with aiohttp.request("GET", url) as answer:
        assert (answer.status, await answer.read()) == (200, FILM)
    async with aiohttp.request("GET", f"{url}x/nothing.mp4") as answer:
        assert answer.status == 404
        assert (await answer.json())["ok"] is False
    photo = await alpha.result("sendPhoto", chat_id=alpha.chat(), photo=PHOTO)
    for size in photo["photo"]:
        found = await alpha.result("getFile", file_id=size["file_id"])
        assert found["file_unique_id"] == size["file_unique_id"]
    status, _ = await beta.refusal("getFile", file_id=sent["video"]["file_id"])
    assert status == 400
    large = make(Format.PDF, (20 << 20) + 1, 1)
    sent = await alpha.result("sendDocument", chat_id=alpha.chat(), document=large)
    refused = await alpha.refusal("getFile", file_id=sent["document"]["file_id"])
    assert refused == (400, "Bad Request: file is too big")


@pytest.mark.parametrize("number", ["9" * 5000, "-", "--5", "²", "1e3", "0x1", "", " 5"])
async def test_what_is_no_number_is_no_chat(alpha: Client, number: str) -> None:
    """Whatever stands in its place: an answer, and no end of the connection."""
    status, text = await alpha.refusal("sendMessage", chat_id=number, text="x")
    assert status == 400
    assert text in ("Bad Request: chat not found", "Bad Request: chat_id is empty")


async def test_a_bot_may_post_where_it_is_asked_whether_it_may(alpha: Client, beta: Client) -> None:
    """getChatMember, sendChatAction, getUpdates: what clients ask beside sending."""
    own, other = (int(client.bot.token.split(":")[0]) for client in (alpha, beta))
    for number in (own, other):
        member = await alpha.result("getChatMember", chat_id=alpha.chat(), user_id=number)
        assert member["user"]["id"] == number
        assert member["can_post_messages"] is True
    private = await alpha.result("getChatMember", chat_id=alpha.chat(PRIVATE), user_id=own)
    assert private["status"] == "member"
    assert (await alpha.refusal("getChatMember", chat_id=alpha.chat(), user_id=1))[0] == 400
    assert await alpha.result("sendChatAction", chat_id=alpha.chat(), action="typing") is True
    assert await alpha.result("getUpdates") == []


def test_a_bot_that_logged_out_is_told_so() -> None:
    """As before a move to a server of one's own: from then on nothing else is answered."""
    bot = BotAccount("12345:secret", "mover")
    world = World([bot], [Chat(-1, "channel", "here")])
    assert world.answer(world.bot_of(bot.token), "logout", Parameters(), 0) is True
    with pytest.raises(ApiError, match="Logged out") as refusal:
        world.bot_of(bot.token)
    assert refusal.value.status == 400
