"""What runs on an event loop, on each kind of loop; and what it leaves behind."""

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from prewarmd.sandbox.daemon import until

OnLoop = Callable[[Coroutine[Any, Any, None]], None]


def descriptors() -> int:
    """How many descriptors this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


async def until_true(look: Callable[[], bool], wait_s: float = 10.0) -> None:
    """Wait until something in this very process is so; TimeoutError after `wait_s`."""

    async def seen() -> bool:
        return look()

    await until(seen, wait_s, every_s=0.01)
