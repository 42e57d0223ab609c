"""What else a Bot API server is asked for: albums, forwards, copies, edits, files to download."""

import hashlib
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
    """How a file_id is renewed without a byte: the kept message is forwarded."""
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
    name = f"{alpha.bot.slug}_sandbox_bot"
    found = await alpha.server.control("POST", "known", [[name, again["video"]["file_id"]]])
    assert found == [hashlib.sha256(FILM).hexdigest()]


async def test_a_copy_tells_its_number_alone(alpha: Client) -> None:
    """MessageId, not Message."""
    first = await alpha.result("sendPhoto", chat_id=alpha.chat(), photo=PHOTO)
    copied = await alpha.result(
        "copyMessage",
        chat_id=alpha.chat(), from_chat_id=alpha.chat(), message_id=first["message_id"],
    )  # fmt: skip
    assert list(copied) == ["message_id"]
    assert copied["message_id"] > first["message_id"]


async def test_several_messages_are_copied_and_those_that_are_gone_skipped(
    alpha: Client, beta: Client
) -> None:
    """As documented: an answer shorter than the question, and no failure; private chats of another
    bot are not there at all."""
    sent = [
        (await alpha.result("sendPhoto", chat_id=alpha.chat(), photo=PHOTO))["message_id"]
        for _ in range(3)
    ]
    await alpha.result("deleteMessage", chat_id=alpha.chat(), message_id=sent[1])
    places = {"chat_id": alpha.chat(PRIVATE), "from_chat_id": alpha.chat()}
    numbers = orjson.dumps([*sent, 4711]).decode()
    copied = await alpha.result("copyMessages", **places, message_ids=numbers)
    assert [list(one) for one in copied] == [["message_id"]] * 2
    [*_, last] = await alpha.server.control("GET", "deliveries")
    assert (last["method"], last["by_file_id"]) == ("copymessages", True)
    assert last["message_id"] == copied[1]["message_id"]
    for wrong, words in (
        ("[4711]", "there are no messages to forward"),
        ("[]", "message identifiers are not specified"),
        ("{", "message identifiers are not specified"),
        ('["a"]', "message identifiers are not specified"),
        (str(list(range(1, 102))), "too many message identifiers specified"),
        (str([sent[2], sent[0]]), "message identifiers must be in a strictly increasing order"),
    ):
        refused = await alpha.refusal("copyMessages", **places, message_ids=wrong)
        assert refused == (400, f"Bad Request: {words}")
    status, text = await beta.refusal(
        "copyMessage",
        chat_id=beta.chat(), from_chat_id=alpha.chat(PRIVATE), message_id=last["message_id"],
    )  # fmt: skip
    assert (status, text) == (400, "Bad Request: message to copy not found")


async def test_several_messages_are_deleted_or_none(alpha: Client, beta: Client) -> None:
    """Those that are gone already do not matter; one of another bot's does."""
    sent = [
        (await client.result("sendMessage", chat_id=alpha.chat(), text="x"))["message_id"]
        for client in (alpha, alpha, beta)
    ]
    named = {"chat_id": alpha.chat()}
    refused = (400, "Bad Request: message can't be deleted")
    assert await alpha.refusal("deleteMessages", **named, message_ids=str(sent)) == refused
    assert await alpha.refusal("deleteMessage", **named, message_id=sent[2]) == refused
    assert await alpha.result("deleteMessages", **named, message_ids=str([*sent[:2], 4711]))
    assert await alpha.result("deleteMessages", **named, message_ids=str(sent[:2]))
    status, text = await alpha.refusal("deleteMessage", **named, message_id=sent[0])
    assert (status, text) == (400, "Bad Request: message to delete not found")
    status, text = await alpha.refusal("deleteMessage", **named)
    assert (status, text) == (400, "Bad Request: message identifier is not specified")
    assert await beta.result("deleteMessage", **named, message_id=sent[2]) is True


def test_after_two_days_a_message_stays() -> None:
    """A bot that tidies up its warm-up chats must do it within them."""
    bot = BotAccount("12345:secret", "tidy")
    world = World([bot], [Chat(-1, "channel", "here")])
    texts = {"chat_id": "-1", "text": "x"}
    for _ in range(2):
        world.answer(bot, "sendmessage", Parameters(texts), 0)
    day_s = 24 * 3600
    first, second = (Parameters({"chat_id": "-1", "message_id": number}) for number in ("1", "2"))
    assert world.answer(bot, "deletemessage", first, 2 * day_s) is True
    with pytest.raises(ApiError, match="message can't be deleted"):
        world.answer(bot, "deletemessage", second, 2 * day_s + 1)


async def test_a_live_photo_is_a_film_and_a_photo(alpha: Client) -> None:
    """Both with file_ids; its film is what is sent again; neither may be a URL."""
    chat = {"chat_id": alpha.chat()}
    sent = await alpha.result("sendLivePhoto", **chat, live_photo=FILM, photo=PHOTO)
    film, photo = sent["live_photo"], sent["photo"][-1]
    assert film["photo"] == sent["photo"]
    assert (film["file_size"], film["mime_type"]) == (len(FILM), "video/mp4")
    again = await alpha.result(
        "sendLivePhoto", **chat, live_photo=film["file_id"], photo=photo["file_id"]
    )
    assert again["live_photo"]["file_unique_id"] == film["file_unique_id"]
    assert again["live_photo"]["file_id"] != film["file_id"]
    by_media = orjson.dumps(
        [{"type": "live_photo", "media": film["file_id"], "photo": "attach://still"},
         {"type": "photo", "media": photo["file_id"]}]
    ).decode()  # fmt: skip
    album = await alpha.result("sendMediaGroup", **chat, media=by_media, still=PHOTO)
    assert ["live_photo" in one for one in album] == [True, False]
    paper = await alpha.result("sendDocument", **chat, document=make(Format.PDF, 9_000, 1))
    wrong_file = "wrong file identifier/HTTP URL specified"
    large = make(Format.MP4, (10 << 20) + 1, 1)
    limit = "is too big for a live photo; the maximum size is 10485760 bytes"
    too_big = f"file of size {len(large)} bytes {limit}"
    for film_given, photo_given, words in (
        ("https://127.0.0.1:1/film.mp4", PHOTO, wrong_file),
        (FILM, "http://127.0.0.1:1/a.jpg", wrong_file),
        (FILM, "", "there is no photo in the request"),
        ("", PHOTO, "there is no live photo in the request"),
        (paper["document"]["file_id"], PHOTO, wrong_file),
        (PHOTO, PHOTO, "VIDEO_CONTENT_TYPE_INVALID"),
        (large, PHOTO, too_big),
    ):  # fmt: skip
        refused = await alpha.refusal(
            "sendLivePhoto", **chat, live_photo=film_given, photo=photo_given
        )
        assert refused == (400, f"Bad Request: {words}")


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
