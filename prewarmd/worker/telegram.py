"""Telegram as a child sees it: send an extent, ask for a chat, and name what went wrong.

A bot's token is part of every request, so this module alone makes requests, and no text of an
error holds one. What comes out is an `Accepted` or a `Refused`.

Whether an upload may have arrived is decided by one fact: was the closing boundary handed to the
socket. It is marked on the job board *before* that happens.
"""

import secrets
import ssl
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import orjson

from prewarmd.core.jobs import Kind
from prewarmd.worker.answers import Accepted, Refused, classify
from prewarmd.worker.http.answer import Answer, Small
from prewarmd.worker.http.connection import Body, Connection
from prewarmd.worker.http.dialer import Dialer, Origin, Proxy
from prewarmd.worker.http.errors import HttpError, TimedOutError, UnreachableError
from prewarmd.worker.http.patience import Patience
from prewarmd.worker.http.pool import Pool
from prewarmd.worker.multipart import envelope
from prewarmd.worker.sense import sendable
from prewarmd.worker.spec import TelegramSpec

KEEPALIVE_S = 60.0
"""The Bot API server closes what was idle for 500 s (telegram.md 11), proxies much earlier."""
_SMALL = Small()

METHODS: dict[Kind, tuple[str, str, dict[str, str]]] = {
    Kind.PHOTO: ("sendPhoto", "photo", {}),
    Kind.VIDEO: ("sendVideo", "video", {"supports_streaming": "true"}),
    Kind.DOCUMENT: ("sendDocument", "document", {"disable_content_type_detection": "true"}),
    Kind.AUDIO: ("sendAudio", "audio", {}),
}
"""Kind -> method, file field, options (telegram.md 1)."""


class _Upload:
    """An extent on its way: what was written, and how far that is."""

    def __init__(
        self,
        extent: memoryview,
        tail: bytes,
        progress: Callable[[int], None],
        sent: Callable[[], None],
    ) -> None:
        self._extent = extent
        self._tail = tail
        self._progress = progress
        self._sent = sent
        self.begun = False
        self.complete = False

    def body(self, connection: Connection) -> Body:
        """What is short goes out together with the head of the request."""
        if len(self._extent) > connection.piece_bytes:
            return self.write
        self.begun = True
        self._progress(len(self._extent))
        self._sent()
        self.complete = True
        return self._extent, self._tail

    async def write(self, connection: Connection) -> None:
        """See Connection.exchange."""
        self.begun = True
        size_bytes, step = len(self._extent), connection.piece_bytes
        for start in range(0, size_bytes, step):
            end = min(start + step, size_bytes)
            if not await connection.write(self._extent[start:end]):
                return
            self._progress(end)
        self._sent()
        self.complete = True
        await connection.write(self._tail)


class Telegram:
    """One pool of connections, for all bots."""

    def __init__(self, spec: TelegramSpec, tokens: dict[str, str]) -> None:
        self._spec = spec
        self._tokens = tokens
        parts = urlsplit(spec.api_base)
        self._origin = Origin.of(spec.api_base)
        self._path = parts.path.rstrip("/")
        context = (
            ssl.create_default_context(cafile=spec.ca_file) if parts.scheme == "https" else None
        )
        dialer = Dialer(
            self._origin,
            context=context,
            proxy=Proxy.of(spec.proxy) if spec.proxy else None,
            connect_s=spec.connect_timeout_s,
        )
        self._pool = Pool(dialer, limit=spec.connections, keepalive_s=KEEPALIVE_S)
        self._patience = Patience(head_s=spec.answer_timeout_s, idle_s=spec.stall_timeout_s)
        self._little = Patience(head_s=spec.stall_timeout_s, idle_s=spec.stall_timeout_s)

    async def __aenter__(self) -> "Telegram":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._pool.close()

    def _head(self, bot: str, method: str, content_type: str, size_bytes: int) -> str:
        return (
            f"POST {self._path}/bot{self._tokens[bot]}/{method} HTTP/1.1\r\n"
            f"Host: {self._origin.authority}\r\nUser-Agent: prewarmd\r\nAccept: */*\r\n"
            f"Content-Type: {content_type}\r\nContent-Length: {size_bytes}\r\n\r\n"
        )

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
        """Upload an extent; `sent` is called before the last bytes are handed to the socket. When
        this returns, or is cancelled, nothing refers to the extent. What cannot be a photo goes as
        a document, or not at all (`TelegramSpec.photo_fallback`)."""
        size_bytes, fall_back = len(extent), self._spec.photo_fallback == "document"
        media = sendable(extent, size_bytes, kind, file_name, fall_back=fall_back)
        if isinstance(media, Refused):
            return media
        method, field, options = METHODS[media.kind]
        fields = {"chat_id": str(chat_id), "disable_notification": "true", **options}
        boundary = f"prewarmd{secrets.token_hex(12)}"
        around = envelope(fields, field, media.file_name, boundary, media.content_type)
        body_bytes = around.size_bytes(size_bytes)
        head = self._head(bot, method, around.content_type, body_bytes).encode() + around.head
        upload = _Upload(extent, around.tail, progress, sent)
        try:
            answer = await self._exchange(head, self._patience, upload)
        except HttpError as error:
            return self._broken(error, upload)
        retry_after = answer.head.get(b"retry-after") or None
        verdict = classify(answer.head.status, answer.body, retry_after)
        if isinstance(verdict, Accepted) and media.refusal is not None:
            return replace(verdict, detail=media.refusal.detail)
        return verdict

    async def _exchange(
        self, head: bytes, patience: Patience, upload: _Upload | None = None
    ) -> Answer:
        connection = await self._pool.take()
        try:
            body = upload.body(connection) if upload else ()
            return await connection.exchange(head, _SMALL, patience, body)
        finally:
            self._pool.give(connection)

    @staticmethod
    def _broken(error: HttpError, upload: _Upload) -> Refused:
        """The connection broke; what may have arrived depends on the last byte alone."""
        if isinstance(error, UnreachableError) or not upload.begun:
            return Refused("TelegramUnreachable", str(error))
        if upload.complete:
            what = "no answer" if isinstance(error, TimedOutError) else str(error)
            return Refused("NoAnswer", f"{what}, after the last byte")
        return Refused("UploadCut", f"{error}, before the last byte")

    async def ask(self, bot: str, method: str, **parameters: Any) -> dict[str, Any] | Refused:
        """A small request without a file; `result`, or why not."""
        body = orjson.dumps(parameters)
        head = self._head(bot, method, "application/json", len(body)).encode()
        try:
            got = await self._exchange(head + body, self._little)
        except HttpError as error:
            return Refused("TelegramUnreachable", str(error))
        try:
            answer = orjson.loads(got.body)
        except orjson.JSONDecodeError:
            answer = {}
        status = got.head.status
        if status == 200 and isinstance(answer, dict) and isinstance(answer.get("result"), dict):
            result: dict[str, Any] = answer["result"]
            return result
        verdict = classify(status, got.body)
        return verdict if isinstance(verdict, Refused) else Refused("BadAnswer", "unreadable")

    async def chat_kind(self, bot: str, chat_id: int) -> str | Refused:
        """private, group, supergroup or channel."""
        result = await self.ask(bot, "getChat", chat_id=chat_id)
        return result if isinstance(result, Refused) else str(result.get("type", ""))
