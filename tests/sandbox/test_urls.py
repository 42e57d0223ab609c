"""Media that the Bot API server fetches itself, from a site of the test's own."""

import asyncio
import hashlib
from collections import Counter
from collections.abc import AsyncIterator

import aiohttp
import orjson
import pytest
from aiohttp import web

from prewarmd.sandbox.daemon import until
from prewarmd.sandbox.media import Format, make
from tests.sandbox.asking import Client

JPEG, MP4, GIF = "image/jpeg", "video/mp4", "image/gif"
NO_CONTENT = "Bad Request: failed to get HTTP URL content"
WRONG_TYPE = "Bad Request: wrong type of the web page content"
WRONG_URL = "Bad Request: wrong HTTP URL specified"
WRONG_FILE = "Bad Request: wrong file identifier/HTTP URL specified"

PHOTO_MAX, ANY_MAX = 5 << 20, 20 << 20
FITTING = (
    ("photo", Format.JPEG, JPEG, "photo"),
    ("photo", Format.WEBP, "image/webp; q=1", "photo"),
    ("video", Format.MP4, MP4, "video"),
    ("document", Format.PDF, "application/pdf", "document"),
    ("document", Format.GIF, GIF, "animation"),
    ("audio", Format.MP3, "audio/mpeg", "audio"),
    ("animation", Format.GIF, GIF, "animation"),
    ("voice", Format.OGG, "audio/ogg", "voice"),
    ("sticker", Format.WEBP, "image/webp", "sticker"),
)
"""Asked kind, what stands there, its content type, and the kind it becomes."""
UNFIT = (
    ("photo", Format.JPEG, 9_000, JPEG, 404, NO_CONTENT),
    ("photo", None, 0, JPEG, 200, NO_CONTENT),
    ("photo", Format.JPEG, PHOTO_MAX + 1, JPEG, 200, NO_CONTENT),
    ("video", Format.MP4, ANY_MAX + 1, MP4, 200, NO_CONTENT),
    ("photo", Format.JPEG, 9_000, "text/html", 200, WRONG_TYPE),
    ("photo", Format.JPEG, 9_000, "application/octet-stream", 200, WRONG_TYPE),
    ("photo", None, 6, JPEG, 200, WRONG_TYPE),
    ("video", Format.JPEG, 9_000, JPEG, 200, WRONG_TYPE),
    ("audio", Format.MP4, 20_000, MP4, 200, WRONG_TYPE),
    ("voice", Format.MP3, 9_000, "audio/mpeg", 200, WRONG_TYPE),
    ("sticker", Format.TGS, 9_000, "application/x-tgsticker", 200, WRONG_TYPE),
    ("document", None, 5, "text/plain", 200, WRONG_FILE),
    ("document", Format.JPEG, 9_000, JPEG, 200, WRONG_FILE),
    ("document", None, 6, "text/html; charset=utf-8", 200, WRONG_TYPE),
)
"""Asked kind, what and how much of it stands there, content type, status, and the refusal."""


class Site:
    """Serves what it is given, and counts how often it is asked."""

    def __init__(self) -> None:
        self.gets: Counter[str] = Counter()
        self.held = asyncio.Event()
        """Nothing is answered before it is set."""
        self.held.set()
        self.base = ""
        self._pages: dict[str, tuple[int, str, bytes]] = {}

    def put(self, path: str, data: bytes, content_type: str, status: int = 200) -> str:
        """The URL under which it can be had."""
        self._pages[path] = status, content_type, data
        return f"{self.base}/{path}"

    async def get(self, request: web.Request) -> web.Response:
        """One answer."""
        path = request.path.removeprefix("/")
        self.gets[path] += 1
        await self.held.wait()
        status, content_type, data = self._pages[path]
        return web.Response(status=status, body=data, headers={"Content-Type": content_type})


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    """An empty one."""
    site, application = Site(), web.Application()
    application.router.add_get("/{path:.*}", site.get)
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        listening = web.TCPSite(runner, "127.0.0.1", 0)
        await listening.start()
        assert listening.name.startswith("http://127.0.0.1:")
        site.base = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield site
    finally:
        await runner.cleanup()


async def test_a_url_is_as_good_as_an_upload(alpha: Client, site: Site) -> None:
    """Fetched, counted by content, downloadable, and its file_id works and is known."""
    name = f"{alpha.bot.slug}_sandbox_bot"
    for number, (kind, form, content_type, key) in enumerate(FITTING):
        size_bytes = PHOTO_MAX if form is Format.JPEG else 30_000
        data = make(form, size_bytes, number)
        # Without an extension: what it is, its type tells.
        url = site.put(f"pictures/one-{number}", data, content_type)
        message = await alpha.result(f"send{kind}", chat_id=alpha.chat(), **{kind: url})
        media = message[key][-1] if key == "photo" else message[key]
        delivery = (await alpha.server.control("GET", "deliveries"))[-1]
        sha256 = hashlib.sha256(data).hexdigest()
        assert (delivery["sha256"], delivery["size_bytes"]) == (sha256, size_bytes)
        assert (delivery["kind"], delivery["by_file_id"]) == (key, False)
        assert delivery["file_name"].startswith(f"one-{number}.")
        assert await alpha.server.control("POST", "known", [[name, media["file_id"]]]) == [sha256]
        if form is not Format.JPEG:  # so large a one is not kept
            found = await alpha.result("getFile", file_id=media["file_id"])
            where = f"{alpha.server.base}/file/bot{alpha.bot.token}/{found['file_path']}"
            async with aiohttp.request("GET", where) as answer:
                assert await answer.read() == data
        again = "document" if key != kind else kind
        await alpha.result(f"send{again}", chat_id=alpha.chat(), **{again: media["file_id"]})
    assert set(site.gets.values()) == {1}


