"""What runs on an event loop, on each kind of loop; and what it leaves behind."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from prewarmd.sandbox.daemon import until

T = TypeVar("T")
OnLoop = Callable[[Coroutine[Any, Any, None]], None]


def descriptors() -> int:
    """How many descriptors this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


def opened() -> frozenset[tuple[str, str]]:
    """What they are, each by its number and its own name: what was left by an earlier test may be
    closed at any time, and is nothing that this one opened."""
    found = []
    for name in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the one that reads this folder
            found.append((name.name, str(name.readlink())))
    return frozenset(found)


async def begun(work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """A task that has come to its first wait."""
    begins = asyncio.Event()

    async def run() -> T:
        begins.set()
        return await work

    task = asyncio.get_running_loop().create_task(run())
    await begins.wait()
    return task


async def until_true(look: Callable[[], bool], wait_s: float = 10.0) -> None:
    """Wait until something in this very process is so; TimeoutError after `wait_s`."""

    async def seen() -> bool:
        return look()

    await until(seen, wait_s, every_s=0.01)
