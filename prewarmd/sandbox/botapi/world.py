"""What the Bot API server knows: bots, chats, messages, files. Pure: `now_s` is passed in.

The rules are those of the design paper telegram.md: how a file parameter is resolved (1), what a
file_id may be used for (3), which words an error has (5), what is asked of a file (11).
"""

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from prewarmd.sandbox.botapi import ids
from prewarmd.sandbox.botapi.conversion import (
    PHOTO_SIDES,
    Upload,
    judge,
    kind_of,
    photo_sizes,
    shown_as,
)
from prewarmd.sandbox.botapi.errors import ApiError, bad_request
from prewarmd.sandbox.botapi.sniff import Sniffed

FILE_BYTES_MAX = {"hosted": 50_000_000, "local": 2_000_000_000}
CAPTION_MAX = 1024

FIELD_OF = {
    "sendphoto": "photo",
    "sendvideo": "video",
    "senddocument": "document",
    "sendaudio": "audio",
    "sendanimation": "animation",
    "sendvoice": "voice",
    "sendvideonote": "video_note",
    "sendsticker": "sticker",
}
"""Method, in lower case -> the name of its file parameter."""


@dataclass(frozen=True, slots=True)
class BotAccount:
    """A bot that exists."""

    token: str
    username: str

    @property
    def id(self) -> int:
        """The number before the colon."""
        return int(self.token.partition(":")[0])


@dataclass(frozen=True, slots=True)
class Chat:
    """A chat that every bot of the sandbox may write to."""

    id: int
    type: str
    title: str


@dataclass(slots=True)
class Medium:
    """A file Telegram has."""

    id: int
    kind: str
    file_name: str
    size_bytes: int
    sha256: str
    sniffed: Sniffed


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message with media that exists, whether its sender got the answer or not."""

    bot: str
    chat_id: int
    message_id: int
    method: str
    kind: str
    sha256: str
    size_bytes: int
    file_name: str
    by_file_id: bool
    file_unique_id: str


@dataclass(slots=True)
class Parameters:
    """A request's parameters: texts, and file parts by their names."""

    texts: dict[str, str] = field(default_factory=dict)
    files: dict[str, Upload] = field(default_factory=dict)


