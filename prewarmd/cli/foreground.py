"""Commands that run until they are done or told to stop: Ctrl-C and SIGTERM end them alike, and
whatever they started is stopped first."""

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
STOPS = (signal.SIGINT, signal.SIGTERM)


def run_until_signal(work: Coroutine[Any, Any, T]) -> T:
    """asyncio.run, where a signal cancels `work`; KeyboardInterrupt after it has cleaned up."""

    async def watched() -> T:
        task = asyncio.current_task()
        assert task is not None
        for number in STOPS:
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        return await work

    try:
        return asyncio.run(watched())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


async def until_signal() -> None:
    """Wait for Ctrl-C or SIGTERM, and take it as the wish to go on to the end."""
    told = asyncio.Event()
    for number in STOPS:
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    await told.wait()
