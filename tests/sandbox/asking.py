"""A client of the sandbox's Bot API server that knows nothing of it."""

import io
from typing import Any

import aiohttp

from prewarmd.sandbox.town import BotApi, Resident

CHANNEL, PRIVATE = 0, 1


class Client:
    """Asks as one bot; a file is given as bytes."""

    def __init__(self, server: BotApi, bot: Resident) -> None:
        self.server = server
        self.bot = bot

    async def ask(self, method: str, *, token: str = "", **fields: Any) -> tuple[int, Any]:
        """Status and decoded answer of a multipart request."""
        form = aiohttp.FormData(quote_fields=False)
        for name, value in fields.items():
            if isinstance(value, bytes):
                form.add_field(name, io.BytesIO(value), filename=f"file.{_extension(value)}")
            else:
                form.add_field(name, str(value))
        url = f"{self.server.base}/bot{token or self.bot.token}/{method}"
        async with aiohttp.request("POST", url, data=form if fields else None) as answer:
            return answer.status, await answer.json(content_type=None)

    async def result(self, method: str, **fields: Any) -> Any:
        """The result of a request that must succeed."""
        status, answer = await self.ask(method, **fields)
        assert (status, answer["ok"]) == (200, True), answer
        return answer["result"]

    async def refusal(self, method: str, **fields: Any) -> tuple[int, str]:
        """Code and description of a request that must fail."""
        status, answer = await self.ask(method, **fields)
        assert answer["ok"] is False
        assert answer["error_code"] == status
        return status, answer["description"]

    def chat(self, which: int = CHANNEL) -> int:
        """One of the bot's chats."""
        return self.bot.chats[which][0]


def _extension(data: bytes) -> str:
    for start, extension in ((b"\xff\xd8", "jpg"), (b"%PDF", "pdf"), (b"ID3", "mp3")):
        if data.startswith(start):
            return extension
    return "mp4" if data[4:8] == b"ftyp" else "bin"
