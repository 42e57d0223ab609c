"""A prewarmd daemon as a process of its own, started as a user would, asked over its socket.

For the demo, the benchmarks and the tests: what they show is `prewarmd run` and nothing else.
"""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp
import orjson

from prewarmd.errors import BootError
from prewarmd.sandbox import children

START_WAIT_S = 30.0
STOP_WAIT_S = 60.0
PAGE_JOBS = 1000
FINAL = ("ready", "failed", "cancelled")


class AnswerError(Exception):
    """An answer that is no success: its status and problem document."""

    def __init__(self, status: int, problem: Any) -> None:
        super().__init__(f"{status}: {problem}")
        self.status = status
        self.problem = problem


async def until(
    look: Callable[[], Awaitable[Any]], wait_s: float = 20.0, every_s: float = 0.02
) -> Any:
    """What `look` returns once it is true; TimeoutError after `wait_s`."""
    async with asyncio.timeout(wait_s):
        while not (seen := await look()):  # noqa: ASYNC110  another process cannot set an event
            await asyncio.sleep(every_s)
        return seen


class RunningDaemon:
    """`prewarmd run -c configuration --state-dir directory`; use as an async context, or start and
    stop it more than once."""

    def __init__(
        self,
        configuration: Path,
        directory: Path,
        *,
        env: Mapping[str, str] | None = None,
        options: tuple[str, ...] = (),
    ) -> None:
        self.configuration = configuration
        self.directory = directory
        self.socket = directory / "prewarmd.sock"
        self.log = directory.with_name(directory.name + ".log")
        self._env = dict(env or {})
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> "RunningDaemon":
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def pid(self) -> int:
        """The supervisor; 0 when it is not running."""
        return self._process.pid if self._process else 0

    @property
    def exit_code(self) -> int | None:
        """Of a daemon that ended by itself."""
        return self._process.poll() if self._process else None

    async def start(self, *, ready: bool = True) -> None:
        """Start it; with `ready` wait until /readyz says yes."""
        async with AsyncExitStack() as undo:
            self.launch()
            undo.push_async_callback(self.stop)
            await self.until_ready() if ready else await self.until_answering()
            undo.pop_all()

    def launch(self) -> None:
        """Start the process, and wait for nothing."""
        # What is set for the user's own daemon is not for this one.
        clean = {k: v for k, v in os.environ.items() if not k.startswith("PREWARMD_")}
        self._process = children.start(
            [sys.executable, "-m", "prewarmd", "run", "-c", self.configuration, "--state-dir",
             self.directory, *self._options],
            env={**clean, **self._env},
            log=self.log,
        )  # fmt: skip

    async def until_answering(self) -> None:
        """Wait for the socket; BootError with the end of the log when the daemon ends instead."""
        await self._until(lambda answer: answer is not None)

    async def until_ready(self) -> None:
        """Wait for /readyz to be 200."""
        await self._until(lambda answer: answer == 200)

    async def _until(self, good: Callable[[int | None], bool]) -> None:
        deadline = time.monotonic() + START_WAIT_S
        answer: int | None = None
        while not good(answer):
            if self.exit_code is not None or time.monotonic() > deadline:
                text = self.log.read_text(errors="replace")[-2000:]
                raise BootError(f"the daemon does not come up (exit code {self.exit_code})", text)
            await asyncio.sleep(0.03)
            try:
                answer, _ = await self._ask("GET", "/readyz")
            except (aiohttp.ClientError, OSError):
                answer = None

    async def stop(self) -> int:
        """SIGTERM and wait for the drain; the exit code. Idempotent."""
        process, self._process = self._process, None
        await self._hang_up()
        if process is None:
            return 0
        return await asyncio.to_thread(children.stop, process, STOP_WAIT_S)

    async def kill(self) -> None:
        """SIGKILL to the supervisor; its children end because their pipes do."""
        process, self._process = self._process, None
        await self._hang_up()
        if process is not None:
            process.kill()
            await asyncio.to_thread(process.wait)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the supervisor."""
        os.kill(self.pid, number)

    async def _hang_up(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    # -- asking ------------------------------------------------------------------------------------

    async def _ask(self, verb: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        if self._session is None:
            connector = aiohttp.UnixConnector(str(self.socket))
            self._session = aiohttp.ClientSession(connector=connector)
        headers = {"Content-Type": "application/json"} if body is not None else {}
        async with self._session.request(
            verb, f"http://prewarmd{path}", data=body, headers=headers
        ) as answer:
            return answer.status, await answer.read()

    async def ask(self, verb: str, path: str, body: Any = None, **query: Any) -> Any:
        """A request; the decoded answer, AnswerError when it is no success."""
        status, answer = await self.answer(verb, path, body, **query)
        if status >= 400:
            raise AnswerError(status, answer)
        return answer

    async def answer(self, verb: str, path: str, body: Any = None, **query: Any) -> tuple[int, Any]:
        """A request; its status and decoded answer, whatever they are."""
        given = {key: value for key, value in query.items() if value is not None}
        where = f"{path}?{urlencode(given)}" if given else path
        status, text = await self._ask(
            verb, where, orjson.dumps(body) if body is not None else None
        )
        return status, orjson.loads(text) if text[:1] in (b"{", b"[") else text.decode()

    async def submit(self, jobs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Enqueue any number of jobs, page by page; what became of each."""
        done: list[dict[str, Any]] = []
        for start in range(0, len(jobs), PAGE_JOBS):
            page = {"jobs": jobs[start : start + PAGE_JOBS]}
            done += (await self.ask("POST", "/v1/jobs", page))["jobs"]
        return done

    async def jobs(self, **query: Any) -> list[dict[str, Any]]:
        """All jobs that match, newest first."""
        found: list[dict[str, Any]] = []
        cursor: str | None = None
        while True:
            page = await self.ask("GET", "/v1/jobs", cursor=cursor, **query)
            found += page["jobs"]
            cursor = page["next"]
            if cursor is None:
                return found

    async def job(self, job: str) -> dict[str, Any]:
        """One job."""
        found: dict[str, Any] = await self.ask("GET", f"/v1/jobs/{job}")
        return found

    async def finished(self, job: str, wait_s: float = 30.0) -> dict[str, Any]:
        """The job, once it is ready, failed or cancelled; TimeoutError after `wait_s`."""

        async def look() -> Any:
            found = await self.job(job)
            return found if found["state"] in FINAL else None

        done: dict[str, Any] = await until(look, wait_s)
        return done

    async def progress(self, every_s: float = 0.1) -> AsyncIterator[dict[str, int]]:
        """The counts by state, again and again."""
        while True:
            status = await self.ask("GET", "/v1/status")
            counts: dict[str, int] = status["jobs"]
            yield counts
            await asyncio.sleep(every_s)
