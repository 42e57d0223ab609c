"""Deleting a bot's old warm-up messages: page by page from the daemon, batch by batch at Telegram.

The daemon is told what is gone after each batch, so whatever ends this in the middle, a second run
goes on: what was deleted and not told is unknown to Telegram then, which deleteMessages passes over
without a word. What cannot be deleted stays remembered.

Costs: a request for each 100 messages of a chat, and one for each message of a batch that Telegram
refuses as a whole, for only so can it be told which.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any
from urllib.parse import quote

from prewarmd.cli.client import Client
from prewarmd.errors import ExitCode, PrewarmdError
from prewarmd.supervisor.clock import iso
from prewarmd.worker.answers import Refused
from prewarmd.worker.telegram import Telegram

PAGE_MAX = 1000
DELETE_MAX = 100
"""Of messages in one deleteMessages (its documentation)."""
DELETABLE_S = 48 * 3600.0
"""A bot may delete what is younger: so the documentation of deleteMessage, and TDLib, which refuses
older ones in every chat (`can_delete_channel_message` for channels)."""
EVERY_S = 1.0
"""Between two requests: the bot has uploads to send, too."""
PATIENCE_S = 60.0
"""So long one request may be put off by pauses that Telegram asks for, or by its troubles."""
OF_THE_CHAT = ("ChatNotFound", "ChatRefused", "ChatMigrated")
"""What holds for each message of a chat; a chat's ids do not move with it (telegram.md 5)."""
OF_THE_SERVER = ("TelegramUnreachable", "TelegramError", "NoAnswer")
"""What may be over soon."""
AT_ONCE_THE_END = ("Unauthorized", "BadAnswer")
ALREADY_GONE = "message to delete not found"

Message = dict[str, Any]


class _StopError(Exception):
    """Telegram will not have it now."""


