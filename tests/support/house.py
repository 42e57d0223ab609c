"""A test's own corner of the town: keys nobody else uses, contents nobody else has, daemons."""

import hashlib
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import psutil

from prewarmd.sandbox.daemon import FINAL, RunningDaemon, until
from prewarmd.sandbox.media import Format, make
from prewarmd.sandbox.town import Town

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Stored:
    """An object in the bucket."""

    key: str
    data: bytes

    @property
    def sha256(self) -> str:
        """Of its bytes."""
        return hashlib.sha256(self.data).hexdigest()


class House:
    """One test's."""

    def __init__(self, town: Town, directory: Path, number: int) -> None:
        self.town = town
        self.directory = directory
        self.configuration = directory / "prewarmd.toml"
        self._number = number
        self._seed = itertools.count(number * 1000)

    # -- objects -----------------------------------------------------------------------------------

    @property
    def prefix(self) -> str:
        """Of all its plain keys."""
        return f"test-{self._number}/"

    def media(self, form: Format = Format.JPEG, size_bytes: int = 30_000) -> bytes:
        """A file that nobody else has."""
        return make(form, size_bytes, next(self._seed))

    async def store(
        self, data: bytes | None = None, *, name: str = "", form: Format = Format.JPEG,
        size_bytes: int = 30_000, key: str = "",
    ) -> Stored:  # fmt: skip
        """Put one object; under the test's prefix when no key is given."""
        data = self.media(form, size_bytes) if data is None else data
        name = name or f"{next(self._seed)}.{form.extension}"
        stored = Stored(key or f"{self.prefix}{name}", data)
        await self.town.store.put(stored.key, stored.data)
        return stored

    # -- daemons -----------------------------------------------------------------------------------

    def configure(
        self,
        *,
        limits: str = "none",
        top: str = "workers = 1\n",
        replace: tuple[str, str] = ("", ""),
    ) -> None:
        """Write the configuration; `replace` is (text, other text)."""
        text = self.town.configuration(limits=limits, extra=top)
        before, after = replace
        if before:
            assert before in text
            text = text.replace(before, after)
        self.configuration.write_text(text)
        self.configuration.chmod(0o600)

    def new_daemon(self, *, options: tuple[str, ...] = (), name: str = "state") -> RunningDaemon:
        """A daemon that is not started."""
        if not self.configuration.exists():
            self.configure()
        return RunningDaemon(self.configuration, self.directory / name, options=options)

    @asynccontextmanager
    async def daemon(
        self, *, ready: bool = True, options: tuple[str, ...] = (), **configuration: Any
    ) -> AsyncIterator[RunningDaemon]:
        """A running daemon, stopped at the end of the block."""
        self.configure(**configuration)
        daemon = self.new_daemon(options=options)
        try:
            await daemon.start(ready=ready)
            yield daemon
        finally:
            await daemon.stop()

    async def warmed(
        self, daemon: RunningDaemon, stored: Stored, bot: str = "alpha", **more: Any
    ) -> dict[str, Any]:
        """Enqueue an object and wait for the end of its job."""
        [admitted] = await daemon.submit([{"bot": bot, "key": stored.key, **more}])
        return await daemon.finished(admitted["id"])

    async def hurried(self, daemon: RunningDaemon, job: str) -> dict[str, Any]:
        """As `finished`, but a job that waits for a time is tried again at once."""

        async def look() -> Any:
            found = await daemon.job(job)
            if found["state"] == "waiting":
                await daemon.answer("POST", f"/v1/jobs/{job}/retry")
            return found if found["state"] in FINAL else None

        done: dict[str, Any] = await until(look)
        return done

    # -- what the world saw ------------------------------------------------------------------------

    async def sent_again(self, bot: str, kind: str, file_id: str) -> Any:
        """What the Bot API server answers that bot when it sends a file_id."""
        resident = next(one for one in self.town.telegram.bots if one.slug == bot)
        url = f"{self.town.telegram.base}/bot{resident.token}/send{kind.replace('_', '')}"
        form = {"chat_id": str(resident.chats[0][0]), kind: file_id}
        async with aiohttp.request("POST", url, data=form) as answer:
            return await answer.json()

    async def deliveries(self, stored: Stored) -> list[dict[str, Any]]:
        """The messages that bear these bytes, oldest first."""
        every = await self.town.telegram.control("GET", "deliveries")
        return [one for one in every if one["sha256"] == stored.sha256]

    @asynccontextmanager
    async def faults(self, *rules: dict[str, Any]) -> AsyncIterator[None]:
        """Scripted faults for the block."""
        await self.town.telegram.control("POST", "faults", list(rules))
        try:
            yield
        finally:
            await self.town.telegram.control("DELETE", "faults")


def child_pids(daemon: RunningDaemon) -> list[int]:
    """The pids of its children proper."""
    return [
        process.pid
        for process in psutil.Process(daemon.pid).children(recursive=True)
        if process.name().startswith("prewarmd: child") or "prewarmd: child" in process.name()
    ]
