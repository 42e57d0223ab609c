"""A place for one configuration, the command line run in it, and daemons started on it.

The store and the Bot API server are a port at which nobody listens, so jobs stay queued.
"""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from prewarmd.cli.client import Client
from prewarmd.errors import NotRunningError
from prewarmd.sandbox import daemon

TOKEN = "4242:planted-bot-token-0123456789abcdef"
KEY_ID = "planted-access-key-id"
SECRET = "planted-secret-access-key"
PLANTED = (TOKEN, TOKEN.partition(":")[2], KEY_ID, SECRET)
WAIT_S = 30.0


def until(probe: Callable[[], Any], what: str) -> Any:
    """Ask until the answer is true; the answer."""

    async def look() -> Any:
        return probe()

    try:
        return asyncio.run(daemon.until(look, WAIT_S))
    except TimeoutError:
        raise AssertionError(f"not within {WAIT_S} s: {what}") from None


class Done:
    """What a command came to."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code = code
        self.out = out
        self.err = err

    def __repr__(self) -> str:
        return f"Done({self.code}, {self.out!r}, {self.err!r})"

    @property
    def json(self) -> Any:
        """Its stdout."""
        return orjson.loads(self.out)


class Site:
    """A directory with a configuration in it."""

    def __init__(self, root: Path, port: int, extra: str = "") -> None:
        self.root = root
        self.file = root / "prewarmd.toml"
        self.state = root / "state"
        self.socket = self.state / "prewarmd.sock"
        self.write(f"""
workers = 1
slots = 4
state_dir = "{self.state}"
socket = "{self.socket}"
[r2]
endpoint = "http://127.0.0.1:{port}"
bucket = "media"
access_key_id = "{KEY_ID}"
secret_access_key = "{SECRET}"
[telegram]
api_base = "http://127.0.0.1:{port}"
[[bots]]
slug = "shop"
token = "{TOKEN}"
warmup_chats = [{{ id = -1001234567890, kind = "channel" }}]
[cache]
bytes = "4MiB"
{extra}""")
        self.extra_env: dict[str, str] = {}
        self._daemons: list[subprocess.Popen[bytes]] = []

    def write(self, text: str) -> None:
        """Put another configuration in place."""
        self.file.write_text(text)
        self.file.chmod(0o600)

    @property
    def env(self) -> dict[str, str]:
        """An environment that knows of this site only."""
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("PREWARMD_", "XDG_"))}
        own = {"HOME": str(self.root), "PREWARMD_CONFIG": str(self.file)}
        return {**clean, **own, **self.extra_env}

    def start(self, *words: str | Path, **options: Any) -> "subprocess.Popen[bytes]":
        """Start a command and wait for nothing."""
        command = [sys.executable, "-m", "prewarmd", *map(str, words)]
        return subprocess.Popen(command, cwd=self.root, env=self.env, **options)

    def run(
        self, *words: str | Path, given: str | None = None, env: dict[str, str] | None = None
    ) -> Done:
        """Run a command to its end; whatever it says, it says without traces and secrets."""
        done = subprocess.run(
            [sys.executable, "-m", "prewarmd", *map(str, words)],
            cwd=self.root,
            env={**self.env, **(env or {})},
            input=given,
            stdin=subprocess.DEVNULL if given is None else None,
            capture_output=True,
            text=True,
            timeout=WAIT_S,
        )
        said = done.stdout + done.stderr
        assert "Traceback" not in said, said
        assert not [planted for planted in PLANTED if planted in said], said
        return Done(done.returncode, done.stdout, done.stderr)

    def daemon(self, *words: str | Path) -> "subprocess.Popen[bytes]":
        """Start a daemon, on `state` unless told otherwise, and wait until its child is up."""
        words = words or ("--state-dir", self.state)
        with (self.root / "daemon.log").open("ab") as log:
            process = self.start("run", *words, "-c", self.file, stdout=log, stderr=log)
        self._daemons.append(process)

        def is_up() -> bool:
            assert process.poll() is None, (self.root / "daemon.log").read_text()
            try:
                children = self.ask("GET", "/v1/status")["children"]
            except NotRunningError:
                return False
            return any(child["state"] == "ready" for child in children)

        until(is_up, "a daemon with its child")
        return process

    def ask(self, verb: str, path: str, **query: Any) -> Any:
        """Ask the daemon itself: quicker than a command, for what is not the test's own subject."""
        with Client(self.socket) as client:
            return client.ask(verb, path, **query)

    def jobs(self) -> list[dict[str, Any]]:
        """The newest jobs."""
        found: list[dict[str, Any]] = self.ask("GET", "/v1/jobs", limit=1000)["jobs"]
        return found

    def stop(self) -> None:
        """End every daemon that was started here."""
        for process in self._daemons:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.terminate()
                try:
                    process.wait(WAIT_S)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        self._daemons.clear()


@pytest.fixture(scope="session")
def closed_port() -> Iterator[int]:
    """A loopback port that refuses, and that nobody else can take meanwhile."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@pytest.fixture
def site(tmp_path: Path, closed_port: int) -> Iterator[Site]:
    """A site of one's own, without a daemon."""
    place = Site(tmp_path, closed_port)
    yield place
    place.stop()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, closed_port: int) -> Iterator[Site]:
    """A site with a daemon, shared by the tests of a module: each uses keys of its own."""
    place = Site(tmp_path_factory.mktemp("served"), closed_port)
    place.daemon()
    yield place
    place.stop()
