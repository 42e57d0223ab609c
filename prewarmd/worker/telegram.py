"""Telegram as a child sees it: send a media, ask for a chat, and name what went wrong.

A bot's token is part of every request, so this module alone makes requests, and no text of an
error holds one. What comes out is an `Accepted` or a `Refused`.

Whether an upload may have arrived is decided by one fact: was the closing boundary handed to the
socket. It is marked on the job board *before* that happens.
"""

import secrets
import ssl
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import orjson

from prewarmd.core.about import About
from prewarmd.core.faults import FAULTS, Remedy
from prewarmd.core.jobs import Kind
from prewarmd.worker.answers import Accepted, Refused, classify
from prewarmd.worker.attributes import attributes
from prewarmd.worker.http.answer import Answer, Small
from prewarmd.worker.http.connection import Body, Connection
from prewarmd.worker.http.dialer import Dialer, Origin, Proxy
from prewarmd.worker.http.errors import HttpError, TimedOutError, UnreachableError
from prewarmd.worker.http.patience import Patience
from prewarmd.worker.http.pool import Pool
from prewarmd.worker.media import Media
from prewarmd.worker.multipart import envelope
from prewarmd.worker.sense import sendable
from prewarmd.worker.spec import TelegramSpec

KEEPALIVE_S = 60.0
"""The Bot API server closes what was idle for 500 s (telegram.md 11), proxies much earlier."""
PASSED_ON_BYTES_PER_S = 1e6
"""As slowly as a Bot API server may upload to Telegram what it has."""
_SMALL = Small()
MASK = "***"
"""In the place of a token."""

