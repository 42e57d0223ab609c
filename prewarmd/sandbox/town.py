"""Everything prewarmd talks to, on one machine: an S3 server, a Bot API server, three bots.

Bots are in two kinds of chats, so that both paces are there. The configuration that comes out is
complete: `prewarmd run -c` takes it.
"""

import asyncio
import os
import secrets
import subprocess
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import aiohttp
import orjson

from prewarmd.errors import BootError
from prewarmd.sandbox import children
from prewarmd.sandbox.relay import Relay
from prewarmd.sandbox.seaweed import Seaweed

SLUGS = ("alpha", "beta", "gamma")
FAR: dict[str, Any] = {"store_latency_s": 0.3, "telegram_latency_s": 0.8}
"""What `--latency` means: a bucket and a Bot API server far away."""


@dataclass(frozen=True, slots=True)
class Resident:
    """A bot of the sandbox; its chats as (id, type)."""

    slug: str
    token: str
    chats: tuple[tuple[int, str], ...]


def residents(slugs: Sequence[str] = SLUGS, *, pairs: int = 1) -> list[Resident]:
    """Bots with tokens nobody can guess, each with so many pairs of a channel and a private
    chat."""
    return [
        Resident(
            slug,
            f"{700_000_001 + number}:{secrets.token_urlsafe(26)[:35]}",
            tuple(
                chat
                for each in range(number * pairs, (number + 1) * pairs)
                for chat in ((-1_001_000_000_001 - each, "channel"), (900_001 + each, "private"))
            ),
        )
        for number, slug in enumerate(slugs)
    ]


class BotApi:
    """The Bot API server's process."""

    def __init__(
        self,
        bots: list[Resident],
        *,
        latency_s: float = 0.0,
        port: int = 0,
        server: Literal["hosted", "local"] = "hosted",
        floods: dict[str, Any] | None = None,
        hashes: bool = True,
    ) -> None:
        """`floods`: fields of `FloodPolicy`; None: nobody is ever too fast. Without `hashes` files
        are told apart by their first bytes alone, which costs less."""
        self.bots = bots
        self.port = port
        self._server = server
        self._latency_s = latency_s
        self._floods = floods
        self._hashes = hashes
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def base(self) -> str:
        """Its URL, as `telegram.api_base`."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Its process; 0 when it is not running."""
        return self._process.pid if self._process else 0

    async def start(self) -> None:
        """Start it and learn its port."""
        process = children.start([sys.executable, "-m", "prewarmd.sandbox.botapi"], pipes=True)
        self._process = process
        assert process.stdin is not None
        assert process.stdout is not None
        given = {
            "bots": [[bot.token, f"{bot.slug}_sandbox_bot"] for bot in self.bots],
            "chats": [
                [chat, kind, f"warm-up of {bot.slug}"]
                for bot in self.bots
                for chat, kind in bot.chats
            ],
            "port": self.port,
            "server": self._server,
            "latency_s": self._latency_s,
            "floods": self._floods,
            "hashes": self._hashes,
        }
        process.stdin.write(orjson.dumps(given) + b"\n")
        process.stdin.flush()
        line = await asyncio.to_thread(process.stdout.readline)
        if not line.strip().isdigit():
            raise BootError("the sandbox's Bot API server does not start")
        self.port = int(line)

    def stop(self) -> None:
        """End it; idempotent."""
        process, self._process = self._process, None
        if process is not None:
            children.stop(process)

    async def control(self, verb: str, what: str, body: Any = None) -> Any:
        """Ask one of its control pages (see `prewarmd.sandbox.botapi.control`)."""
        data = orjson.dumps(body) if body is not None else None
        async with aiohttp.request(verb, f"{self.base}/__sandbox/{what}", data=data) as answer:
            if answer.status != 200:
                raise ValueError(await answer.text())
            return orjson.loads(await answer.read())


class Town:
    """S3 server and Bot API server, started and stopped together."""

    def __init__(
        self,
        directory: Path,
        *,
        store_latency_s: float = 0.0,
        telegram_latency_s: float = 0.0,
        floods: dict[str, Any] | None = None,
        bots: list[Resident] | None = None,
    ) -> None:
        self.directory = directory
        self._store_latency_s = store_latency_s
        self.store = Seaweed(directory / "s3")
        self.telegram = BotApi(bots or residents(), latency_s=telegram_latency_s, floods=floods)
        self._relay: Relay | None = None
        self.endpoint = ""

    async def __aenter__(self) -> "Town":
        async with AsyncExitStack() as undo:
            undo.push_async_callback(self.stop)
            await asyncio.gather(self.store.start(), self.telegram.start())
            self.endpoint = self.store.endpoint
            if self._store_latency_s:
                self._relay = Relay(self.store.port, self._store_latency_s)
                self.endpoint = f"http://127.0.0.1:{await self._relay.start()}"
            undo.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def stop(self) -> None:
        """End everything; idempotent."""
        if self._relay is not None:
            await self._relay.stop()
        self.telegram.stop()
        self.store.stop()

    def configuration(self, *, limits: str = "none", extra: str = "", rates: str = "") -> str:
        """A complete prewarmd.toml for what runs here; `extra` comes before the first table,
        `rates` belong to [limits]."""
        bots = "".join(
            f'\n[[bots]]\nslug = "{bot.slug}"\ntoken = "{bot.token}"\nwarmup_chats = ['
            + ", ".join(f'{{ id = {chat}, kind = "{kind}" }}' for chat, kind in bot.chats)
            + "]\n"
            for bot in self.telegram.bots
        )
        return f"""{extra}
[r2]
endpoint = "{self.endpoint}"
bucket = "{self.store.bucket}"
access_key_id = "{self.store.access_key_id}"
secret_access_key = "{self.store.secret_access_key}"

[telegram]
api_base = "{self.telegram.base}"

[limits]
profile = "{limits}"
{rates}{bots}"""

    def write_configuration(self, path: Path, **more: str) -> None:
        """Write it (as `configuration`) so that nobody else ever can read it: it holds secrets."""
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(self.configuration(**more))
        draft.replace(path)
