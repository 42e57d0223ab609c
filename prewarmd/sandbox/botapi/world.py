"""What the Bot API server knows: bots, chats, messages, files. Pure: `now_s` is passed in.

The rules are those of the design paper telegram.md: how a file parameter is resolved (1), what may
stand in an album (2), what a file_id may be used for (3), which words an error has (5), what is
asked of a file (11).
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from prewarmd.sandbox.botapi import ids, shapes
from prewarmd.sandbox.botapi.album import album, edited
from prewarmd.sandbox.botapi.errors import ApiError, bad_request
from prewarmd.sandbox.botapi.files import Files, Medium
from prewarmd.sandbox.botapi.parameters import Parameters
from prewarmd.sandbox.botapi.shapes import BotAccount, Chat

CAPTION_MAX = 1024
TEXT_MAX = 4096
NUMBERS_MAX = 100
"""Of messages that one request names."""
DELETABLE_S = 48 * 3600
"""So long a bot may delete what it sent (documentation of deleteMessage)."""

FIELD_OF = {
    "sendphoto": "photo",
    "sendvideo": "video",
    "senddocument": "document",
    "sendaudio": "audio",
    "sendanimation": "animation",
    "sendvoice": "voice",
    "sendvideonote": "video_note",
    "sendsticker": "sticker",
    "sendlivephoto": "live_photo",
}
"""Method, in lower case -> the name of its file parameter."""


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
class Message:
    """One that was sent."""

    bot: BotAccount
    sent_s: int
    medium: Medium | None = None
    text: str = ""
    """Or its caption."""


Answer = Callable[[BotAccount, Parameters, int], Any]


class World:
    """All there is; answers one request at a time."""

    def __init__(self, bots: list[BotAccount], chats: list[Chat], server: str = "hosted") -> None:
        self.bots = {bot.token: bot for bot in bots}
        self.chats = {chat.id: chat for chat in chats}
        self.files = Files(server)
        self.deliveries: list[Delivery] = []
        self.requests: Counter[str] = Counter()
        self._numbers: Counter[int] = Counter()
        """Chat -> its last message's id."""
        self._messages: dict[tuple[int, int], Message] = {}
        self._albums = 0
        self._logged_out: set[str] = set()
        self._answers: dict[str, Answer] = {
            "getme": lambda bot, _, __: shapes.me(bot),
            "getchat": lambda _, given, __: shapes.full_chat(self._chat(given)),
            "getchatmember": self._member,
            "getupdates": lambda *_: [],
            "deletewebhook": lambda *_: True,
            "sendchataction": lambda _, given, __: bool(self._chat(given)),
            "logout": self._log_out,
            "close": lambda *_: True,
            "getfile": lambda bot, given, _: self.files.described(bot.id, given.text("file_id")),
            "sendmessage": self._send_message,
            "sendmediagroup": self._send_album,
            "forwardmessage": self._forward,
            "copymessage": self._copy,
            "copymessages": self._copy_several,
            "editmessagemedia": self._edit,
            "deletemessage": self._delete,
            "deletemessages": self._delete_several,
        }

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
        if token in self._logged_out:
            raise bad_request("Logged out")
        return bot

    def answer(self, bot: BotAccount, method: str, given: Parameters, now_s: int) -> Any:
        """The `result` of a request. PageMissingError: ask again with that page in `given`."""
        if not given.pages:  # else it is asked again, and counted already
            self.requests[method] += 1
        if method in FIELD_OF:
            return self._send_media(bot, method, given, now_s)
        if method in self._answers:
            return self._answers[method](bot, given, now_s)
        raise ApiError(404, "Not Found: method not found")

    @property
    def methods(self) -> list[str]:
        """All there are, in lower case."""
        return sorted({*FIELD_OF, *self._answers})

    # -- what a test asks and orders ---------------------------------------------------------------

    def content(self, username: str, file_id: str) -> str | None:
        """The SHA-256 behind a file_id, if that bot may use it."""
        return self.files.content_of(self._named(username).id, file_id)

    def spoil(self, bot: str, file_id: str = "", sha256: str = "") -> int:
        """Refuse a file_id of a bot, or all it has of a content; how many were good until now."""
        good = [
            one
            for one in self.files.issued(self._named(bot).id, file_id, sha256)
            if not one.is_stale
        ]
        for one in good:
            one.is_stale = True
        return len(good)

    def forget(self, bot: str, file_id: str = "", sha256: str = "") -> int:
        """Drop the messages that such file_ids came from; how many were there until now."""
        places = self._places(bot, file_id, sha256)
        return sum(self._messages.pop(place, None) is not None for place in places)

    def age(self, bot: str, file_id: str = "", sha256: str = "") -> int:
        """Make the messages that such file_ids came from too old to be deleted; how many."""
        found = [self._messages.get(place) for place in self._places(bot, file_id, sha256)]
        aged = [message for message in found if message is not None]
        for message in aged:
            message.sent_s -= DELETABLE_S + 1
        return len(aged)

    def _places(self, bot: str, file_id: str, sha256: str) -> set[tuple[int, int]]:
        issued = self.files.issued(self._named(bot).id, file_id, sha256)
        return {(one.origin.chat_id, one.origin.message_id) for one in issued}

    def _named(self, username: str) -> BotAccount:
        for bot in self.bots.values():
            if bot.username == username:
                return bot
        raise ValueError(f"there is no bot {username}")

    # -- asking ------------------------------------------------------------------------------------

    def _log_out(self, bot: BotAccount, given: Parameters, now_s: int) -> bool:
        self._logged_out.add(bot.token)
        return True

    def _chat(self, given: Parameters, name: str = "chat_id") -> Chat:
        if not given.text(name):
            raise bad_request(f"{name} is empty")
        number = given.number(name)
        chat = self.chats.get(number) if number is not None else None
        if chat is None:
            raise bad_request("chat not found")
        return chat

    def _member(self, bot: BotAccount, given: Parameters, now_s: int) -> dict[str, Any]:
        chat, number = self._chat(given), given.number("user_id")
        for one in self.bots.values():
            if one.id == number:
                return shapes.member(one, chat)
        raise bad_request("user not found")

    # -- messages ----------------------------------------------------------------------------------

    def _post(
        self, bot: BotAccount, chat: Chat, now_s: int, medium: Medium | None, text: str
    ) -> tuple[int, dict[str, Any]]:
        """A new message: its number, and as its sender sees it."""
        if len(text) > (TEXT_MAX if medium is None else CAPTION_MAX):
            what = "message" if medium is None else "message caption"
            raise bad_request(f"{what} is too long")
        self._numbers[chat.id] += 1
        number = self._numbers[chat.id]
        self._messages[chat.id, number] = Message(bot, now_s, medium, text)
        return number, self._seen(bot, chat, number)

    def _seen(self, bot: BotAccount, chat: Chat, number: int) -> dict[str, Any]:
        """A message as a bot sees it, with file_ids of its own."""
        message = self._messages[chat.id, number]
        seen = shapes.message(message.bot, chat, number, message.sent_s)
        if message.medium is None:
            return seen | {"text": message.text}
        if message.text:
            seen["caption"] = message.text
        origin = ids.Origin(chat.id, number, message.sent_s)
        return seen | self.files.shown(bot.id, message.medium, origin)

    def _deliver(
        self, bot: BotAccount, chat: Chat, method: str, medium: Medium, text: str, now_s: int,
        *, uploaded: bool,
    ) -> tuple[int, dict[str, Any]]:  # fmt: skip
        number, seen = self._post(bot, chat, now_s, medium, text)
        shown = seen[medium.kind]
        largest = shown[-1] if isinstance(shown, list) else shown
        self.deliveries.append(
            Delivery(
                bot.username, chat.id, number, method, medium.kind, medium.sha256,
                medium.size_bytes, medium.file_name, not uploaded, largest["file_unique_id"],
            )
        )  # fmt: skip
        return number, seen

    def _send_message(self, bot: BotAccount, given: Parameters, now_s: int) -> dict[str, Any]:
        chat, text = self._chat(given), given.text("text").strip()
        if not text:
            raise bad_request("message text is empty")
        return self._post(bot, chat, now_s, None, text)[1]

    def _send_media(
        self, bot: BotAccount, method: str, given: Parameters, now_s: int
    ) -> dict[str, Any]:
        chat, asked, caption = self._chat(given), FIELD_OF[method], given.text("caption")
        if len(caption) > CAPTION_MAX:
            raise bad_request("message caption is too long")
        text = given.text(asked)
        if asked == "live_photo":
            medium, uploaded = self.files.live_photo(bot.id, text, given.text("photo"), given)
        else:
            medium, uploaded = self.files.resolve(bot.id, asked, text, given)
        return self._deliver(bot, chat, method, medium, caption, now_s, uploaded=uploaded)[1]

    def _send_album(self, bot: BotAccount, given: Parameters, now_s: int) -> list[dict[str, Any]]:
        chat, items = self._chat(given), album(bot.id, given, self.files)
        if any(len(caption) > CAPTION_MAX for _, caption, _ in items):
            raise bad_request("message caption is too long")  # before one of them is there
        self._albums += 1
        group = {"media_group_id": str(self._albums)}
        sent = [
            self._deliver(bot, chat, "sendmediagroup", medium, caption, now_s, uploaded=uploaded)
            for medium, caption, uploaded in items
        ]
        return [seen | group for _, seen in sent]

    def _found(self, bot: BotAccount, chat: Chat, number: int) -> Message | None:
        """A message as far as a bot can know of it: private chats are with each bot alone."""
        found = self._messages.get((chat.id, number))
        if found is not None and chat.type == "private" and found.bot != bot:
            return None
        return found

    def _told(
        self, bot: BotAccount, given: Parameters, chat: Chat, what: str
    ) -> tuple[int, Message]:
        """The message that a request names."""
        number = given.number("message_id") or 0
        found = self._found(bot, chat, number)
        if found is None:
            raise bad_request(f"message to {what} not found")
        return number, found

    def _several(
        self, bot: BotAccount, given: Parameters, chat: Chat
    ) -> list[tuple[int, Message]]:  # fmt: skip
        """The messages that a request names, without those that are not there."""
        numbers = given.numbers("message_ids")
        if not numbers:
            raise bad_request("message identifiers are not specified")
        if len(numbers) > NUMBERS_MAX:
            raise bad_request("too many message identifiers specified")
        found = ((number, self._found(bot, chat, number)) for number in numbers)
        return [(number, one) for number, one in found if one is not None]

    def _again(
        self, bot: BotAccount, chat: Chat, old: Message, method: str, now_s: int
    ) -> tuple[int, dict[str, Any]]:
        if old.medium is None:
            return self._post(bot, chat, now_s, None, old.text)
        return self._deliver(bot, chat, method, old.medium, old.text, now_s, uploaded=False)

    def _forward(self, bot: BotAccount, given: Parameters, now_s: int) -> dict[str, Any]:
        chat, source = self._chat(given), self._chat(given, "from_chat_id")
        number, old = self._told(bot, given, source, "forward")
        _, seen = self._again(bot, chat, old, "forwardmessage", now_s)
        return seen | {"forward_origin": shapes.origin(old.bot, source, number, old.sent_s)}

    def _copy(self, bot: BotAccount, given: Parameters, now_s: int) -> dict[str, Any]:
        chat, source = self._chat(given), self._chat(given, "from_chat_id")
        _, old = self._told(bot, given, source, "copy")
        return {"message_id": self._again(bot, chat, old, "copymessage", now_s)[0]}

    def _copy_several(
        self, bot: BotAccount, given: Parameters, now_s: int
    ) -> list[dict[str, Any]]:  # fmt: skip
        chat, source = self._chat(given), self._chat(given, "from_chat_id")
        found = self._several(bot, given, source)
        numbers = given.numbers("message_ids")
        if any(one >= other for one, other in pairwise(numbers)):
            raise bad_request("message identifiers must be in a strictly increasing order")
        if not found:
            raise bad_request("there are no messages to forward")  # TDLib copies by forwarding
        copied = [self._again(bot, chat, old, "copymessages", now_s)[0] for _, old in found]
        return [{"message_id": number} for number in copied]

    def _edit(self, bot: BotAccount, given: Parameters, now_s: int) -> dict[str, Any]:
        chat = self._chat(given)
        number, old = self._told(bot, given, chat, "edit")
        if old.bot != bot or old.medium is None:
            raise bad_request("message can't be edited")
        old.medium, old.text, _ = edited(bot.id, given, self.files)
        return self._seen(bot, chat, number) | {"edit_date": now_s}

    def _delete(self, bot: BotAccount, given: Parameters, now_s: int) -> bool:
        chat = self._chat(given)
        if not given.text("message_id"):
            raise bad_request("message identifier is not specified")
        return self._drop(bot, chat, [self._told(bot, given, chat, "delete")], now_s)

    def _delete_several(self, bot: BotAccount, given: Parameters, now_s: int) -> bool:
        chat = self._chat(given)
        return self._drop(bot, chat, self._several(bot, given, chat), now_s)

    def _drop(
        self, bot: BotAccount, chat: Chat, named: list[tuple[int, Message]], now_s: int
    ) -> bool:
        """All of them, or none when one cannot be: a bot here may delete what it sent itself."""
        for _, message in named:
            if message.bot != bot:
                raise bad_request("message can't be deleted")
            if now_s - message.sent_s > DELETABLE_S:
                raise bad_request("message can't be deleted for everyone")
        for number, _ in named:
            self._messages.pop((chat.id, number), None)  # one may be named twice
        return True
