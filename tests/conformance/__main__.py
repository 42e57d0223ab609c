"""Each foreign client in a throw-away environment of its own: they pin what prewarmd needs newer.

The environments are made in a temporary folder with the ordinary package registry. A client gets
the server's address, a token and files; it prints one JSON object and exits 0, or it fails.
"""

import asyncio
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

import orjson

from prewarmd.sandbox.media import Format, make
from prewarmd.sandbox.town import BotApi, residents

HERE = Path(__file__).parent
CLIENTS = {"aiogram_client.py": "aiogram==3.31.0"}
WAIT_S = 300


def environment(directory: Path, *requirements: str) -> Path:
    """A fresh environment with some packages; its Python."""
    venv.create(directory, with_pip=True)
    python = directory / "bin" / "python"
    subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements],
        check=True,
        timeout=WAIT_S,
    )
    return python


async def run(client: str, requirement: str, directory: Path) -> None:
    """One client; raises when it is not content."""
    python = await asyncio.to_thread(environment, directory / "venv", requirement)
    files = {}
    for name, form in (("photo", Format.JPEG), ("video", Format.MP4), ("document", Format.PDF),
                       ("audio", Format.MP3)):  # fmt: skip
        files[name] = str(directory / f"{name}.{form.extension}")
        Path(files[name]).write_bytes(make(form, 300_000, 1))
    server = BotApi(residents())
    await server.start()
    try:
        bot, other = server.bots[0], server.bots[1]
        given = {
            "base": server.base,
            "token": bot.token,
            "other_token": other.token,
            "chat": bot.chats[0][0],
            "files": files,
        }
        command = [str(python), str(HERE / client), orjson.dumps(given).decode()]
        done = await asyncio.to_thread(
            lambda: subprocess.run(command, capture_output=True, text=True, timeout=60)
        )
        print(f"{requirement}: {done.stdout.strip() or done.stderr[-2000:]}")
        if done.returncode:
            raise SystemExit(f"{requirement} does not get along with the sandbox")
        seen = await server.control("GET", "deliveries")
        assert [one["kind"] for one in seen] == [
            "photo", "video", "document", "audio", "photo",
        ], seen  # fmt: skip
        assert seen[-1]["by_file_id"] is True
    finally:
        server.stop()


def main() -> int:
    """All clients, one after the other."""
    for client, requirement in CLIENTS.items():
        with tempfile.TemporaryDirectory(prefix="prewarmd-conformance-") as directory:
            asyncio.run(run(client, requirement, Path(directory)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
