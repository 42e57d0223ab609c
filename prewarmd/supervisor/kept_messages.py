"""The messages that bear a bot's media: `prewarmd bots prune` asks for them, and tells which of
them it deleted.

A kept message is what a file_id that went stale is renewed from without the object's bytes, so the
daemon deletes none by itself.
"""

from typing import Any

from aiohttp import web

from prewarmd.store.base import JobStore, Message
from prewarmd.supervisor.clock import iso
from prewarmd.supervisor.forms import Judge, ProblemError, moment, page_limit
from prewarmd.supervisor.problems import answer

CURSOR_DIGITS_MAX = 18


def message_json(message: Message) -> dict[str, Any]:
    """A message as clients see it."""
    return {
        "media": message.media,
        "sha256": message.sha256,
        "kind": message.kind,
        "chat_id": message.chat_id,
        "message_id": message.message_id,
        "ready_at": iso(message.ready_unix),
    }


class KeptMessages:
    """Their two routes."""

    def __init__(self, store: JobStore, judge: Judge) -> None:
        self._store = store
        self._judge = judge

    @property
    def routes(self) -> list[web.RouteDef]:
        """For the application."""
        return [
            web.get("/v1/bots/{bot}/messages", self._page),
            web.post("/v1/bots/{bot}/messages/forget", self._forget),
        ]

    async def _page(self, request: web.Request) -> web.Response:
        bot = self._bot(request)
        before_unix = moment(request.query, "before")
        limit = page_limit(request.query)
        cursor = request.query.get("cursor") or "0"
        if len(cursor) > CURSOR_DIGITS_MAX or not (cursor.isascii() and cursor.isdecimal()):
            rule = "cursor: is none that was given out"
            raise ProblemError(422, "Invalid", rule, field="cursor")
        found = await self._store.messages(bot, before_unix, int(cursor), limit)
        more = str(found[-1].media) if len(found) == limit else None
        return answer({"messages": [message_json(one) for one in found], "next": more})

    async def _forget(self, request: web.Request) -> web.Response:
        bot = self._bot(request)
        gone = self._judge.read_gone(await request.read())
        return answer({"known": await self._store.forget_messages(bot, gone)})

    def _bot(self, request: web.Request) -> str:
        bot = request.match_info["bot"]
        self._judge.check_bot(bot)
        return bot
