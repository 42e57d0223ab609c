"""Foreign clients against the sandbox, each in a throw-away environment of its own: they pin what
prewarmd needs newer.

The environments are made in a temporary folder with the ordinary package registries. A client gets
the server's address, its methods, tokens, chats and files; it sends every kind, a file_id, an
album, a forward, downloads a file, and decodes a 429, a 400, a migration and a 401. It prints one
JSON object of what it found, which is checked here against what the server has seen. aiogram calls
every method, and its models must have a field for each key of an answer.
"""

import argparse
import asyncio
import shutil
import subprocess
import sys
import tempfile
import venv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from prewarmd.sandbox.media import Format, make
from prewarmd.sandbox.town import BotApi, residents

HERE = Path(__file__).parent
SETUP_S, WAIT_S = 300, 60
MOVED_TO = -1_009_999_999_999
FILES = {
    "photo": Format.JPEG,
    "video": Format.MP4,
    "document": Format.PDF,
    "audio": Format.MP3,
    "animation": Format.GIF,
    "voice": Format.OGG,
    "video_note": Format.MP4_SQUARE,
    "sticker": Format.WEBP,
}
"""Kind -> what is sent as such, in this order."""


def environment(directory: Path, *requirements: str) -> Path:
    """A fresh environment with some packages; its Python."""
    venv.create(directory, with_pip=True)
    python = directory / "bin" / "python"
    pip = (str(python), "-m", "pip", "install", "-qq", "--disable-pip-version-check")
    _run(*pip, *requirements, cwd=directory)
    return python


def _run(*command: str, cwd: Path) -> None:
    subprocess.run(command, check=True, timeout=SETUP_S, cwd=cwd, stdin=subprocess.DEVNULL)


@dataclass(frozen=True, slots=True)
class Foreign:
    """A client, and where its language keeps packages."""

    script: str
    requirements: tuple[str, ...]

    @property
    def name(self) -> str:
        """As on the command line."""
        return self.script.partition("_")[0]

    @property
    def is_python(self) -> bool:
        """Else it is Node's."""
        return self.script.endswith(".py")

    def environment(self, directory: Path) -> list[str]:
        """A fresh one in `directory`; the command that runs the client in it."""
        if self.is_python:
            python = environment(directory / "venv", *self.requirements)
            return [str(python), str(HERE / self.script)]
        _run("npm", "install", "--silent", "--no-save", *self.requirements, cwd=directory)
        shutil.copy(HERE / self.script, directory)
        return ["node", str(directory / self.script)]


PYTHON = (
    Foreign("aiogram_client.py", ("aiogram==3.31.0",)),
    Foreign("ptb_client.py", ("python-telegram-bot==22.8",)),
    Foreign("telebot_client.py", ("pyTelegramBotAPI==4.37.1",)),
)
NODE = (
    Foreign("telegraf_client.cjs", ("telegraf@4.16.3",)),
    Foreign(
        "grammy_client.cjs",
        (
            "grammy@1.46.0",
            "@grammyjs/auto-retry@2.0.2",
            "@grammyjs/transformer-throttler@1.2.1",
        ),
    ),
    Foreign("ntba_client.mjs", ("node-telegram-bot-api@2.1.0",)),
)


def _files(directory: Path) -> dict[str, str]:
    paths = {}
    for kind, form in FILES.items():
        path = directory / f"{kind}.{form.extension}"
        path.write_bytes(make(form, 300_000, 1))
        paths[kind] = str(path)
    return paths


def _faults(channel: int, private: int) -> list[dict[str, Any]]:
    """What its next texts meet."""
    return [
        {
            "method": "sendMessage", "chat_id": channel, "status": 429,
            "description": "Too Many Requests: retry after 1", "parameters": {"retry_after": 1},
        },
        {
            "method": "sendMessage", "chat_id": private, "status": 400,
            "description": "Bad Request: group chat was upgraded to a supergroup chat",
            "parameters": {"migrate_to_chat_id": MOVED_TO},
        },
    ]  # fmt: skip


async def meet(foreign: Foreign, directory: Path) -> str:
    """Let a client do all that it does; who it is. Raises SystemExit when it is not content."""
    command = await asyncio.to_thread(foreign.environment, directory)
    server = BotApi(residents())
    await server.start()
    try:
        bot, other = server.bots[:2]
        (channel, _), (private, _) = bot.chats
        await server.control("POST", "faults", _faults(channel, private))
        given = {
            "base": server.base, "token": bot.token, "other_token": other.token,
            "chat": channel, "private": private, "files": _files(directory),
            "methods": await server.control("GET", "methods"),
        }  # fmt: skip
        done = await asyncio.to_thread(
            lambda: subprocess.run(
                [*command, orjson.dumps(given).decode()],
                capture_output=True, text=True, timeout=WAIT_S, stdin=subprocess.DEVNULL,
            )
        )  # fmt: skip
        if done.returncode:
            raise SystemExit(f"{foreign.script} failed:\n{done.stderr[-3000:]}")
        _check(orjson.loads(done.stdout), await server.control("GET", "deliveries"))
        return str(orjson.loads(done.stdout)["client"])
    finally:
        await asyncio.to_thread(server.stop)


def _check(told: dict[str, Any], seen: list[dict[str, Any]]) -> None:
    """What it found, and what arrived: every kind as such, then a file_id, then an album."""
    kinds = list(FILES)
    assert told["kinds"] == kinds
    assert told["retry_after"] == 1
    assert told["migrate_to"] == MOVED_TO
    assert "wrong file identifier/http url specified" in told["refused"].lower()
    assert told["unauthorized"] is True
    arrived = [(one["kind"], one["by_file_id"]) for one in seen]
    assert arrived[: len(kinds)] == [(kind, False) for kind in kinds], arrived
    assert arrived[len(kinds) : len(kinds) + 3] == [
        ("photo", True), ("photo", True), ("video", False),
    ], arrived  # fmt: skip


async def _meet_all(chosen: list[Foreign], directory: Path) -> list[str]:
    places = [directory / foreign.name for foreign in chosen]
    for place in places:
        place.mkdir()
    meetings = (meet(foreign, place) for foreign, place in zip(chosen, places, strict=True))
    return await asyncio.gather(*meetings)


def main() -> int:
    """All clients, or those that are named, at once: most of it is waiting for packages."""
    clients = {foreign.name: foreign for foreign in (*PYTHON, *NODE)}
    parser = argparse.ArgumentParser(prog="python -m tests.conformance")
    parser.add_argument("names", nargs="*", help=f"all when none: {', '.join(clients)}")
    names = parser.parse_args().names or list(clients)
    if unknown := set(names) - set(clients):
        parser.error(f"no such client: {', '.join(sorted(unknown))}")
    chosen = [clients[name] for name in names]
    has_node = shutil.which("node") and shutil.which("npm")
    if not has_node and not all(foreign.is_python for foreign in chosen):
        raise SystemExit("needs Node.js: apt install nodejs npm")
    with tempfile.TemporaryDirectory(prefix="prewarmd-conformance-") as directory:
        met = asyncio.run(_meet_all(chosen, Path(directory)))
    for client in met:
        print(f"{client}: all {len(FILES)} kinds, file_id, album, forward, download, four errors")
    return 0


if __name__ == "__main__":
    sys.exit(main())
