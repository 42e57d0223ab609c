"""The sandbox's Bot API server, asked by a client that knows nothing of it."""

import asyncio
import base64
import socket
from typing import Any

import aiohttp
import pytest

from prewarmd.sandbox.botapi import ids
from prewarmd.sandbox.media import Format, make
from prewarmd.sandbox.town import BotApi
from tests.sandbox.asking import PRIVATE, Client

TOO_LARGE = 50_000_001
NAMES = (
    "Bad Request: photo has unsupported extension. Use one of .jpg, .jpeg, .gif, .png, .tif or .bmp"
)
TOO_BIG = (
    "Bad Request: file of size 10485761 bytes is too big for a photo; "
    "the maximum size is 10485760 bytes"
)


async def test_getme_and_getchat(alpha: Client) -> None:
    """What `doctor` and the engine ask at a start."""
    me = await alpha.result("getMe")
    assert me["id"] == int(alpha.bot.token.split(":")[0])
    assert me["is_bot"] is True
    assert (await alpha.result("GETCHAT", chat_id=alpha.chat()))["type"] == "channel"
    private = await alpha.result("getChat", chat_id=alpha.chat(PRIVATE))
    assert private["type"] == "private"
    assert "first_name" in private


@pytest.mark.parametrize(
    ("form", "method", "field", "key", "type_"),
    [
        (Format.JPEG, "sendPhoto", "photo", "photo", "AgAC"),
        (Format.MP4, "sendVideo", "video", "video", "BAAC"),
        (Format.MP4_SILENT, "sendVideo", "video", "animation", "CgAC"),
        (Format.MP3, "sendAudio", "audio", "audio", "CQAC"),
        (Format.PDF, "sendDocument", "document", "document", "BQAC"),
        (Format.PDF, "sendVideo", "video", "document", "BQAC"),
        (Format.GIF, "sendAnimation", "animation", "animation", "CgAC"),
        (Format.MP4_SILENT, "sendAnimation", "animation", "animation", "CgAC"),
        (Format.MP4, "sendAnimation", "animation", "video", "BAAC"),
        (Format.GIF, "sendDocument", "document", "animation", "CgAC"),
        (Format.OGG, "sendVoice", "voice", "voice", "AwAC"),
        (Format.MP3, "sendVoice", "voice", "voice", "AwAC"),
        (Format.OGG, "sendAudio", "audio", "voice", "AwAC"),
        (Format.MP4_SQUARE, "sendVideoNote", "video_note", "video_note", "DQAC"),
        (Format.MP4, "sendVideoNote", "video_note", "video", "BAAC"),
        (Format.WEBP, "sendSticker", "sticker", "sticker", "CAAC"),
        (Format.TGS, "sendSticker", "sticker", "sticker", "CAAC"),
        (Format.PNG, "sendSticker", "sticker", "document", "BQAC"),
    ],
)
async def test_a_file_becomes_a_file_id_of_its_real_kind(
    alpha: Client, form: Format, method: str, field: str, key: str, type_: str
) -> None:
    """The first four characters of a real file_id tell the kind; sizes and times are there."""
    data = make(form, 150_000, 1)
    message = await alpha.result(method, chat_id=alpha.chat(), **{field: data})
    media = message[key][-1] if key == "photo" else message[key]
    assert media["file_id"].startswith(type_)
    assert message["sender_chat"]["id"] == alpha.chat()
    if key == "photo":
        assert [(one["width"], one["height"]) for one in message[key]] == [(90, 68), (320, 240)]
    else:
        assert media["file_size"] == 150_000
    if key == "animation":
        assert message["document"]["file_id"] == media["file_id"]
    fitting = field if key == field else "document"
    again = await alpha.result(
        f"send{fitting.replace('_', '')}",
        chat_id=alpha.chat(PRIVATE),
        **{fitting: media["file_id"]},
    )
    resent = again[key][-1] if key == "photo" else again[key]
    assert resent["file_id"] != media["file_id"], "a file_id tells its origin"
    assert resent["file_unique_id"] == media["file_unique_id"]
    assert again["from"]["is_bot"] is True