METHODS: dict[Kind, tuple[str, str, dict[str, str]]] = {
    Kind.PHOTO: ("sendPhoto", "photo", {}),
    Kind.VIDEO: ("sendVideo", "video", {"supports_streaming": "true"}),
    Kind.DOCUMENT: ("sendDocument", "document", {"disable_content_type_detection": "true"}),
    Kind.AUDIO: ("sendAudio", "audio", {}),
    Kind.ANIMATION: ("sendAnimation", "animation", {}),
    Kind.VOICE: ("sendVoice", "voice", {}),
    Kind.VIDEO_NOTE: ("sendVideoNote", "video_note", {}),
    Kind.STICKER: ("sendSticker", "sticker", {}),
}
"""Kind -> method, file field, options (telegram.md 1)."""


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
            trust="telegram.ca_file",
        )
        self._pool = Pool(dialer, limit=spec.connections, keepalive_s=KEEPALIVE_S)
        self._little = Patience(head_s=spec.stall_timeout_s, idle_s=spec.stall_timeout_s)

    def _patience(self, size_bytes: int) -> Patience:
        """With a request of that size. A Bot API server has all of it before it uploads it to
        Telegram, and answers after that: an answer that comes late still tells the file_id, where
        to ask again would send the media twice."""
        spec = self._spec
        return Patience(
            head_s=spec.answer_timeout_s + size_bytes / PASSED_ON_BYTES_PER_S,
            idle_s=spec.stall_timeout_s,
            slow_s=spec.slow_timeout_s,
        )

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
        media: Media,
        file_name: str,
        about: About | None = None,
        thumbnail: bytes = b"",
    ) -> Accepted | Refused:
        """Upload a media, with what its job says `about` it, and a `thumbnail` in JPEG. When this
        returns, raises or is cancelled, nothing refers to its memory. What cannot be a photo goes
        as a document, or not at all (`TelegramSpec.photo_fallback`). Raises ObjectError when it
        cannot be had to its end."""
        fall_back, size_bytes = self._spec.photo_fallback == "document", media.size_bytes
        sensed = sendable(media.first, size_bytes, kind, file_name, fall_back=fall_back)
        if isinstance(sensed, Refused):
            return sensed
        method, field, options = METHODS[sensed.kind]
        fields = {"chat_id": str(chat_id), "disable_notification": "true", **options}
        fields |= attributes(sensed, about, media)
        boundary = f"prewarmd{secrets.token_hex(12)}"
        around = envelope(fields, field, sensed.file_name, boundary, sensed.content_type, thumbnail)
        body_bytes = around.size_bytes(size_bytes)
        head = self._head(bot, method, around.content_type, body_bytes).encode() + around.head
        try:
            patience = self._patience(body_bytes)
            answer = await self._exchange(head, patience, partial(media.body, around.tail))
        except HttpError as error:
            return self._broken(error, media)
        retry_after = answer.head.get(b"retry-after") or None
        verdict = classify(answer.head.status, answer.body, retry_after)
        if isinstance(verdict, Refused):
            return self._refused(bot, verdict, media)
        if not media.complete:
            return Refused("BadAnswer", "accepted before its last byte was sent")
        if verdict.size_bytes not in (None, size_bytes):
            what = f"{size_bytes} bytes were sent, Telegram has {verdict.size_bytes}"
            return Refused("BadAnswer", what)
        if sensed.refusal is not None:
            return replace(verdict, detail=sensed.refusal.detail)
        return verdict

    async def forward(
        self, bot: str, chat_id: int, from_chat_id: int, message_id: int, sent: Callable[[], None]
    ) -> Accepted | Refused:
        """Forward a message that bears a media; the copy's file_id."""
        parameters = {"from_chat_id": from_chat_id, "message_id": message_id}
        return await self._send_light(bot, chat_id, "forwardMessage", parameters, sent)

    async def resend(
        self, bot: str, chat_id: int, kind: Kind, what: str, sent: Callable[[], None]
    ) -> Accepted | Refused:
        """Send a file_id, or a URL for Telegram to fetch."""
        method, field, options = METHODS[kind]
        verdict = await self._send_light(bot, chat_id, method, {field: what, **options}, sent)
        if isinstance(verdict, Refused):  # a URL is repeated by nobody: it may bear a signature
            return replace(verdict, detail=verdict.detail.replace(what, MASK))
        return verdict

    async def _send_light(
        self,
        bot: str,
        chat_id: int,
        method: str,
        parameters: dict[str, Any],
        sent: Callable[[], None],
    ) -> Accepted | Refused:
        """A message without bytes of ours; `sent` is told before its request may arrive."""
        common = {"chat_id": chat_id, "disable_notification": True}
        body = orjson.dumps(common | parameters)
        head = self._head(bot, method, "application/json", len(body)).encode()
        sent()
        try:
            answer = await self._exchange(head + body, self._patience(len(body)))
        except UnreachableError as error:
            return Refused("TelegramUnreachable", str(error))
        except HttpError as error:
            return Refused("NoAnswer", f"{error}, after the last byte")
        retry_after = answer.head.get(b"retry-after") or None
        verdict = classify(answer.head.status, answer.body, retry_after)
        return self._starred(bot, verdict) if isinstance(verdict, Refused) else verdict

    def _refused(self, bot: str, refused: Refused, media: Media) -> Refused:
        """What a server says of a request may repeat it, the token in its path included; and an
        error before the last byte leaves no doubt about what arrived."""
        refused = self._starred(bot, refused)
        if not media.complete and FAULTS[refused.code].remedy is Remedy.RETRY_LATE:
            return Refused("UploadCut", f"{refused.detail}, before the last byte")
        return refused

    def _starred(self, bot: str, refused: Refused) -> Refused:
        token = self._tokens[bot]
        _, _, secret = token.rpartition(":")
        return replace(refused, detail=refused.detail.replace(token, MASK).replace(secret, MASK))

    async def _exchange(
        self,
        head: bytes,
        patience: Patience,
        body: Callable[[Connection], Body] | None = None,
    ) -> Answer:
        connection = await self._pool.take()
        try:
            return await connection.exchange(
                head, _SMALL, patience, body(connection) if body else ()
            )
        finally:
            self._pool.give(connection)

    @staticmethod
    def _broken(error: HttpError, media: Media) -> Refused:
        """The connection broke; what may have arrived depends on the last byte alone."""
        if isinstance(error, UnreachableError) or not media.begun:
            return Refused("TelegramUnreachable", str(error))
        if media.complete:
            what = "no answer" if isinstance(error, TimedOutError) else str(error)
            return Refused("NoAnswer", f"{what}, after the last byte")
        return Refused("UploadCut", f"{error}, before the last byte")

    async def ask(self, bot: str, method: str, **parameters: Any) -> dict[str, Any] | Refused:
        """A small request without a file, which changes nothing; `result`, or why not."""
        result = await self._result(bot, method, parameters)
        if isinstance(result, Refused) and result.code == "NoAnswer":
            return Refused("TelegramUnreachable", result.detail)
        return result if isinstance(result, dict | Refused) else Refused("BadAnswer", "unreadable")

    async def order(self, bot: str, method: str, **parameters: Any) -> Refused | None:
        """A small request whose result is True: None when it is done, or why not. After `NoAnswer`
        it may be done all the same."""
        result = await self._result(bot, method, parameters)
        if result is True:
            return None
        return result if isinstance(result, Refused) else Refused("BadAnswer", "unreadable")

    async def _result(self, bot: str, method: str, parameters: dict[str, Any]) -> Any:
        body = orjson.dumps(parameters)
        head = self._head(bot, method, "application/json", len(body)).encode()
        try:
            got = await self._exchange(head + body, self._little)
        except UnreachableError as error:
            return Refused("TelegramUnreachable", str(error))
        except HttpError as error:
            return Refused("NoAnswer", str(error))
        try:
            answer = orjson.loads(got.body)
        except orjson.JSONDecodeError:
            answer = {}
        status = got.head.status
        if status == 200 and isinstance(answer, dict) and answer.get("result") is not None:
            return answer["result"]
        verdict = classify(status, got.body, got.head.get(b"retry-after") or None)
        if isinstance(verdict, Refused):
            return self._starred(bot, verdict)
        return Refused("BadAnswer", "unreadable")

    async def chat_kind(self, bot: str, chat_id: int) -> str | Refused:
        """private, group, supergroup or channel."""
        result = await self.ask(bot, "getChat", chat_id=chat_id)
        return result if isinstance(result, Refused) else str(result.get("type", ""))