@dataclass(slots=True)
class Stock:
    """What there is to delete."""

    found: int = 0
    chats: dict[int, int] = field(default_factory=dict)
    """Chat -> messages."""
    old: int = 0
    """Of them, older than Telegram lets a bot delete."""

    @property
    def least_s(self) -> float:
        """How long it takes when Telegram refuses what it says it does."""
        batches = sum(-(-number // DELETE_MAX) for number in self.chats.values())
        return EVERY_S * (batches + self.old)


@dataclass(slots=True)
class Outcome:
    """How far it came."""

    deleted: int = 0
    refused: dict[str, list[Message]] = field(default_factory=dict)
    """Telegram's reason -> the messages that it does not delete."""
    stopped: str = ""
    """Why it went no further."""
    exit_code: ExitCode = ExitCode.OK

    @property
    def kept(self) -> int:
        """How many cannot be deleted."""
        return sum(map(len, self.refused.values()))

    def stop(self, why: str, exit_code: ExitCode = ExitCode.NOT_READY) -> None:
        """It ends here."""
        self.stopped, self.exit_code = why, exit_code

    def refuse(self, reason: str, messages: Sequence[Message]) -> None:
        """These stay."""
        self.refused.setdefault(reason, []).extend(messages)
        self.exit_code = ExitCode.NOT_READY


def pages(client: Client, bot: str, before_unix: float) -> Iterator[list[Message]]:
    """A bot's messages of media that were ready before then, in pages."""
    cursor: str | None = None
    while True:
        answer = client.ask(
            "GET", _path(bot), before=f"{before_unix:.3f}", cursor=cursor, limit=PAGE_MAX
        )
        yield answer["messages"]
        cursor = answer["next"]
        if cursor is None:
            return


def counted(
    client: Client, bot: str, before_unix: float, now_unix: float, tick: Callable[[int], None]
) -> Stock:
    """How many there are."""
    stock, deletable = Stock(), iso(now_unix - DELETABLE_S) or ""
    for page in pages(client, bot, before_unix):
        for message in page:
            chat = message["chat_id"]
            stock.chats[chat] = stock.chats.get(chat, 0) + 1
            stock.old += message["ready_at"] < deletable
        stock.found += len(page)
        tick(stock.found)
    return stock


class Pruning:
    """One run."""

    def __init__(
        self,
        client: Client,
        telegram: Telegram,
        bot: str,
        outcome: Outcome,
        *,
        tick: Callable[[int], None],
        say: Callable[[str], None],
    ) -> None:
        self.outcome = outcome
        self._client = client
        self._telegram = telegram
        self._bot = bot
        self._tick = tick
        self._say = say
        self._next_at = 0.0
        self._closed: dict[int, str] = {}
        """Chat -> why none of its messages can be deleted."""

    async def run(self, before_unix: float) -> None:
        """Delete what can be; `outcome` tells how far it came, however this ends."""
        try:
            for page in pages(self._client, self._bot, before_unix):
                for chat_id, batch in _batches(page):
                    await self._batch(chat_id, batch)
                    self._tick(self.outcome.deleted + self.outcome.kept)
        except _StopError as reason:
            self.outcome.stop(str(reason))
        except PrewarmdError as error:  # the daemon went away
            self.outcome.stop(error.message, error.exit_code)

    async def _batch(self, chat_id: int, batch: list[Message]) -> None:
        if chat_id in self._closed:
            self.outcome.refuse(self._closed[chat_id], batch)
            return
        ids = sorted({message["message_id"] for message in batch})
        refused = await self._order("deleteMessages", chat_id=chat_id, message_ids=ids)
        if refused is None:
            self._gone(batch)
        elif refused.code in OF_THE_CHAT:
            self._closed[chat_id] = refused.detail
            self.outcome.refuse(refused.detail, batch)
        elif len(batch) == 1:
            self.outcome.refuse(refused.detail, batch)
        else:
            for message in batch:
                await self._one(chat_id, message)
                self._tick(self.outcome.deleted + self.outcome.kept)

    async def _one(self, chat_id: int, message: Message) -> None:
        refused = await self._order(
            "deleteMessage", chat_id=chat_id, message_id=message["message_id"]
        )
        if refused is None or ALREADY_GONE in refused.detail.lower():
            self._gone([message])
        else:
            self.outcome.refuse(refused.detail, [message])

    def _gone(self, messages: list[Message]) -> None:
        named = [{name: one[name] for name in ("media", "message_id")} for one in messages]
        self.outcome.deleted += len(messages)
        self._client.ask("POST", f"{_path(self._bot)}/forget", {"messages": named})

    async def _order(self, method: str, **what: Any) -> Refused | None:
        """None when it is done, or why it never will be."""
        waited_s, pause_s = 0.0, EVERY_S
        while True:
            await self._pace()
            refused = await self._telegram.order(self._bot, method, **what)
            if refused is None:
                return None
            reason = f"{refused.code}: {refused.detail}"
            if refused.code == "TooManyRequests":
                wait_s = refused.retry_after_s
            elif refused.code in OF_THE_SERVER:
                wait_s = pause_s = 2 * pause_s
            elif refused.code in AT_ONCE_THE_END:
                raise _StopError(reason)
            else:
                return refused
            waited_s += wait_s
            if waited_s > PATIENCE_S:
                raise _StopError(reason)
            self._say(f"waiting for {wait_s:g} s, because of {reason}")
            await asyncio.sleep(wait_s)

    async def _pace(self) -> None:
        now = asyncio.get_running_loop().time
        await asyncio.sleep(max(0.0, self._next_at - now()))
        self._next_at = now() + EVERY_S


def _batches(page: list[Message]) -> Iterator[tuple[int, list[Message]]]:
    """The messages of a page by chat, so many at a time as one request may name."""
    by_chat: dict[int, list[Message]] = {}
    for message in page:
        by_chat.setdefault(message["chat_id"], []).append(message)
    for chat_id, messages in by_chat.items():
        left = iter(messages)
        while batch := list(islice(left, DELETE_MAX)):
            yield chat_id, batch


def _path(bot: str) -> str:
    return f"/v1/bots/{quote(bot, safe='')}/messages"