async def test_attach_and_part_name_both_work(alpha: Client) -> None:
    """Two of the four ways to name a file; a part without a file name is a text."""
    data = make(Format.JPEG, 30_000, 2)
    await alpha.result("sendPhoto", chat_id=alpha.chat(), photo="attach://x", x=data)
    await alpha.result("sendPhoto", chat_id=alpha.chat(), photo=data)
    status, text = await alpha.refusal("sendPhoto", chat_id=alpha.chat(), x=data)
    assert (status, text) == (400, "Bad Request: there is no photo in the request")


async def test_a_file_id_is_its_bots_alone(alpha: Client, beta: Client) -> None:
    """Another bot's, an unknown one, no id at all, and the wrong class: each in its words."""
    message = await alpha.result(
        "sendPhoto", chat_id=alpha.chat(), photo=make(Format.JPEG, 9000, 3)
    )
    file_id = message["photo"][-1]["file_id"]
    for client, method, value, words in (
        (beta, "sendPhoto", file_id, "wrong file identifier/HTTP URL specified"),
        (alpha, "sendPhoto", file_id[:-6] + "AAAAAA", "wrong file identifier/HTTP URL specified"),
        (alpha, "sendPhoto", "hello", "wrong remote file identifier specified"),
        (alpha, "sendDocument", file_id, "can't use file of type Photo as Document"),
        (alpha, "sendPhoto", "http://127.0.0.1:1/a.jpg", "failed to get HTTP URL content"),
    ):
        field = method.removeprefix("send").lower()
        status, text = await client.refusal(method, chat_id=client.chat(), **{field: value})
        assert status == 400
        assert words in text


async def test_errors_have_the_words_of_the_real_server(alpha: Client) -> None:
    """Bad token, chat, file: the texts that clients match on."""
    photo = make(Format.JPEG, 9000, 4)
    cases: list[tuple[str, dict[str, Any], int, str]] = [
        ("getMe", {"token": "12345:wrong"}, 401, "Unauthorized"),
        ("getMe", {"token": "0123:x"}, 401, "Unauthorized: invalid token specified"),
        ("getMe", {"token": "abc:x"}, 421, "Misdirected Request: unallowed token specified"),
        ("sendFlowers", {"chat_id": 1}, 404, "Not Found: method not found"),
        ("sendPhoto", {"photo": photo}, 400, "Bad Request: chat_id is empty"),
        ("sendPhoto", {"chat_id": 4711, "photo": photo}, 400, "Bad Request: chat not found"),
        ("sendMessage", {"chat_id": alpha.chat(), "text": " "}, 400,
         "Bad Request: message text is empty"),
        ("sendPhoto", {"chat_id": alpha.chat(), "photo": b""}, 400,
         "Bad Request: file must be non-empty"),
        ("sendPhoto", {"chat_id": alpha.chat(), "photo": b"no image"}, 400,
         "Bad Request: IMAGE_PROCESS_FAILED"),
        ("sendPhoto", {"chat_id": alpha.chat(), "photo": make(Format.PNG, 9000, 5)}, 400, NAMES),
        ("sendPhoto", {"chat_id": alpha.chat(), "photo": make(Format.JPEG, 10_485_761, 5)}, 400,
         TOO_BIG),
        ("sendPhoto", {"chat_id": alpha.chat(), "photo": photo, "caption": "x" * 1025}, 400,
         "Bad Request: message caption is too long"),
    ]  # fmt: skip
    for method, fields, status, text in cases:
        assert await alpha.refusal(method, **fields) == (status, text)
    message = await alpha.result("sendMessage", chat_id=alpha.chat(), text="hello")
    assert message["text"] == "hello"


async def test_413_is_answered_before_the_body_and_is_seen(alpha: Client) -> None:
    """By the declared length; the client reads the answer although it is still sending."""
    too_large = bytes(TOO_LARGE + (1 << 20))
    status, _ = await alpha.refusal("sendVideo", chat_id=alpha.chat(), video=too_large)
    assert status == 413
    assert await alpha.server.control("GET", "deliveries") == []


