"""Telegram as a child sees it: send an extent, ask for a chat, and name what went wrong.

A bot's token is part of every URL, so this module alone makes URLs, and no foreign exception leaves
it: aiohttp's texts hold the URL. What comes out is an `Accepted` or a `Refused`.

Whether an upload may have arrived is decided by one fact: was the closing boundary handed to the
socket. It is marked on the job board *before* that happens.
"""

import asyncio
import secrets
import ssl
from collections.abc import Callable
from typing import Any

import aiohttp
import orjson
from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import Payload

from prewarmd.core.jobs import Kind
from prewarmd.worker.answers import Accepted, Refused, classify
from prewarmd.worker.multipart import Envelope, envelope
from prewarmd.worker.spec import TelegramSpec

SLICE_BYTES = 128 << 10
ANSWER_BYTES_MAX = 1 << 20

METHODS: dict[Kind, tuple[str, str, dict[str, str]]] = {
    Kind.PHOTO: ("sendPhoto", "photo", {}),
    Kind.VIDEO: ("sendVideo", "video", {"supports_streaming": "true"}),
    Kind.DOCUMENT: ("sendDocument", "document", {"disable_content_type_detection": "true"}),
    Kind.AUDIO: ("sendAudio", "audio", {}),
}
"""Kind -> method, file field, options (telegram.md 1)."""


class _Body(Payload):
    """Head, extent, tail, written in slices with back-pressure."""

    def __init__(
        self,
        around: Envelope,
        extent: memoryview,
        progress: Callable[[int], None],
        sent: Callable[[], None],
    ) -> None:
        super().__init__(extent, content_type=around.content_type)
        self._around = around
        self._extent = extent
        self._progress = progress
        self._sent = sent
        self._size = around.size_bytes(len(extent))
        self.begun = False
        self.done = 0
        self.complete = False

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Media is no text."""
        raise TypeError("media is no text")

    async def write(self, writer: AbstractStreamWriter) -> None:
        """See Payload."""
        self.begun = True
        await writer.write(self._around.head)
        size_bytes = len(self._extent)
        for start in range(0, size_bytes, SLICE_BYTES):
            end = min(start + SLICE_BYTES, size_bytes)
            # bytes(): the transport may keep what it cannot send at once, and the extent may be
            # given to another object before that leaves. The lean connection will not copy.
            await writer.write(bytes(self._extent[start:end]))
            self.done = end
            self._progress(end)
        self._sent()
        self.complete = True
        await writer.write(self._around.tail)


class Telegram:
    """One session with its own pool, for all bots."""

    def __init__(self, spec: TelegramSpec, tokens: dict[str, str]) -> None:
        self._spec = spec
        self._tokens = tokens
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> "Telegram":
        spec = self._spec
        context = ssl.create_default_context(cafile=spec.ca_file) if spec.ca_file else True
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=spec.connections, keepalive_timeout=60, ttl_dns_cache=300, ssl=context
            ),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=spec.connect_timeout_s),
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    def _url(self, bot: str, method: str) -> str:
        return f"{self._spec.api_base.rstrip('/')}/bot{self._tokens[bot]}/{method}"

    async def send(
        self,
        bot: str,
        chat_id: int,
        kind: Kind,
        extent: memoryview,
        file_name: str,
        progress: Callable[[int], None],
        sent: Callable[[], None],
    ) -> Accepted | Refused:
        """Upload an extent; `sent` is called before the last bytes are handed to the socket."""
        method, field, options = METHODS[kind]
        fields = {"chat_id": str(chat_id), "disable_notification": "true", **options}
        around = envelope(fields, field, file_name, f"prewarmd{secrets.token_hex(12)}")
        body = _Body(around, extent, progress, sent)
        try:
            async with asyncio.timeout(None) as deadline:
                return await self._post(self._url(bot, method), body, deadline)
        except TimeoutError:
            return self._broken(body, "no answer" if body.complete else "the upload stalled")
        except (aiohttp.ClientError, OSError) as error:
            return self._broken(body, type(error).__name__)

    async def _post(self, url: str, body: _Body, deadline: asyncio.Timeout) -> Accepted | Refused:
        assert self._session is not None
        watched = asyncio.ensure_future(self._watch(body, deadline))
        try:
            async with self._session.post(url, data=body, allow_redirects=False) as answer:
                text = await answer.content.read(ANSWER_BYTES_MAX)
                while not answer.content.at_eof() and len(text) < ANSWER_BYTES_MAX:
                    text += await answer.content.read(ANSWER_BYTES_MAX - len(text))
                return classify(answer.status, text, answer.headers.get("Retry-After"))
        finally:
            watched.cancel()

    async def _watch(self, body: _Body, deadline: asyncio.Timeout) -> None:
        """Move the deadline: while bytes flow it is a stall, after the last one the answer's."""
        loop = asyncio.get_running_loop()
        patience_s = self._spec.stall_timeout_s + self._spec.connect_timeout_s
        last = -1
        while not body.complete:
            if body.done != last:
                last = body.done
                deadline.reschedule(loop.time() + patience_s)
            await asyncio.sleep(1.0)
        deadline.reschedule(loop.time() + self._spec.answer_timeout_s)

    @staticmethod
    def _broken(body: _Body, what: str) -> Refused:
        """The connection broke; what may have arrived depends on the last byte alone."""
        if body.complete:
            return Refused("NoAnswer", f"{what}, after the last byte")
        if body.begun:
            return Refused("UploadCut", f"{what}, before the last byte")
        return Refused("TelegramUnreachable", what)

    async def ask(self, bot: str, method: str, **parameters: Any) -> dict[str, Any] | Refused:
        """A small request without a file; `result`, or why not."""
        assert self._session is not None
        url = self._url(bot, method)
        try:
            async with asyncio.timeout(self._spec.connect_timeout_s + self._spec.stall_timeout_s):
                async with self._session.post(url, json=parameters, allow_redirects=False) as got:
                    status = got.status
                    text = await got.content.read(ANSWER_BYTES_MAX)
        except TimeoutError:
            return Refused("TelegramUnreachable", "no answer")
        except (aiohttp.ClientError, OSError) as error:
            return Refused("TelegramUnreachable", type(error).__name__)
        try:
            answer = orjson.loads(text)
        except orjson.JSONDecodeError:
            answer = {}
        if status == 200 and isinstance(answer, dict) and isinstance(answer.get("result"), dict):
            result: dict[str, Any] = answer["result"]
            return result
        verdict = classify(status, text)
        return verdict if isinstance(verdict, Refused) else Refused("BadAnswer", "unreadable")

    async def chat_kind(self, bot: str, chat_id: int) -> str | Refused:
        """private, group, supergroup or channel."""
        result = await self.ask(bot, "getChat", chat_id=chat_id)
        return result if isinstance(result, Refused) else str(result.get("type", ""))
