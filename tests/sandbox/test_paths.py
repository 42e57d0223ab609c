"""Media that a local Bot API server reads from its own disk."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from prewarmd.sandbox.media import Format, make
from prewarmd.sandbox.town import BotApi, Resident
from tests.sandbox.asking import Client


@pytest.fixture
async def local(bot_api: BotApi) -> AsyncIterator[Client]:
    """A bot of a local server."""
    residents: list[Resident] = bot_api.bots
    server = BotApi(residents, server="local")
    await server.start()
    try:
        yield Client(server, residents[0])
    finally:
        await asyncio.to_thread(server.stop)


async def test_a_path_is_read_by_a_local_server(local: Client, tmp_path: Path) -> None:
    """Who hands over paths instead of bytes cannot try that here."""
    path = tmp_path / "film.mp4"
    for seed in (1, 2):  # it may change between two sends
        data = make(Format.MP4, 60_000, seed)
        path.write_bytes(data)
        sent = await local.result("sendVideo", chat_id=local.chat(), video=path.as_uri())
        assert (sent["video"]["file_size"], sent["video"]["file_name"]) == (len(data), "film.mp4")
        [content] = await local.server.control(
            "POST", "known", [[f"{local.bot.slug}_sandbox_bot", sent["video"]["file_id"]]]
        )
        assert content == hashlib.sha256(data).hexdigest()


async def test_a_path_that_is_not_there_is_refused(local: Client, tmp_path: Path) -> None:
    """And so is an empty file, and a folder."""
    (tmp_path / "empty.mp4").touch()
    for name in ("none.mp4", "empty.mp4", ""):
        uri = (tmp_path / name).as_uri()
        status, _ = await local.refusal("sendVideo", chat_id=local.chat(), video=uri)
        assert status == 400