class World:
    """All there is; answers one request at a time."""

    def __init__(self, bots: list[BotAccount], chats: list[Chat], server: str = "hosted") -> None:
        self.bots = {bot.token: bot for bot in bots}
        self.chats = {chat.id: chat for chat in chats}
        self.file_bytes_max = FILE_BYTES_MAX[server]
        self.deliveries: list[Delivery] = []
        self.requests: Counter[str] = Counter()
        self._messages: Counter[int] = Counter()
        self._media: dict[int, Medium] = {}
        self._ids: dict[tuple[int, str], int] = {}
        """(bot, file_id) -> medium."""
        self._by_content: dict[tuple[str, str], int] = {}

    # -- who asks ----------------------------------------------------------------------------------

    def bot_of(self, token: str) -> BotAccount:
        """The bot that a token belongs to; ApiError as the server words it."""
        if token.startswith("0") or len(token) > 80 or ":" not in token:
            raise ApiError(401, "Unauthorized: invalid token specified")
        if not token.partition(":")[0].isdecimal():
            raise ApiError(421, "Misdirected Request: unallowed token specified")
        bot = self.bots.get(token)
        if bot is None:
            raise ApiError(401, "Unauthorized")
        return bot

    def answer(self, bot: BotAccount, method: str, given: Parameters, now_s: int) -> Any:
        """The `result` of a request."""
        self.requests[method] += 1
        if method == "getme":
            return self._me(bot)
        if method == "getchat":
            return self._full_chat(self._chat(given))
        if method == "sendmessage":
            return self._send_message(bot, given, now_s)
        if method in FIELD_OF:
            return self._send_media(bot, method, given, now_s)
        raise ApiError(404, "Not Found: method not found")

    @staticmethod
    def _me(bot: BotAccount) -> dict[str, Any]:
        return {
            **_user(bot),
            "can_join_groups": True,
            "can_read_all_group_messages": False,
            "supports_inline_queries": False,
            "can_connect_to_business": False,
            "has_main_web_app": False,
        }

    def _chat(self, given: Parameters) -> Chat:
        text = given.texts.get("chat_id", "")
        if not text:
            raise bad_request("chat_id is empty")
        try:
            chat = self.chats.get(int(text))
        except ValueError:
            chat = None
        if chat is None:
            raise bad_request("chat not found")
        return chat

    @staticmethod
    def _full_chat(chat: Chat) -> dict[str, Any]:
        return {
            **_chat(chat),
            "accent_color_id": 0,
            "max_reaction_count": 11,
            "accepted_gift_types": {
                "unlimited_gifts": False,
                "limited_gifts": False,
                "unique_gifts": False,
                "premium_subscription": False,
                "gifts_from_channels": False,
            },
        }

    # -- messages ----------------------------------------------------------------------------------

    def _message(self, bot: BotAccount, chat: Chat, now_s: int) -> dict[str, Any]:
        self._messages[chat.id] += 1
        message: dict[str, Any] = {"message_id": self._messages[chat.id]}
        if chat.type == "channel":
            message["sender_chat"] = _chat(chat)
        else:
            message["from"] = _user(bot)
        return {**message, "chat": _chat(chat), "date": now_s}

    def _send_message(self, bot: BotAccount, given: Parameters, now_s: int) -> dict[str, Any]:
        chat = self._chat(given)
        text = given.texts.get("text", "").strip()
        if not text:
            raise bad_request("message text is empty")
        if len(text) > 4096:
            raise bad_request("message is too long")
        return {**self._message(bot, chat, now_s), "text": text}

    def _send_media(
        self, bot: BotAccount, method: str, given: Parameters, now_s: int
    ) -> dict[str, Any]:
        chat = self._chat(given)
        asked = FIELD_OF[method]
        if len(given.texts.get("caption", "")) > CAPTION_MAX:
            raise bad_request("message caption is too long")
        found = self._resolve(bot, asked, given)
        uploaded = isinstance(found, Upload)
        medium = self._take_in(found, asked, given) if isinstance(found, Upload) else found
        message = self._message(bot, chat, now_s)
        origin = ids.Origin(chat.id, message["message_id"], now_s)
        shown = self._shown(bot, medium, origin)
        unique = ids.file_unique_id(medium.kind, medium.id, _letter(shown))
        self.deliveries.append(
            Delivery(
                bot.username, chat.id, message["message_id"], method, medium.kind, medium.sha256,
                medium.size_bytes, medium.file_name, not uploaded, unique,
            )
        )  # fmt: skip
        if caption := given.texts.get("caption"):
            message["caption"] = caption
        return {**message, **shown}

    def _resolve(self, bot: BotAccount, asked: str, given: Parameters) -> Upload | Medium:
        """A file parameter, by the four rules of Client::get_input_file."""
        text = given.texts.get(asked, "")
        name = asked
        if text.startswith("attach://"):
            name = text.removeprefix("attach://")
        elif text.startswith("file:/") or "." in text:
            raise bad_request("failed to get HTTP URL content")
        elif text:
            return self._by_file_id(bot, asked, text)
        upload = given.files.get(name)
        if upload is None:
            raise bad_request(f"there is no {asked} in the request")
        return upload

    def _by_file_id(self, bot: BotAccount, asked: str, text: str) -> Medium:
        number = self._ids.get((bot.id, text))
        if number is None:
            if not ids.is_well_formed(text):
                raise bad_request(
                    "wrong remote file identifier specified: Wrong string length"
                    if len(text) < 20
                    else "wrong remote file identifier specified: can't unserialize it"
                )
            raise bad_request("wrong file identifier/HTTP URL specified")
        medium = self._media[number]
        if (medium.kind == "photo") is not (asked == "photo"):
            raise bad_request(f"can't use file of type {_type(medium.kind)} as {_type(asked)}")
        return medium

    # -- files -------------------------------------------------------------------------------------

    def _take_in(self, upload: Upload, asked: str, given: Parameters) -> Medium:
        size_bytes = upload.size_bytes
        judge(upload, asked)
        if size_bytes > self.file_bytes_max:
            raise ApiError(413, "Request Entity Too Large")
        detect = given.texts.get("disable_content_type_detection", "").lower() != "true"
        kind = kind_of(asked, upload.sniffed, detect=detect)
        # Telegram looks documents and animations up by their content; other kinds are always new.
        known = self._by_content.get((kind, upload.sha256))
        if known is not None and kind in ("document", "animation", "photo"):
            return self._media[known]
        number = self._new_id(kind, upload.sha256)
        medium = Medium(number, kind, upload.file_name, size_bytes, upload.sha256, upload.sniffed)
        self._media[number] = medium
        self._by_content[kind, upload.sha256] = number
        return medium

    def _new_id(self, kind: str, sha256: str) -> int:
        seed = f"{kind}/{sha256}/{len(self._media)}".encode()
        return int.from_bytes(hashlib.sha256(seed).digest()[:8], "little", signed=True)

    def _shown(self, bot: BotAccount, medium: Medium, origin: ids.Origin) -> dict[str, Any]:
        """The media part of a message, and the ids in it registered for this bot."""
        kind, sniffed = medium.kind, medium.sniffed
        if kind == "photo":
            sizes = [
                {
                    **self._ids_of(bot, medium, origin, letter),
                    "file_size": max(1, medium.size_bytes * width // max(1, sniffed.width)),
                    "width": width,
                    "height": height,
                }
                for letter, width, height in photo_sizes(sniffed)
            ]
            return {"photo": sizes}
        shown = self._ids_of(bot, medium, origin) | shown_as(kind, medium.file_name, sniffed)
        shown["file_size"] = medium.size_bytes
        # Animations are answered twice, for clients older than them.
        return {kind: shown, "document": shown} if kind == "animation" else {kind: shown}

    def _ids_of(
        self, bot: BotAccount, medium: Medium, origin: ids.Origin, letter: str = ""
    ) -> dict[str, Any]:
        file_id = ids.file_id(medium.kind, bot.id, medium.id, origin, letter)
        self._ids[bot.id, file_id] = medium.id
        return {
            "file_id": file_id,
            "file_unique_id": ids.file_unique_id(medium.kind, medium.id, letter),
        }


def _letter(shown: dict[str, Any]) -> str:
    return PHOTO_SIDES[len(shown["photo"]) - 1][0] if "photo" in shown else ""


def _type(kind: str) -> str:
    return kind.replace("_", " ").title().replace(" ", "")


def _user(bot: BotAccount) -> dict[str, Any]:
    return {"id": bot.id, "is_bot": True, "first_name": bot.username, "username": bot.username}


def _chat(chat: Chat) -> dict[str, Any]:
    name = "first_name" if chat.type == "private" else "title"
    return {"id": chat.id, name: chat.title, "type": chat.type}