async def test_what_does_not_fit_is_refused(alpha: Client, site: Site) -> None:
    """A client that falls back to an upload knows by these words that it must."""
    for number, (kind, form, size_bytes, content_type, status, words) in enumerate(UNFIT):
        data = make(form, size_bytes, 2) if form else b"<html>"[:size_bytes]
        url = site.put(f"{number}.bin", data, content_type, status)
        refused = await alpha.refusal(f"send{kind}", chat_id=alpha.chat(), **{kind: url})
        assert refused == (400, words), (number, kind, content_type)
    assert await alpha.server.control("GET", "deliveries") == []


async def test_what_is_not_even_fetched(alpha: Client, site: Site) -> None:
    """Kinds that cannot be sent by URL, and what is no URL of the web."""
    film = site.put("round.mp4", make(Format.MP4_SQUARE, 20_000, 3), MP4)
    cases = [
        ("sendVideoNote", "video_note", film, WRONG_FILE),
        ("sendPhoto", "photo", "ipfs://a.b/c.jpg", WRONG_URL),
        ("sendPhoto", "photo", "file:///etc/hosts.jpg", WRONG_URL),
        ("sendPhoto", "photo", "http:///a.jpg", WRONG_URL),
        ("sendPhoto", "photo", "http://127.0.0.1:port/a.jpg", WRONG_URL),
        ("sendPhoto", "photo", "127.0.0.1:1/a.jpg", NO_CONTENT),
        ("sendPhoto", "photo", "http://127.0.0.1:1/a.jpg", NO_CONTENT),
    ]
    for method, field, value, words in cases:
        refused = await alpha.refusal(method, chat_id=alpha.chat(), **{field: value})
        assert refused == (400, words), value
    assert site.gets == {}


async def test_telegram_remembers_what_it_found(alpha: Client, beta: Client, site: Site) -> None:
    """The failure of a URL as well as its content; another query is another URL."""
    url = site.put("a.jpg", b"", "text/html", 503)
    for client in (alpha, beta, alpha):
        refused = await client.refusal("sendPhoto", chat_id=client.chat(), photo=url)
        assert refused == (400, NO_CONTENT)
        site.put("a.jpg", make(Format.JPEG, 9_000, 4), JPEG)
    assert site.gets == {"a.jpg": 1}
    first = await alpha.result("sendPhoto", chat_id=alpha.chat(), photo=f"{url}?0")
    site.put("a.jpg", make(Format.JPEG, 9_000, 5), JPEG)
    second = await beta.result("sendPhoto", chat_id=beta.chat(), photo=f"{url}?0")
    unique = [one["photo"][-1]["file_unique_id"] for one in (first, second)]
    assert unique[0] == unique[1]
    assert site.gets == {"a.jpg": 2}


async def test_a_large_voice_message_comes_as_a_file(alpha: Client, site: Site) -> None:
    """Whoever expects `voice` in the answer would lose the file_id."""
    url = site.put("long.ogg", make(Format.OGG, (1 << 20) + 1, 6), "audio/ogg")
    message = await alpha.result("sendVoice", chat_id=alpha.chat(), voice=url)
    assert "voice" not in message
    assert message["document"]["file_size"] == (1 << 20) + 1


async def test_albums_and_edits_take_urls(alpha: Client, site: Site) -> None:
    """Wherever a file may stand a URL may; one that fails fails the whole album."""
    first = site.put("1.jpg", make(Format.JPEG, 9_000, 7), JPEG)
    film = site.put("2.mp4", make(Format.MP4, 20_000, 7), MP4)
    gone = site.put("3.jpg", b"", JPEG, 404)

    def media(*urls: str) -> str:
        kinds = [("video" if url == film else "photo", url) for url in urls]
        return orjson.dumps([{"type": kind, "media": url} for kind, url in kinds]).decode()

    sent = await alpha.result("sendMediaGroup", chat_id=alpha.chat(), media=media(first, film))
    assert ["photo" in one for one in sent] == [True, False]
    status, words = await alpha.refusal(
        "sendMediaGroup", chat_id=alpha.chat(), media=media(first, gone)
    )
    assert (status, words) == (400, NO_CONTENT)
    assert len(await alpha.server.control("GET", "deliveries")) == 2
    [edit] = orjson.loads(media(film))
    edited = await alpha.result(
        "editMessageMedia",
        chat_id=alpha.chat(), message_id=sent[0]["message_id"], media=orjson.dumps(edit).decode(),
    )  # fmt: skip
    assert edited["video"]["file_size"] == 20_000
    assert site.gets == {"1.jpg": 1, "2.mp4": 1, "3.jpg": 1}
    asked = await alpha.server.control("GET", "requests")
    assert asked == {"sendmediagroup": 2, "editmessagemedia": 1}


async def test_nobody_else_waits_for_a_slow_site(alpha: Client, beta: Client, site: Site) -> None:
    """And whoever names the same URL meanwhile waits for the same GET."""
    url = site.put("slow.jpg", make(Format.JPEG, 9_000, 8), JPEG)
    site.held.clear()
    waiting = [
        asyncio.ensure_future(client.result("sendPhoto", chat_id=client.chat(), photo=url))
        for client in (alpha, beta)
    ]

    async def is_asked() -> bool:
        return bool(site.gets)

    await until(is_asked)
    await alpha.result("sendMessage", chat_id=alpha.chat(), text="meanwhile")
    assert not any(one.done() for one in waiting)
    site.held.set()
    await asyncio.gather(*waiting)
    assert site.gets == {"slow.jpg": 1}