async def test_json_and_urlencoded_bodies_work(alpha: Client) -> None:
    """Clients differ; a number in JSON is as good as a text."""
    url = f"{alpha.server.base}/bot{alpha.bot.token}/sendMessage"
    for body in ({"json": {"chat_id": alpha.chat(), "text": "a"}},
                 {"data": {"chat_id": alpha.chat(), "text": "a"}}):  # fmt: skip
        async with aiohttp.request("POST", url, **body) as answer:  # type: ignore[arg-type]  # json= or data=
            assert (await answer.json())["ok"] is True
    async with aiohttp.request("GET", f"{url}?chat_id={alpha.chat()}&text=b") as answer:
        assert (await answer.json())["result"]["text"] == "b"


@pytest.mark.parametrize(
    "rubbish",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET\r\n\r\n",
        b"POST /bot1:x/sendPhoto HTTP/1.1\r\nContent-Length: x\r\n\r\n",
    ],
)
async def test_what_is_no_http_is_400_and_a_closed_connection(
    bot_api: BotApi, rubbish: bytes
) -> None:
    """The server lives on."""

    def talk() -> bytes:
        with socket.create_connection(("127.0.0.1", bot_api.port), 5) as connection:
            connection.sendall(rubbish)
            return connection.recv(4096)

    assert b" 400 " in await asyncio.to_thread(talk)
    assert await bot_api.control("GET", "requests") == {}


async def test_scripted_faults_count_down(alpha: Client) -> None:
    """A 429 with both hints, a proxy's page, and then it works; a bad rule is refused."""
    photo = make(Format.JPEG, 9000, 6)
    rules = [
        {"status": 429, "description": "Too Many Requests: retry after 7",
         "parameters": {"retry_after": 7}},
        {"status": 502, "raw": "<html>bad gateway</html>"},
    ]  # fmt: skip
    await alpha.server.control("POST", "faults", rules)
    url = f"{alpha.server.base}/bot{alpha.bot.token}/sendMessage"
    form = {"chat_id": alpha.chat(), "text": "x"}
    async with aiohttp.request("POST", url, data=form) as answer:
        assert (answer.status, answer.headers["Retry-After"]) == (429, "7")
        assert (await answer.json())["parameters"] == {"retry_after": 7}
    async with aiohttp.request("POST", url, data=form) as answer:
        assert (answer.status, await answer.text()) == (502, "<html>bad gateway</html>")
    await alpha.result("sendPhoto", chat_id=alpha.chat(), photo=photo)
    with pytest.raises(ValueError, match="unexpected keyword"):
        await alpha.server.control("POST", "faults", [{"colour": "red"}])


async def test_delivered_but_not_answered(alpha: Client) -> None:
    """The oracle sees the message although its sender cannot know."""
    await alpha.server.control("POST", "faults", [{"method": "sendPhoto", "cut": "answer"}])
    with pytest.raises(aiohttp.ClientError):
        await alpha.ask("sendPhoto", chat_id=alpha.chat(), photo=make(Format.JPEG, 9000, 7))
    [delivery] = await alpha.server.control("GET", "deliveries")
    assert (delivery["kind"], delivery["by_file_id"]) == ("photo", False)


def test_ids_decode_to_what_they_are_made_of() -> None:
    """Undo the run lengths: type and flag, data centre, and the message that the id comes from."""
    origin = ids.Origin(-1001, 77, 1_700_000_000)
    text = ids.file_id("video", 42, 123456789, origin)
    raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))[:-2]
    whole, position = bytearray(), 0
    while position < len(raw):
        if raw[position] == 0:
            whole += bytes(raw[position + 1])
            position += 2
        else:
            whole.append(raw[position])
            position += 1
    assert int.from_bytes(whole[:4], "little") == 4 | 1 << 25
    assert int.from_bytes(whole[4:8], "little") == 2
    assert whole[8] == 29, "the file reference of a channel"
    assert int.from_bytes(whole[10:14], "big") == 1001
    assert int.from_bytes(whole[14:18], "big") == 77
    assert ids.is_well_formed(text)
