"""A child's loop within this process, and the supervisor's end of its pipe."""

import asyncio
import multiprocessing
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from prewarmd.core import reports
from prewarmd.ipc.arena import Arena
from prewarmd.ipc.board import Board
from prewarmd.ipc.channel import Channel
from prewarmd.messages import ToChild, decode, encode
from prewarmd.worker.loop import Worker
from prewarmd.worker.spec import ChildSpec, StoreSpec, TelegramSpec
from tests.support.loops import until_true

ARENA_BYTES, SLOTS = 32 << 20, 16


@dataclass
class Child:
    """What it was told and what it said."""

    arena: Arena
    board: Board
    channel: Channel
    reports: list[Any] = field(default_factory=list)

    def say(self, *messages: ToChild) -> None:
        """In one frame, as a supervisor that was busy does."""
        for message in messages:
            self.channel.send(encode(message))

    async def hears(self, kind: type[Any], task: int) -> Any:
        """The report of that kind about a task."""

        def found() -> list[Any]:
            return [one for one in self.reports if isinstance(one, kind) and one.task == task]

        await until_true(lambda: bool(found()))
        [report] = found()
        return report

    @property
    def answered(self) -> list[int]:
        """The tasks that are over, in the order of their ends."""
        going_on = (reports.Opened, reports.Landing, reports.Passed)
        tasks = [one for one in self.reports if hasattr(one, "task")]
        return [one.task for one in tasks if not isinstance(one, going_on)]


@asynccontextmanager
async def child(store_url: str, telegram: TelegramSpec) -> AsyncIterator[Child]:
    """One at work; it has ended with all its tasks afterwards."""
    store = StoreSpec(
        endpoint=store_url, region="auto", access_key_id="id", secret_access_key="secret",
        connections=10, connect_timeout_s=5, header_timeout_s=5, body_timeout_s=5,
    )  # fmt: skip
    spec = ChildSpec(0, SLOTS, store, telegram, {"alpha": "1:secret"})
    arena, board = Arena.of(ARENA_BYTES), Board.of(SLOTS)
    near, far = multiprocessing.Pipe()
    heard: list[Any] = []

    def received(batch: list[list[Any]]) -> None:
        heard.extend(decode(array) for array in batch)

    running = asyncio.ensure_future(Worker(spec, arena, board).run(far, os.getpid()))
    channel = await Channel.adopt(near, on_batch=received, on_closed=lambda _: None)
    try:
        async with asyncio.timeout(30):
            yield Child(arena, board, channel, heard)
    finally:
        channel.close()
        await channel.wait_closed()
        await running
