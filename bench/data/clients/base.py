"""What every client can be asked for, and what it is told."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from prewarmd.worker.signing import Credentials

REGION = "auto"
TOKEN = "700000001:bench_bench_bench_bench_bench_bench"
CHAT = -1_001_000_000_001
CREDENTIALS = Credentials("benchbenchbenchbench", "bench/bench/bench/bench/bench/bench/benc")
Asked = Sequence[tuple[str, int]]
"""Objects, as (key, size in bytes)."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Where a client's requests go."""

    store: str
    telegram: str
    bucket: str
    ca_file: str | None = None
    slots: int = 16
    """Requests at once."""
    most_bytes: int = 1 << 20
    """The largest object."""


class Client(Protocol):
    """One or more of `get`, `post` and `media`; each ends when all that was asked for is done, and
    raises when an answer is not what it must be."""

    async def open(self, plan: Plan) -> None:
        """Get ready; nothing of this is measured."""

    async def close(self) -> None:
        """End every connection."""


async def in_slots(
    one: Callable[[int, str, int], Awaitable[None]], asked: Asked, slots: int
) -> None:
    """`one(slot, key, size_bytes)` for all, so many at a time."""
    rest = iter(asked)

    async def work(slot: int) -> None:
        for key, size_bytes in rest:
            await one(slot, key, size_bytes)

    async with asyncio.TaskGroup() as group:
        for slot in range(slots):
            group.create_task(work(slot))
